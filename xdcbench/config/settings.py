"""The settings that ``--set`` can name, by dotted keys."""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from xdcbench.config.compose import Tree

DEPTH = 8
"""Parts of a key at most; configurations may hold configurations of their own kind."""


def setting_keys(model: type[BaseModel], tree: Tree) -> list[str]:
    """Keys of all settings of a configuration: the fields of ``model``, under the names that mappings of ``tree`` have.

    What ``tree`` states comes first, in its order; then what is at its default.
    """
    stated = [key for key in _stated(tree) if "." in key]
    known = dict.fromkeys(_keys(model, tree, DEPTH))
    return [*(key for key in stated if key in known), *(key for key in known if key not in stated)]


def same_setting(key: str, keys: list[str]) -> str | None:
    """The first of ``keys`` that ends as ``key`` does: the whole key of a setting that was named in short."""
    return next((known for known in keys if known.endswith(f".{key}")), None)


def _stated(tree: Any, above: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield f"{above}{name}"
            yield from _stated(value, f"{above}{name}.")


def _keys(model: type[BaseModel], tree: Any, depth: int) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        below = tree.get(name) if isinstance(tree, dict) else None
        if depth > 1:
            yield from (f"{name}.{key}" for key in _below(field.annotation, below, depth - 1))


def _below(annotation: Any, tree: Any, depth: int) -> Iterator[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and origin is None and issubclass(annotation, BaseModel):
        yield from _keys(annotation, tree, depth)
    elif origin is dict and isinstance(tree, dict):
        for name, entry in tree.items():
            yield str(name)
            yield from (f"{name}.{key}" for key in _below(inner[1], entry, depth - 1))
    elif origin in (Union, types.UnionType):
        kind = tree.get("kind") if isinstance(tree, dict) else None
        fitting = [of for of in inner if kind is None or _kind(of) in (None, kind)]
        for option in fitting:
            yield from _below(option, tree, depth)
    elif origin is not None and hasattr(annotation, "__metadata__"):  # Annotated
        yield from _below(inner[0], tree, depth)


def _kind(annotation: Any) -> Any:
    if (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and "kind" in annotation.model_fields
    ):
        return annotation.model_fields["kind"].default
    return None
