"""What the commands of ``xdcbench data`` take from the command line about a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xdcbench.cli.completion import complete_datasets

if TYPE_CHECKING:
    from xdcbench.utils.code import Consent

DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", envvar="XDCBENCH_DATA_ROOT", help="Folder of all datasets."),
]


@dataclass(frozen=True)
class Request:
    """A dataset, where it is and how it is read; each field is an option of the commands that take it."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", help="Dataset; see `xdcbench data list`.", autocompletion=complete_datasets
        ),
    ]
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of this dataset.")] = None
    data_root: DataRootOption = None
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, e.g. options.list=mine.csv. Repeatable."
        ),
    ] = None
    results: Annotated[
        Path, typer.Option(metavar="DIR", envvar="XDCBENCH_RESULTS", help="Results folder.")
    ] = Path("results")
    num_workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that decode. Default: one per core. Results do not depend on it."
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Time limit per file; a slower file counts as undecodable."
        ),
    ] = 300.0
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the code (module:function) that the file names.")
    ] = False
    fingerprint: Annotated[
        Literal["size", "content"],
        typer.Option(
            help="Identify files by their sizes or by a hash of their content. `content` reads every file."
        ),
    ] = "size"

    @property
    def consent(self) -> "Consent":
        """The code of others that the user lets run."""
        from xdcbench.utils.code import Consent

        return Consent.given(trust=self.trust_code, settings=self.overrides or ())


def require_dataset(request: Request) -> None:
    """Refuse a dataset that cannot be read as asked at once, before what decodes it is loaded.

    Raises:
        UserError: as `load_dataset`.
    """
    from xdcbench.config.load import load_dataset

    load_dataset(request.name, overrides=request.overrides or (), consent=request.consent)
