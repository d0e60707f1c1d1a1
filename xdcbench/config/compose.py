"""What a suite file says, made whole: the parts that it is of, the world that it runs in, the library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xdcbench.config.paths import find, folder
from xdcbench.errors import UserError
from xdcbench.utils.documents import read_yaml
from xdcbench.utils.messages import unknown_name

Tree = dict[str, Any]

PARTS = {"methods": "method", "datasets": "dataset", "evaluations": "evaluation"}
"""What a suite takes from the library by name, and the word for one."""

OF_PARTS = {"name", "description", "parts"}
"""What a suite of parts may say; all else is said by its parts."""


def read_suite(path: Path, world: str = "") -> tuple[Tree, dict[Path, Tree]]:
    """What a suite file itself says, and the whole tree of each suite that it is of: its parts, or itself.

    Raises:
        UserError: parts that are no suites or form a circle; a world that a suite does not know.
    """
    place = find(folder("configs") / "worlds", world, what="world") if world else None
    head = read(path)
    head["name"] = "-".join([str(head.get("name", path.stem)), *([place.stem] if place else [])])
    return head, {leaf: _whole(tree, leaf, place) for leaf, tree in _leaves(path, ())}


def _leaves(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, Tree]]:
    """The suites that are no sum of others, below ``path``."""
    if any(path.samefile(step) for step in above):
        circle = " > ".join(step.stem for step in (*above, path))
        raise UserError(f"{above[0]}: its parts form a circle, {circle}; take one of them out")
    tree = read(path)
    if "parts" not in tree:
        yield path, tree
        return
    for key in tree.keys() - OF_PARTS:
        raise UserError(f"{path}: {key!r} stands beside `parts`; say it in the parts, or leave out `parts`")
    if not names_of(tree, "parts", path):
        raise UserError(f"{path}: 'parts' names no suite")
    for name in names_of(tree, "parts", path):
        part = _find(folder("configs") / "suites", str(name), "suite", path)
        yield from _leaves(part, (*above, path))


def _whole(tree: Tree, path: Path, place: Path | None) -> Tree:
    """A suite laid over the library; in a world, with what that changes."""
    changes = mapping(tree, "worlds", path)
    tree = {key: value for key, value in tree.items() if key != "worlds"}
    tree.setdefault("name", path.stem)
    if place is not None:
        tree = _in_world(tree, changes, path, place)
    return compose(tree, path)


def _in_world(tree: Tree, changes: Tree, path: Path, place: Path) -> Tree:
    """The suite with the world laid over it, and over that what the suite says of this world."""
    if "world" in tree:
        raise UserError(f"{path} has a world of its own; leave out --synthetic")
    if place.stem not in changes:
        raise UserError(f"{path}: " + unknown_name("world in its `worlds`", place.stem, changes))
    laid = merge(tree, merge(read(place), mapping(changes, place.stem, path)))
    for part, wanted in used(laid, path).items():
        stated = {*wanted, *mapping(tree, part, path)}
        laid[part] = {name: of for name, of in mapping(laid, part, path).items() if name in stated}
    return laid | {"name": f"{tree['name']}-{place.stem}"}


def read(path: Path) -> Tree:
    """The mapping in a YAML file, loaded safely; interpolations stay text.

    Raises:
        UserError: the file is not YAML, or not a mapping.
    """
    tree = read_yaml(path)
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold a mapping of names to values; found a {type(tree).__name__}")
    return {str(key): value for key, value in tree.items()}


def compose(suite: Tree, path: Path) -> Tree:
    """Lay the suite's own values over the parts of the library that it names."""
    configs = folder("configs")
    tree = dict(suite)
    for part in ("pretrain", "models"):
        own = mapping(tree, part, path)
        base = own.pop("base", None)
        tree[part] = merge(read(_find(configs / part, str(base), f"{part} base", path)), own) if base else own
    for part, wanted in used(tree, path).items():
        own = mapping(tree, part, path)
        where = folder("baselines") / part if part == "methods" else configs / part
        tree[part] = {
            name: _part(mapping(own, name, path), name, where, part, path)
            for name in dict.fromkeys([*wanted, *own])
        }
    return tree


def used(tree: Tree, path: Path) -> dict[str, list[str]]:
    """Names of the methods, datasets and evaluations that a suite runs."""
    groups = mappings(tree, "pretraining", path) if "pretraining" in tree else []
    measures = mappings(tree, "evaluate", path)
    learned = [group["data"] for group in groups if group.get("data")]
    found = {
        "methods": [method for group in groups for method in names_of(group, "methods", path)],
        "datasets": learned + [measure["dataset"] for measure in measures if "dataset" in measure],
        "evaluations": [measure["evaluation"] for measure in measures if "evaluation" in measure],
    }
    return {part: [str(name) for name in names] for part, names in found.items()}


def _part(stated: Tree, name: str, where: Path, part: str, path: Path) -> Tree:
    """A library entry with the suite's changes; a suite may also define the whole entry itself."""
    base = stated.pop("base", None)
    if base is None and stated and not (where / f"{name}.yaml").is_file():
        return stated
    return merge(read(_find(where, str(base or name), PARTS[part], path)), stated)


def _find(where: Path, name: str, what: str, path: Path) -> Path:
    """What a suite file refers to."""
    try:
        return find(where, name, what=what)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def mapping(tree: Tree, key: str, path: Path) -> Tree:
    """A copy of the mapping at ``key``, empty where there is none.

    Raises:
        UserError: there is something else.
    """
    value = tree.get(key)
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{path}: {key!r} must be a mapping of names to values; found {value!r}")
    return {str(name): inner for name, inner in (value or {}).items()}


def mappings(tree: Tree, key: str, path: Path) -> list[Tree]:
    """The list of mappings at ``key``.

    Raises:
        UserError: there is none.
    """
    entries = tree.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path}: {key!r} must be a list of mappings; found {entries!r}")
    return entries


def names_of(group: Tree, key: str, path: Path) -> list[str]:
    """The list of names at ``key``.

    Raises:
        UserError: there is none.
    """
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
