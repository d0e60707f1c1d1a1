"""Numbers as a folder that others can check: records, predictions, settings, environment, a card, a manifest."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from xdcbench.config.keys import key_of
from xdcbench.errors import UserError
from xdcbench.export.model_card import render_card, score_table, scores_from
from xdcbench.models.encoders import EncoderMetadata, load_encoder_metadata
from xdcbench.results.licenses import licenses_of
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore, keys_named
from xdcbench.results.submission import CARD, CONFIG, MANIFEST, OPTIONAL, PREDICTIONS, write_submission
from xdcbench.utils.documents import write_json
from xdcbench.utils.io import file_hash

COPIED = ("records.json", PREDICTIONS, "run.json", *OPTIONAL)
"""Files of a run that are published as they are."""


def publish_lines(name: str, out: Path, target: Path) -> Iterator[str]:
    """Publish the evaluations that a name stands for into the folder ``target``, whole or not at all.

    ``name`` is the key of an evaluation's run or the beginning of it, METHOD or METHOD@PRETRAINING_DATA; ``out`` is
    the results folder.

    Raises:
        UserError: there is no such evaluation, it lacks what proves its settings, or the folder holds something.
    """
    store = RunStore.existing(out)
    records = find_evaluations(name, store)
    _require_empty(target)
    building = target.absolute().with_name(f".{target.absolute().name}.{os.getpid()}")
    keys = tuple(sorted({record.run for record in records}))
    try:
        building.mkdir(parents=True)
        for key in keys:
            _copy_run(store, key, building / key)
        text = _card(records, store, building)
        (building / CARD).write_text(text, encoding="utf-8")
        write_submission(building, keys)
        if target.exists():
            target.rmdir()
        building.rename(target.absolute())
    except OSError as error:
        raise UserError(
            f"cannot write {target} ({error.strerror or error}). Try: another folder with --output"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    yield from (f"run     {key} ({read_facts(target / key)['name']})" for key in keys)
    yield f"card    {target / CARD}"
    yield f"sha256  {file_hash(target / MANIFEST)} of {target / MANIFEST}; state it beside your numbers"


def find_evaluations(name: str, store: RunStore) -> list[Record]:
    """Records of the evaluations that ``name`` stands for.

    Raises:
        UserError: there are none, or they are of several encoders by pretraining data.
    """
    records = [record for record in read_records([store]) if record.protocol != "round"]
    method, _, data = name.partition("@")
    named = keys_named(name, {record.run for record in records})
    found = [
        record
        for record in records
        if record.run in named or (record.method == method and data in ("", record.pretrain_data))
    ]
    if not found:
        known = ", ".join(sorted({f"{record.method}@{record.pretrain_data}" for record in records}))
        raise UserError(
            f"{name!r} names no evaluation in {store.root}. Try: a run's key, or one of {known or 'its runs'}"
        )
    several = sorted({f"{record.method}@{record.pretrain_data}" for record in found})
    if len(several) > 1:
        raise UserError(f"{name!r} names numbers of {' and '.join(several)}. Try: one of them")
    return found


def _require_empty(target: Path) -> None:
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UserError(f"{target} is there and holds something. Try: another folder with --output")


def _copy_run(store: RunStore, key: str, target: Path) -> None:
    """The files of a run that are shared, with the content that its ``config_hash`` is the hash of."""
    run = store.require(key)
    target.mkdir()
    for name in COPIED:
        if (run / name).is_file():
            shutil.copyfile(run / name, target / name)
    if not (target / PREDICTIONS).exists():
        raise UserError(f"{key} has no {PREDICTIONS}, so nobody can check it. Try: run its suite again")
    facts, records = read_facts(run), read_records([store], [key])
    source = _metadata_file(store, facts)
    shutil.copyfile(source, target / "encoders.json")
    content = config_content(facts, load_encoder_metadata(source.parent), records[0].fingerprint)
    if any(record.config_hash != key_of("config", content) for record in records):
        raise UserError(
            f"{key}: its settings do not give the config_hash of its record. Try: run its suite again"
        )
    write_json(target / CONFIG, content)


def config_content(facts: RunFacts, encoders: EncoderMetadata, fingerprint: str) -> dict[str, object]:
    """What an evaluation's ``config_hash`` is the hash of, as `config_hash` has it."""
    settings = {name: value for name, value in facts["science"].items() if name not in ("seed", "split")}
    return {"config": settings, "sources": [encoders.config_hash, fingerprint]}


def _metadata_file(store: RunStore, facts: RunFacts) -> Path:
    """``encoders.json`` of the encoders that an evaluation measured."""
    inputs = facts["inputs"]
    key = inputs.get("encoders") or inputs.get("features", "")
    path = store.path(key) / "encoders.json"
    if not key or not path.is_file():
        raise UserError(
            f"{facts['key']}: its encoders ({key or 'none'}) are not in {store.root}. Try: run its suite"
        )
    return path


def _card(records: Sequence[Record], store: RunStore, building: Path) -> str:
    runs = sorted({record.run for record in records})
    first = building / runs[0]
    return render_card(
        "submission_card",
        encoders=load_encoder_metadata(first),
        architectures=sorted({record.architecture for record in records}),
        license=", ".join(sorted({text for record in records for text in licenses_of(record, [store])})),
        scores=score_table(scores_from(records, store)),
        worlds=sorted({record.world for record in records}),
        commit=", ".join(sorted({record.commit for record in records})),
        versions=read_facts(first)["versions"],
        devices=sorted({record.device for record in records}),
    )
