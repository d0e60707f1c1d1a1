"""Where configs, tables and baselines lie: beside the package in a checkout, inside it when installed."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from xdcbench.errors import UserError

PACKAGE = Path(__file__).parent


def folder(name: Literal["configs", "tables", "baselines"]) -> Path:
    """The data folder ``name``, in an installed wheel or in a checkout.

    Raises:
        UserError: the installation lacks it.
    """
    for candidate in (PACKAGE / "share" / name, PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise UserError(f"this installation of xdcbench lacks its folder {name!r}; install the package again")


def names(where: Path) -> list[str]:
    """Names of the YAML files in ``where``, sorted."""
    return sorted(path.stem for path in where.glob("*.yaml"))


def find(where: Path, name: str, *, what: str) -> Path:
    """The file ``name``.yaml in ``where``, or the YAML file that ``name`` is itself the path of.

    Raises:
        UserError: there is none; the message names the nearest known one.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.is_file():
            return path
        raise UserError(
            f"no file {name!r} for a {what}; give a file that exists or one of {listing(names(where))}"
        )
    if name not in names(where):
        raise UserError(unknown(what, name, names(where)))
    return where / f"{name}.yaml"


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """A message for a name that is not among ``known``, with the nearest of them."""
    known = list(known)
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {listing(known)}"
    return f"unknown {what} {value!r}; {hint}"


def listing(values: Iterable[str]) -> str:
    """Comma-separated values for a message, or a word for none."""
    return ", ".join(values) or "none"
