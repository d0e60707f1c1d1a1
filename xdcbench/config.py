"""Suites from YAML: loading, composing with the shared library of parts, overriding, validating."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from xdcbench.errors import UserError
from xdcbench.resources import find, folder, listing, unknown
from xdcbench.schema import Config, Dataset, Suite, Table

C = TypeVar("C", bound=Config)
Tree = dict[str, Any]


def load_suite(
    name: str,
    *,
    overrides: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    trust: bool = True,
) -> Suite:
    """Compose a suite: its own YAML over the library's parts, then the overrides.

    Args:
        name: a suite of ``configs/suites`` or the path of a YAML file.
        overrides: ``a.b=value`` strings, applied last.
        methods: keep only these methods; empty keeps all.
        seeds: pretraining seeds in place of the suite's own.
        trust: whether the file may name code of its own; the command line always may.

    Raises:
        UserError: code that is not trusted; an unknown name, key or value, of the suite or of a table that it names.
    """
    path = find(folder("configs") / "suites", name, what="suite")
    tree = compose(read(path), path)
    tree.setdefault("name", path.stem)
    if not trust:
        _check_trust(tree, path)
    tree = override(tree, overrides)
    if seeds:
        tree["seeds"] = list(seeds)
    suite = validate(Suite, tree, where=str(path))
    for table in suite.tables:  # an unknown one shall be told before hours of work, not after
        load_table(table)
    return select(suite, methods) if methods else suite


def _check_trust(tree: Tree, path: Path) -> None:
    named = {f"datasets.{name}.adapter": _at(entry, "adapter") for name, entry in tree["datasets"].items()}
    for name, entry in _mapping(tree, "encoders", path).items():
        for modality in ("video", "audio"):
            named[f"encoders.{name}.{modality}.source"] = _at(_at(entry, modality), "source")
    for key, code in named.items():
        if isinstance(code, str) and ":" in code and not code.startswith("torchvision:"):
            raise UserError(
                f"{path}: {key} runs code, {code!r}; read it, then give --trust, or name it yourself with "
                f"--set {key}={code}"
            )


def _at(tree: Any, key: str) -> Any:
    return tree.get(key) if isinstance(tree, dict) else None


def load_table(name: str) -> Table:
    """A table of ``tables/`` by name, or a YAML file by path."""
    path = find(folder("tables"), name, what="table")
    return validate(Table, read(path), where=str(path))


def load_dataset(name: str, *, overrides: Sequence[str] = (), trust: bool = True) -> Dataset:
    """A data set of ``configs/datasets`` by name, or a YAML file by path, with ``a.b=value`` laid over it.

    Raises:
        UserError: as `load_suite`.
    """
    path = find(folder("configs") / "datasets", name, what="data set")
    tree = read(path)
    code = str(tree.get("adapter"))
    if ":" in code and not trust:
        raise UserError(
            f"{path}: adapter runs code, {code!r}; read it, then give --trust, or name it yourself with "
            f"--set adapter={code}"
        )
    return validate(Dataset, override(tree, overrides), where=str(path))


def read(path: Path) -> Tree:
    """The mapping in a YAML file, loaded safely; interpolations stay text.

    Raises:
        UserError: the file is not YAML, or not a mapping.
    """
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} is not readable YAML: {_one_line(error)}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold a mapping of names to values; found a {type(tree).__name__}")
    return {str(key): value for key, value in tree.items()}


def compose(suite: Tree, path: Path) -> Tree:
    """Lay the suite's own values over the parts that it names."""
    configs, baselines = folder("configs"), folder("baselines")
    tree = dict(suite)
    for part in ("pretrain", "models"):
        own = _mapping(tree, part, path)
        base = own.pop("base", None)
        tree[part] = merge(read(find(configs / part, str(base), what=f"{part} base")), own) if base else own
    groups = _mappings(tree, "pretraining", path)
    measures = _mappings(tree, "measure", path)
    used = {
        "methods": (baselines / "methods", [m for g in groups for m in _names(g, "methods", path)]),
        "datasets": (
            configs / "datasets",
            [g["data"] for g in groups if g.get("data")] + [m["dataset"] for m in measures if "dataset" in m],
        ),
        "evaluations": (configs / "evaluations", [m["evaluation"] for m in measures if "evaluation" in m]),
    }
    for part, (where, wanted) in used.items():
        own = _mapping(tree, part, path)
        what = {"methods": "method", "datasets": "data set", "evaluations": "evaluation"}[part]
        tree[part] = {
            name: _part(_mapping(own, name, path), name, where, what)
            for name in dict.fromkeys(map(str, [*wanted, *own]))
        }
    return tree


