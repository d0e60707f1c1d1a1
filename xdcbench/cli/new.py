"""The command that writes files to begin from, copied from ``templates``."""

import keyword
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import say
from xdcbench.errors import UserError
from xdcbench.utils.io import writing

app = typer.Typer(rich_markup_mode=None)

Kind = Literal["suite", "dataset", "method", "encoder"]
TEMPLATES = Path(__file__).parent / "templates"


@app.command(epilog=examples("xdcbench new suite mine", "xdcbench new encoder my_encoder --output DIR"))
def new(
    kind: Annotated[Kind, typer.Argument(help="What to write: three are YAML files, an encoder is Python.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name and that of the file.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder to write to, made if it is not there.")
    ] = Path(),
) -> None:
    """Write a suite, dataset, method or encoder to edit."""
    path = write_new(kind, name, output)
    command = _filled(
        _template(kind).read_text(encoding="utf-8").split("\n")[0], path, str(path), str(output)
    )
    say([f"wrote  {path}", f"try    {command.removeprefix('# ')}"])


def write_new(kind: Kind, name: str, folder: Path) -> Path:
    """Write the template of ``kind`` under ``name``; returns the file.

    Raises:
        UserError: a name that cannot be that of a file or, for an encoder, of a new module; a file that is there
            already or cannot be written.
    """
    from xdcbench.utils.code import is_module
    from xdcbench.utils.names import name_error

    template = _template(kind)
    name = name.removesuffix(template.suffix)
    path = folder / f"{name}{template.suffix}"
    if why := name_error(name):
        raise UserError(
            f"new {kind} {name!r}: {why}. Try: letters, digits and _, with - + = . or a space inside"
        )
    if kind == "encoder" and not (name.isidentifier() and not keyword.iskeyword(name)):
        raise UserError(f"new encoder {name!r}: Python cannot import it. Try: letters, digits and _ alone")
    if not path.exists() and kind == "encoder" and is_module(name):
        raise UserError(f"new encoder {name!r}: Python has a module of this name. Try: another name")
    with writing(path, "give another folder with --output"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(_filled(template.read_text(encoding="utf-8"), path, path.name, "."))
        except FileExistsError as error:
            raise UserError(
                f"{path} is there and is not overwritten. Try: another name or --output"
            ) from error
    return path


def _template(kind: Kind) -> Path:
    return TEMPLATES / f"{kind}.{'py' if kind == 'encoder' else 'yaml'}"


def _filled(text: str, path: Path, file: str, folder: str) -> str:
    """A template's text with its words in capitals replaced."""
    words = {"NAME": path.stem, "FILE": shlex.quote(file), "FOLDER": shlex.quote(folder)}
    return re.sub(rf"\b({'|'.join(words)})\b", lambda found: words[found[0]], text)
