"""A tree of values as a typed configuration, and what is wrong with one that does not fit."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from xdcbench.config.base import Config
from xdcbench.config.models import WINDOW_KINDS
from xdcbench.errors import UserError
from xdcbench.utils.messages import unknown_name

C = TypeVar("C", bound=Config)


def validate(model: type[C], tree: dict[str, Any], *, where: str) -> C:
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
    key = ".".join(loc[:2] + loc[3:] if loc[:1] == ["evaluations"] else _without_kind(loc))
    if error["type"] == "extra_forbidden":
        return unknown_name(f"key {key!r}: no field", loc[-1], _fields_at(model, loc[:-1]))
    if error["type"] == "missing":
        return f"{key!r} is missing"
    return f"{key!r} = {error['input']!r}: {error['msg'][0].lower() + error['msg'][1:]}"


def _without_kind(loc: list[str]) -> list[str]:
    """The place of a field of an audio encoder's ``input`` without the union's tag."""
    before = ["", *loc]
    return [
        part for above, part in zip(before, loc, strict=False) if above != "input" or part not in WINDOW_KINDS
    ]


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
