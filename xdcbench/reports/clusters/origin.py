"""The round whose clusters are shown: found by what a user calls it, with its items and where their files are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xdcbench.config.stages import IndexStage, RoundStage
from xdcbench.data.index import Index
from xdcbench.data.shards.cache import CACHE_BYTES, RANGES, Cache
from xdcbench.data.shards.reader import ShardReader
from xdcbench.data.sources import find_shards, root_of
from xdcbench.errors import UserError
from xdcbench.pretraining.pseudo_labels import read_saved_labels
from xdcbench.results.find_run import find_runs
from xdcbench.results.run_facts import read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.titles import titles_in
from xdcbench.utils.arrays import read_table
from xdcbench.utils.cache_folder import cache_folder
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.documents import RUN_AGAIN, check
from xdcbench.utils.manifest import make_again
from xdcbench.utils.mapped_table import places
from xdcbench.utils.messages import comma_separated


@dataclass(frozen=True)
class ClusteredRound:
    """A round that made clusters, in its directory ``run``, by the encoders of the round before.

    Attributes:
        root: folder of the items' files, or the prepared shards.
        table: per item of ``index``, in its order: a column of clusters per clustering, NaN where it has none,
            and, in rounds that kept it, ``<clustering>_distance`` to the cluster's center.
        facts: measures of each clustering, as recorded.
        title: of the dataset.
        consent: the code of others that may run.
    """

    run: Path
    config: RoundStage
    encoders: Path
    index: Index
    root: Path | ShardReader
    table: pd.DataFrame
    facts: dict[str, dict[str, float]]
    title: str = ""
    consent: Consent = NO_CODE


def find_round(
    run: str,
    number: int | None,
    out: Path,
    *,
    data_root: Path | None,
    shards: Sequence[str],
    consent: Consent = NO_CODE,
) -> ClusteredRound:
    """The round that a user means: ``run`` is a key, the beginning of its hash, or a method, of which it is the last.

    ``number`` is that of another round that its encoders went through. ``out`` is the results folder, ``data_root``
    that of the real datasets, ``shards`` are prepared ones, for rounds that were read from some.

    Raises:
        UserError: no run, several, or no clusters in it; or its data or the round before it is not here.
    """
    store = RunStore.existing(out)
    key = _last_round(run, store) or _existing(run, store)
    if number is not None:
        key = _earlier(key, number, store)
    path = store.require(key)
    facts = read_facts(path)
    config: RoundStage = check(RoundStage, facts["config"], f"{path / 'run.json'}: config", fix=RUN_AGAIN)
    if not (path / "assignments.parquet").exists():
        raise UserError(
            f"{key} ({facts['name']}) made no clusters; give a round of a method that does, such as xdc"
        )
    before = store.path(facts["inputs"]["encoders"])
    if not store.complete(before.name, thorough=True):
        raise UserError(
            f"{before.name}, whose encoders {key} clustered with, is not whole in {store.root}, and with it what "
            f"they hear and see. {make_again(before.name, facts['suite'])}"
        )
    index = Index.load(store.require(facts["inputs"]["data"]))
    table = read_table(path / "assignments.parquet", fix=RUN_AGAIN)
    at = places(index.items["id"], table["id"])
    return ClusteredRound(
        run=path,
        config=config,
        encoders=before,
        index=index,
        root=_root(facts["inputs"]["data"], index, store, data_root, shards),
        title=titles_in([store]).get(index.name, index.name),
        table=table.drop(columns="id").reindex(at).reset_index(drop=True),
        facts=read_saved_labels(path)["facts"],
        consent=consent,
    )


def _existing(prefix: str, store: RunStore) -> str:
    """Key of a complete round; where it is none, the message names the round that its encoders are of."""
    key, *others = find_runs(prefix, store)
    if others:
        raise UserError(
            f"{prefix!r} matches {1 + len(others)} runs in {store.root}. Try: one of {key}, {', '.join(others)}"
        )
    if not store.path(key).is_dir():
        raise UserError(f"{key} failed; `xdcbench show {key}` says why")
    store.require(key)
    if not key.startswith("round-"):
        before = next((source for source in _chain(key, store) if source.startswith("round-")), None)
        mend = (
            f"its encoders are of {before}: give that" if before else "give a round, or the name of a method"
        )
        raise UserError(f"{key} is no round of pretraining and has no clusters; {mend}")
    return key


def _last_round(method: str, store: RunStore) -> str | None:
    """Key of the last round of a method, pretrained once; None where no run is of that method."""
    rounds = filter(lambda key: key.startswith("round-"), store.keys())
    own = {
        key: facts for key in rounds if (facts := read_facts(store.path(key)))["config"]["method"] == method
    }
    followed = {facts["inputs"]["encoders"] for facts in own.values()}
    last = sorted(own.keys() - followed)
    if len(last) > 1:
        named = ", ".join(f"{key} ({own[key]['name']})" for key in last)
        raise UserError(f"{method!r} was pretrained {len(last)} times in {store.root}; give one of {named}")
    return last[0] if last else None


def _chain(key: str, store: RunStore) -> list[str]:
    """The run and all that its encoders went through, newest first, as far as it is still there."""
    chain = [key]
    while store.complete(chain[-1]):
        inputs = read_facts(store.path(chain[-1]))["inputs"]
        before = inputs.get("encoders") or inputs.get("features")
        if before is None:
            break
        chain.append(before)
    return chain


def _earlier(key: str, number: int, store: RunStore) -> str:
    rounds = [k for k in _chain(key, store) if k.startswith("round-") and store.complete(k)]
    by_number = {read_facts(store.path(k))["config"]["round"]: k for k in rounds}
    if number not in by_number:
        there = comma_separated(map(str, sorted(by_number)))
        raise UserError(
            f"--round {number}: {key} went through rounds {there}; a later one is a run of its own"
        )
    return by_number[number]


def _index_stage(key: str, store: RunStore) -> IndexStage:
    """The settings of an index."""
    path = store.path(key)
    where = f"{path / 'run.json'}: config"
    stage: IndexStage = check(IndexStage, read_facts(path)["config"], where, fix=RUN_AGAIN)
    return stage


def _root(
    key: str, index: Index, store: RunStore, data_root: Path | None, shards: Sequence[str]
) -> Path | ShardReader:
    """Where the files of an index are, or the shards that it was made from."""
    inputs, config = read_facts(store.path(key))["inputs"], _index_stage(key, store)
    if "world" in inputs:
        return store.path(inputs["world"]) / config.dataset.folder
    if index.shards is not None:
        found = find_shards(shards, {config.name: config.dataset}, Cache(cache_folder(RANGES), CACHE_BYTES))
        if config.name not in found:
            raise UserError(f"{index.name} was read from prepared shards; name them with --shards")
        return found[config.name]
    root = root_of(config.dataset, data_root)
    if root is None or not root.is_dir():
        where = f"no folder {root}" if root else "no place given"
        raise UserError(f"{where} for the files of {index.name}; give --data-root as the run had it")
    return root
