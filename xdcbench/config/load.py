"""Suites from YAML: loading, overriding, validating."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xdcbench.config.compose import PARTS, Tree, mapping, merge, read, read_suite
from xdcbench.config.data import Dataset
from xdcbench.config.paths import find, folder
from xdcbench.config.released import with_releases
from xdcbench.config.settings import same_setting, setting_keys
from xdcbench.config.suite import Suite
from xdcbench.config.table import Table
from xdcbench.config.validate import validate
from xdcbench.errors import UserError
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.documents import read_setting
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.names import name_error

__all__ = ["load_dataset", "load_suite", "load_table", "merge", "override", "read", "select", "validate"]


def load_suite(
    name: str,
    *,
    world: str = "",
    overrides: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    consent: Consent = NO_CODE,
) -> Suite:
    """Compose a suite: its own YAML over the library's parts, then the overrides.

    A suite of ``parts`` is those suites, each with the overrides that fit it, and the union of what they name.

    Args:
        name: a suite of ``configs/suites`` or the path of a YAML file.
        world: a world of ``configs/worlds`` to run it in, or the path of a YAML file; empty: as the suite says.
        overrides: ``a.b=value`` strings, applied last.
        methods: keep only these methods; empty keeps all.
        seeds: pretraining seeds in place of the suite's own.
        consent: the code of its own that the file may name.

    Raises:
        UserError: code that the user has not let run; an unknown name, key or value, of the suite or of a table that it
            names; parts that are no suites, form a circle or disagree; a suite without encoders.
    """
    path = find(folder("configs") / "suites", name, what="suite")
    head, leaves = read_suite(path, world)
    known = {part: {n: None for tree in leaves.values() for n in tree[part]} for part in PARTS}
    for text in overrides:
        _check_name(known, text)
    suites = []
    for leaf, tree in leaves.items():
        _check_code(tree, leaf, consent)
        fitting = [text for text in overrides if len(leaves) == 1 or _fits(tree, text)]
        suites.append(_declared(_overridden(tree, fitting, seeds, leaf)))
        _check_encoders(suites[-1], leaf)
        for table in suites[-1].tables:  # an unknown one is an error before hours of work, not after
            load_table(table)
    suite = unite(head, suites, where=path) if "parts" in head else suites[0]
    return select(suite, methods) if methods else suite


def _declared(suite: Suite) -> Suite:
    """The suite with what the list of released weights declares of those that it names."""
    return suite.model_copy(
        update={"encoders": {name: with_releases(given) for name, given in suite.encoders.items()}}
    )


def _overridden(tree: Tree, overrides: Sequence[str], seeds: Sequence[int], path: Path) -> Suite:
    """The suite of a file, overrides laid over it and seeds over those; errors name the file or the one at fault.

    Raises:
        UserError: as `override` and `validate`.
    """
    try:
        laid = override(tree, overrides) | ({"seeds": list(seeds)} if seeds else {})
        return validate(Suite, laid, where=str(path))
    except UserError:
        validate(Suite, tree, where=str(path))
        if said := [why for text in overrides if (why := _refused(tree, text))]:
            raise UserError("; ".join(said[:3])) from None
        raise


def _refused(tree: Tree, text: str) -> str:
    """Why a suite does not take an override; empty where it does."""
    key = text.partition("=")[0]
    whole = same_setting(key, setting_keys(Suite, tree))
    if whole and key.split(".")[0] not in Suite.model_fields:
        return f"--set {text}: unknown key {key!r}; did you mean {whole!r}?"
    try:
        validate(Suite, override(tree, [text]), where=f"--set {text}")
    except UserError as error:
        return str(error)
    return ""


def _check_encoders(suite: Suite, path: Path) -> None:
    if not suite.pretraining and not suite.encoders:
        raise UserError(
            f"{path}: neither `pretraining` nor `encoders` is given, so there is no encoder to measure. "
            "Try: pretraining: [{methods: [scratch]}]"
        )


def _check_code(tree: Tree, path: Path, consent: Consent) -> None:
    named = {f"datasets.{name}.adapter": _at(entry, "adapter") for name, entry in tree["datasets"].items()}
    for name, entry in mapping(tree, "encoders", path).items():
        for modality in ("video", "audio"):
            named[f"encoders.{name}.{modality}.source"] = _at(_at(entry, modality), "source")
    for key, code in named.items():
        if isinstance(code, str) and ":" in code and not code.startswith("torchvision:"):
            consent.require(code, str(path), key=key)


def _at(tree: Any, key: str) -> Any:
    return tree.get(key) if isinstance(tree, dict) else None


def load_table(name: str) -> Table:
    """A table of ``tables/`` by name, or a YAML file by path."""
    path = find(folder("tables"), name, what="table")
    _check_file(path)
    return validate(Table, read(path), where=str(path))


def _check_file(path: Path) -> None:
    """Refuse a YAML file of whose name files are made, where it cannot name them."""
    if why := name_error(path.stem):
        raise UserError(f"{path}: its name becomes that of files, but {why}. Try: rename the file")


def load_dataset(name: str, *, overrides: Sequence[str] = (), consent: Consent = NO_CODE) -> Dataset:
    """A dataset of ``configs/datasets`` by name, or a YAML file by path, with ``a.b=value`` laid over it.

    Raises:
        UserError: as `load_suite`.
    """
    path = find(folder("configs") / "datasets", name, what="dataset")
    _check_file(path)
    tree = read(path)
    code = str(tree.get("adapter"))
    if ":" in code:
        consent.require(code, str(path), key="adapter")
    return validate(Dataset, override(tree, overrides), where=str(path))


def _fits(tree: Tree, text: str) -> bool:
    """Whether an override names no method, dataset or evaluation but those of ``tree``."""
    head, *rest = text.partition("=")[0].split(".")
    known = tree.get(head) if head in PARTS else None
    return not rest or not isinstance(known, dict) or rest[0] in known


def _check_name(tree: Tree, text: str) -> None:
    if not _fits(tree, text):
        head, name, *_ = text.partition("=")[0].split(".")
        raise UserError(f"--set {text}: " + unknown_name(f"name in {head!r}", name, tree[head]))


def override(tree: Tree, overrides: Iterable[str]) -> Tree:
    """Apply ``a.b=value`` strings; values are read as YAML.

    Raises:
        UserError: an override without ``=``, or one that names a method, dataset or evaluation that
            the suite does not use.
    """
    for text in overrides:
        path, equals, _ = text.partition("=")
        if not equals or not path:
            raise UserError(f"--set {text!r} must read key=value, for example pretrain.rounds=3")
        _check_name(tree, text)
        tree = merge(tree, read_setting(text))
    return tree


def unite(head: Tree, suites: Sequence[Suite], *, where: Path) -> Suite:
    """The suite whose parts are ``suites``, with the union of what they name; the file says name and description.

    Raises:
        UserError: parts that mean different things by one name, or write different worlds.
    """
    union: Tree = {name: {} for name in (*PARTS, "encoders")}
    for suite in suites:
        if suite.world != suites[0].world:
            raise UserError(f"{where}: its parts {suites[0].name} and {suite.name} differ in `world`")
        for part, known in union.items():
            for name, entry in getattr(suite, part).items():
                if known.setdefault(name, (suite.name, entry))[1] != entry:
                    raise UserError(
                        f"{where}: its parts {known[name][0]} and {suite.name} differ in `{part}.{name}`; "
                        f"give one of the two another name"
                    )
    whole = {
        "name": head["name"],
        "description": head.get("description", ""),
        "seeds": tuple(dict.fromkeys(seed for suite in suites for seed in suite.seeds)),
        "world": suites[0].world,
        **{part: {name: entry for name, (_, entry) in known.items()} for part, known in union.items()},
        "pretraining": (),
        "evaluate": (),
        "tables": tuple(dict.fromkeys(table for suite in suites for table in suite.tables)),
        "parts": tuple(suites),
    }
    return validate(Suite, whole, where=str(where))


def select(suite: Suite, methods: Sequence[str]) -> Suite:
    """The suite with only the named methods, and those whose clusters they learn.

    Raises:
        UserError: a method that the suite does not have.
    """
    for name in methods:
        if name not in suite.methods:
            raise UserError(f"suite {suite.name!r}: " + unknown_name("method", name, suite.methods))
    taught = (earlier.run for name in methods for earlier in suite.methods[name].assignments.values())
    methods = [*methods, *(run for run in taught if run in suite.methods)]
    groups = tuple(
        group.model_copy(update={"methods": tuple(m for m in group.methods if m in methods)})
        for group in suite.pretraining
    )
    parts = tuple(select(part, [m for m in methods if m in part.methods]) for part in suite.parts)
    update = {"pretraining": tuple(group for group in groups if group.methods), "parts": parts}
    return suite.model_copy(update=update)
