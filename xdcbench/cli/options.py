"""Options and small parts that commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from xdcbench.errors import UserError
from xdcbench.utils.distributed import is_main_process
from xdcbench.utils.shown import safe_text

SuiteOption = Annotated[
    str, typer.Option("--suite", metavar="NAME|FILE", help="Suite to run; see `xdcbench list suites`.")
]
SyntheticOption = Annotated[
    str,
    typer.Option(
        "--synthetic",
        metavar="NAME|FILE",
        help="Run the suite on this synthetic world, at reduced size and without real data, e.g. `small`.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. pretrain.rounds=3. Repeatable."),
]
MethodsOption = Annotated[str, typer.Option(metavar="A,B", help="Run only these methods of the suite.")]
SeedsOption = Annotated[str, typer.Option(metavar="0,1", help="Pretraining seeds, instead of the suite's.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root", metavar="DIR", envvar="XDCBENCH_DATA_ROOT", help="Folder of the real datasets."
    ),
]
ShardsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shards",
        metavar="DIR|URL",
        envvar="XDCBENCH_SHARDS",
        help="Prepared shards to read instead of a dataset's original files, or a folder with the shards of several "
        "datasets. Repeatable.",
    ),
]
CacheOption = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="BYTES", help="Disk space for cached ranges of remote shards. Default: 20 GiB."
    ),
]
RESULTS = Path("results")
ResultsOption = Annotated[
    Path, typer.Option("--results", metavar="DIR", envvar="XDCBENCH_RESULTS", help="Results folder.")
]
ResultsFoldersOption = Annotated[
    list[Path] | None,
    typer.Option("--results", metavar="DIR", help="Results folder. Repeatable: several are read as one."),
]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N. auto uses CUDA if it is available.")
]
DecodedOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="BYTES",
        help="Memory in which small datasets are kept decoded, each file decoded once. Default: a quarter of what is "
        "free. Results do not depend on it.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Stages to run side by side on a CPU, each with its share of the cores. Default: for a suite with a "
        "synthetic world one per core, at most 4; otherwise 1.",
    ),
]
NumWorkersOption = Annotated[
    int | None,
    typer.Option(
        "--num-workers",
        min=0,
        help="Processes that read media. Default: two fewer than the cores, but one on two cores, and at most 16. 0 "
        "reads in the training process. Results do not depend on it.",
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-code", help="Run the code (module:object) that a suite, run or export names."),
]
FingerprintOption = Annotated[
    Literal["size", "content"],
    typer.Option(
        help="Identify original files by their sizes or by a hash of their content. `content` reads every file. The "
        "two give different keys."
    ),
]


def words(text: str) -> tuple[str, ...]:
    """The values of a comma-separated option."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str) -> tuple[int, ...]:
    """The seeds of ``--seeds``.

    Raises:
        UserError: one is no whole number.
    """
    found = words(text)
    for word in found:
        if not word.isdecimal():
            raise UserError(f"--seeds {text!r}: {word!r} is no whole number; give for example 0,1,2")
    return tuple(int(word) for word in found)


def say(lines: Iterable[object]) -> None:
    """Print lines; of several processes, the main process does."""
    if is_main_process():
        for line in lines:
            typer.echo(safe_text(str(line)))
