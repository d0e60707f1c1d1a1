"""The page of all settings, from the models that check them."""

import inspect
import json
import re
from collections.abc import Iterator
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from xdcbench.config import (
    data,
    evaluation,
    executors,
    front_ends,
    models,
    pretraining,
    released,
    suite,
    table,
)
from xdcbench.config.base import Config

INTRODUCTION = """\
# Settings

Every key of a suite, dataset, method, evaluation, table or executor, with its type, its default and its unit. A suite
lays its own keys over a `base` of the library ([write a suite](../how-to/own-suite.md)). `--set a.b=value` changes any
of them; `evaluations.<name>` stands for an evaluation of the suite, by its name. A default of `none` is `null` in YAML.
An unknown key is an error that names the nearest known one.
"""
SECTIONS: dict[str, ModuleType] = {
    "Suites": suite,
    "Methods and pretraining": pretraining,
    "Evaluations": evaluation,
    "Encoders": models,
    "Front ends of peers": front_ends,
    "Released weights": released,
    "Data": data,
    "Tables": table,
    "Slurm": executors,
}
BOUNDS = {
    "ge": "≥",
    "gt": ">",
    "le": "≤",
    "lt": "<",
    "multiple_of": "a multiple of",
    "min_length": "at least",
}
PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "none", Any: "any"}
PLACES = {"parts"}
"""Fields of a suite that hold what a suite holds."""


def settings_page() -> str:
    """Every setting, by subject and model, in Markdown."""
    places = where(suite.Suite)
    return INTRODUCTION + "".join(
        f"\n## {title}\n" + "".join(section(model, places.get(model, [])) for model in configs(module))
        for title, module in SECTIONS.items()
    )


def configs(module: ModuleType) -> Iterator[type[Config]]:
    """The models that a module defines; it defines parts before what holds them, and the page has them after."""
    for value in reversed(vars(module).values()):
        if inspect.isclass(value) and issubclass(value, Config) and value.__module__ == module.__name__:
            yield value


def where(model: type[Config], prefix: str = "") -> dict[type[Config], list[str]]:
    """The keys of a suite at which each model stands."""
    found: dict[type[Config], list[str]] = {}
    for name, field in model.model_fields.items():
        if name in PLACES:
            continue
        for inner, repeated in inside(field.annotation):
            key = f"{prefix}{name}{'.<name>' if repeated else ''}"
            found.setdefault(inner, []).append(key)
            for deeper, keys in where(inner, f"{key}.").items():
                found.setdefault(deeper, []).extend(keys)
    return found


def inside(annotation: Any, repeated: bool = False) -> Iterator[tuple[type[Config], bool]]:
    """The models in a type, and whether several stand there by name."""
    if inspect.isclass(annotation) and issubclass(annotation, Config):
        yield annotation, repeated
    for part in get_args(annotation):
        yield from inside(part, repeated or get_origin(annotation) is dict)


def section(model: type[Config], keys: list[str]) -> str:
    """One model with its keys."""
    text, attributes = documented(model)
    rows = "".join(row(name, field, attributes.get(name, "")) for name, field in model.model_fields.items())
    shown = list(dict.fromkeys(keys))
    place = f"\nIn a suite: {', '.join(f'`{key}`' for key in shown[:4])}" if shown else ""
    more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
    return (
        f"\n### {model.__name__}\n\n{text}\n{place}{more}\n"
        f"\n| key | type | default | meaning |\n|---|---|---|---|\n{rows}"
    )


def documented(model: type[Config]) -> tuple[str, dict[str, str]]:
    """The docstring of a model before its attributes, and what it says of each of these."""
    text = inspect.cleandoc(model.__doc__ or "").replace("``", "`")
    head, _, attributes = text.partition("\nAttributes:\n")
    return head.strip(), dict(re.findall(r"^ +(\w+): (.*)$", attributes, flags=re.M))


def row(name: str, field: FieldInfo, attribute: str) -> str:
    """One line of a model's table."""
    kind = words(field.annotation) + bounds(field.metadata)
    return f"| `{name}` | {kind} | {default(field)} | {meaning(field, attribute)} |\n"


def meaning(field: FieldInfo, attribute: str) -> str:
    """What a key means; a key of a single value tells its model from others."""
    is_kind = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    return field.description or attribute or ("always this" if is_kind else "")


def words(annotation: Any) -> str:
    """A type in words; models are links to their keys."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words(args[0]) + bounds(args[1:])
    if origin is Literal:
        return ", ".join(f"`{arg}`" for arg in args)
    if origin in (Union, UnionType):
        return " or ".join(words(arg) for arg in args)
    if origin is tuple:
        return f"list of {words(args[0])}" + ("" if args[-1] is ... else f", {len(args)} of them")
    if origin is dict:
        return f"mapping of {words(args[0])} to {words(args[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, Config):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return PLAIN.get(annotation) or getattr(annotation, "__name__", str(annotation))


def bounds(metadata: Any) -> str:
    """The limits of a value, from the constraints that check it."""
    found = [
        f"{sign} {getattr(item, name)}"
        for item in metadata
        for name, sign in BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def default(field: FieldInfo) -> str:
    """The default of a key."""
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, Config):
        changed = value.model_dump(mode="json", exclude_unset=True)
        return f"`{json.dumps(changed)}`" if changed else "its own"
    return f"`{json.dumps(value)}`"