def _part(stated: Tree, name: str, where: Path, what: str) -> Tree:
    """A library entry with the suite's changes; a suite may also define the whole entry itself."""
    base = stated.pop("base", None)
    if base is None and stated and not (where / f"{name}.yaml").is_file():
        return stated
    return merge(read(find(where, str(base or name), what=what)), stated)


def _mapping(tree: Tree, key: str, path: Path) -> Tree:
    value = tree.get(key)
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{path}: {key!r} must be a mapping of names to values; found {value!r}")
    return {str(name): inner for name, inner in (value or {}).items()}


def _mappings(tree: Tree, key: str, path: Path) -> list[Tree]:
    entries = tree.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path}: {key!r} must be a list of mappings; found {entries!r}")
    return entries


def _names(group: Tree, key: str, path: Path) -> list[str]:
    values = group.get(key)
    if not isinstance(values, list):
        raise UserError(f"{path}: {key!r} must be a list of names; found {values!r}")
    return values


def merge(base: Tree, over: Tree) -> Tree:
    """``over`` laid on ``base``: mappings merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def override(tree: Tree, overrides: Iterable[str]) -> Tree:
    """Apply ``a.b=value`` strings; values are read as YAML.

    Raises:
        UserError: an override without ``=``, or one that names a method, data set or evaluation that
            the suite does not use.
    """
    for text in overrides:
        path, equals, _ = text.partition("=")
        if not equals or not path:
            raise UserError(f"--set {text!r} must read key=value, for example pretrain.rounds=3")
        head, *rest = path.split(".")
        known = tree.get(head) if head in ("methods", "datasets", "evaluations") else None
        if rest and isinstance(known, dict) and rest[0] not in known:
            raise UserError(f"--set {text}: " + unknown(f"name in {head!r}", rest[0], known))
        try:
            over = OmegaConf.to_container(OmegaConf.from_dotlist([text]), resolve=False)
        except (YAMLError, OmegaConfBaseException) as error:
            raise UserError(f"--set {text!r} has no readable value: {_one_line(error)}") from error
        assert isinstance(over, dict)
        tree = merge(tree, {str(key): value for key, value in over.items()})
    return tree


def select(suite: Suite, methods: Sequence[str]) -> Suite:
    """The suite with only the named methods.

    Raises:
        UserError: a method that the suite does not have.
    """
    for name in methods:
        if name not in suite.methods:
            raise UserError(unknown(f"method of suite {suite.name!r}", name, suite.methods))
    groups = tuple(
        group.model_copy(update={"methods": tuple(m for m in group.methods if m in methods)})
        for group in suite.pretraining
    )
    return suite.model_copy(update={"pretraining": tuple(group for group in groups if group.methods)})


def validate(model: type[C], tree: Tree, *, where: str) -> C:
    """``tree`` as a typed configuration.

    Raises:
        UserError: names the file, the key, the value and, for an unknown key, the nearest known one.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{where}: " + "; ".join(_explain(model, e) for e in error.errors()[:3])) from error


def _explain(model: type[BaseModel], error: Any) -> str:
    loc = [str(part) for part in error["loc"]]
    # The third part of the place of an evaluation's field is the union's tag, which no file has as a key.
    key = ".".join(loc[:2] + loc[3:] if loc[:1] == ["evaluations"] else loc)
    if error["type"] == "extra_forbidden":
        return unknown(f"key {key!r}: no field", loc[-1], _fields_at(model, loc[:-1]))
    if error["type"] == "missing":
        return f"{key!r} is missing"
    return f"{key!r} = {error['input']!r}: {error['msg'][0].lower() + error['msg'][1:]}"


def _fields_at(model: type[BaseModel], loc: Sequence[str]) -> list[str]:
    """Field names of the configuration at ``loc`` below ``model``."""
    models: list[type[BaseModel]] = [model]
    for part in loc:
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field)]
        elif tagged := [
            m for m in models if "kind" in m.model_fields and m.model_fields["kind"].default == part
        ]:
            models = tagged  # a union's tag; keys of mappings and list positions are passed over
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _one_line(error: Exception) -> str:
    return listing(line.strip() for line in str(error).splitlines()[:3])
