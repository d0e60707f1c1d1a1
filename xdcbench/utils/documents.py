"""JSON and YAML files from anywhere: read with limits, as plain finite values, or refused in one line with the path."""

import io
import json
import logging
import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from xdcbench.errors import UserError
from xdcbench.utils.io import atomic_write

log = logging.getLogger("xdcbench")

T = TypeVar("T")

SMALL = 16 << 20
"""Bytes of a file that describes one thing; as Python objects it takes up to 20 times as much."""

LISTING = 512 << 20
"""Bytes of a file that may list every item of a dataset."""

YAML_BYTES = 1 << 20
"""Bytes of a YAML file, which a person writes."""

YAML_VALUES = 100_000
"""Values of a YAML file once its aliases are written out."""

DEPTH = 100
"""Levels of a file; whoever goes through its values may recurse."""

DIGITS = 300
"""Digits of a whole number; longer ones fit no float."""

RESTORE = "restore it from a copy, or make what it belongs to again"
RUN_AGAIN = "make the run again with `xdcbench run --policy always` and its suite"
"""What mends a file: of anything, and of a run."""


def read_json(path: Path, *, limit: int = SMALL, fix: str = RESTORE) -> Any:
    """Content of a JSON file, UTF-8: plain values, all numbers finite.

    Raises:
        UserError: there is no such file, or it is not such JSON.
    """
    try:
        return _json(_bytes(path, limit))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not readable JSON ({_reason(error)}). Try: {fix}") from error


def parse_json(content: bytes, name: str, *, fix: str = RESTORE) -> Any:
    """As `read_json`, of content that messages call ``name``."""
    try:
        return _json(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not readable JSON ({_reason(error)}). Try: {fix}") from error


def read_as(kind: Any, path: Path, *, limit: int = SMALL, fix: str = RESTORE) -> Any:
    """Content of a JSON file as ``kind``, a type that pydantic knows.

    Raises:
        UserError: as `read_json`; a value is missing or of another type, and the message says which.
    """
    return check(kind, read_json(path, limit=limit, fix=fix), str(path), fix=fix)


def check(kind: Any, content: Any, name: str, *, fix: str = RESTORE) -> Any:
    """``content`` of a file that messages call ``name``, as ``kind``.

    Raises:
        UserError: a value is missing or of another type.
    """
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise UserError(f"{name}: {place}: {first['msg']}. Try: {fix}") from error


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    """To build one takes a millisecond, and there are thousands of files of few kinds."""
    return TypeAdapter(kind)


def check_schema(stated: Any, known: int, what: str, *, fix: str) -> None:
    """Refuse content of another schema by its number, before its fields are looked at.

    Args:
        stated: the number in the content; anything but a whole number is left to `check`.
        known: the number that this version reads.
        what: the content, up to its number: ``FILE has records of``.
        fix: what mends content of an older schema.

    Raises:
        UserError: it is of another schema.
    """
    if isinstance(stated, int) and stated != known:
        age, mend = ("a newer", "upgrade xdcbench") if stated > known else ("an older", fix)
        raise UserError(f"{what} schema {stated}, of {age} xdcbench; this one reads {known}. Try: {mend}")


def json_lines(path: Path, *, limit: int = LISTING, fix: str = RESTORE) -> Iterator[Any]:
    """Values of a file with one per line; NaN and infinities, which losses may be, are let through.

    Raises:
        UserError: there is no such file, or a line is no JSON.
    """
    where = str(path)
    try:
        lines = _bytes(path, limit).decode().splitlines()
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            if line:
                yield json.loads(line, parse_int=_int)
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{where} is not readable JSON ({_reason(error)}). Try: {fix}") from error


def read_yaml(path: Path) -> Any:
    """Content of a YAML file, loaded safely: plain values, all numbers finite; interpolations stay text.

    Raises:
        UserError: there is no such file, or it is not such YAML.
    """
    try:
        text = _bytes(path, YAML_BYTES).decode("utf-8-sig")
        _check_shape(text)
        return plain(OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not readable YAML: {_reason(error)}") from error


def read_setting(text: str) -> dict[str, Any]:
    """The mapping that ``a.b=value`` stands for; the value is read as YAML.

    Raises:
        UserError: it is not such YAML.
    """
    path, _, value = text.partition("=")
    try:
        if path.count(".") >= DEPTH:
            raise ValueError("nested too deep")
        _check_shape(value)
        tree = plain(OmegaConf.to_container(OmegaConf.from_dotlist([text]), resolve=False))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise UserError(f"--set {text!r} has no readable value: {_reason(error)}") from error
    return {str(key): inner for key, inner in tree.items()}


def plain(value: Any) -> Any:
    """``value`` as it is.

    Raises:
        ValueError: it holds a number that is not finite, or anything but numbers, text, lists and mappings.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            plain(key)
            plain(inner)
    elif isinstance(value, list):
        for inner in value:
            plain(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    elif isinstance(value, int) and abs(value) >= 10**DIGITS:
        raise ValueError(_too_long(len(str(abs(value) // 10**DIGITS)) + DIGITS))
    elif not isinstance(value, float | int | str | None):
        raise ValueError(f"a value of type {type(value).__name__}; write it as text")
    return value


def _bytes(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit >> 20} MiB")
    return content


def _json(content: bytes) -> Any:
    found = json.loads(content.decode(), parse_int=_int, parse_float=_float, parse_constant=_float)
    level = [found]
    for _ in range(DEPTH):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return found
    raise ValueError("nested too deep")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _int(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(_too_long(len(text.lstrip("-"))))
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _too_long(digits: int) -> str:
    return f"a whole number of {digits} digits"


def _check_shape(text: str) -> None:
    """Refuse what is nested too deep, aliases that make much of little, and those of what they are in.

    Events are looked at, since building the values recurses in C, which ends the process where it is too deep.
    """
    sizes: dict[str, int] = {}
    above: list[tuple[str | None, int]] = []
    values = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            above.append((event.anchor, values))
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = above.pop()
            sizes |= {anchor: values - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} is recursive, or of nothing before it")
            values += sizes[event.anchor]
        if len(above) > DEPTH:
            raise ValueError("nested too deep")
        if values > YAML_VALUES:
            raise ValueError(f"more than {YAML_VALUES:,} values, aliases written out")


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in one line."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"no UTF-8 at byte {error.start}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, ValueError) and "integer string conversion" in str(error):
        return _too_long(DIGITS) + " or more"
    return ", ".join(line.strip() for line in str(error).splitlines()[:3])


def read_cache(path: Path, kind: Any = Any) -> Any:
    """Content of a JSON file that can be made again, as ``kind``, a type that pydantic knows; None where it is missing
    or damaged, which the log says."""
    if not path.exists():
        return None
    try:
        return read_as(kind, path, limit=LISTING)
    except UserError:
        log.warning("%s is damaged; it is passed over, and made again when it is next due", path)
        return None


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON such that ``path`` is at every moment whole."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def write_mapping(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """As `write_json` of a mapping, without holding it; each name is there once."""
    with atomic_write(path) as part, part.open("w", encoding="utf-8") as file:
        before = "{"
        for name, value in pairs:
            file.write(f"{before}\n {json.dumps(name)}: {json.dumps(value)}")
            before = ","
        file.write("{}\n" if before == "{" else "\n}\n")
