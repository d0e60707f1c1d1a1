"""Names that become files, parts of folders or parts of keys: one pattern for all of them."""

import unicodedata
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

LONGEST = 100
"""Bytes of a name; a file's has room for a suffix, and on most file systems 255."""

SIGNS = "_-+=. "
"""What a name may hold beside letters, marks and digits of any script; it neither begins nor ends with one but _."""

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
"""Names of devices on Windows, with any suffix."""


def name_error(name: str) -> str:
    """Why ``name`` cannot name a file everywhere; empty where it can."""
    wrong = [sign for sign in name if sign not in SIGNS and unicodedata.category(sign)[0] not in "LMN"]
    if not name:
        return "it is empty"
    if wrong:
        return f"it holds {wrong[0]!r}"
    if name[0] in SIGNS[1:] or name[-1] in SIGNS[1:]:
        return f"it begins or ends with {(name[0] if name[0] in SIGNS[1:] else name[-1])!r}"
    if name.partition(".")[0].strip().lower() in RESERVED:
        return "Windows keeps it for a device"
    if len(name.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return ""


def _checked(name: str) -> str:
    if why := name_error(name):
        raise PydanticCustomError(
            "file_name",
            "cannot name files: {why}. Try: letters, digits and _, with - + = . or a space inside",
            {"why": why},
        )
    return name


def _below(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or "\0" in folder or not path.parts:
        raise PydanticCustomError(
            "folder", "must be a folder below the data root. Try: give a folder that lies elsewhere as `root`"
        )
    return folder


Name = Annotated[str, AfterValidator(_checked)]
"""A name that becomes a file or part of one, the same on every system."""

Below = Annotated[str, AfterValidator(_below)]
"""A relative folder that stays below another."""
