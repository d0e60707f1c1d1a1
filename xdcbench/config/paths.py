"""Where configs, tables and baselines lie: beside the package in a checkout, inside it when installed."""

from pathlib import Path
from typing import Literal

from xdcbench.errors import UserError
from xdcbench.utils.messages import comma_separated, unknown_name

PACKAGE = Path(__file__).parents[1]


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
            f"no file {name!r} for a {what}; give a file that exists or one of {comma_separated(names(where))}"
        )
    if name not in names(where):
        raise UserError(unknown_name(what, name, names(where)))
    return where / f"{name}.yaml"
