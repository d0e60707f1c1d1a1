"""The commands of ``xdcbench bench``. Each imports its code only when it runs, which keeps ``--help`` fast."""

from pathlib import Path
from typing import Annotated

import typer

from xdcbench.cli.examples import examples
from xdcbench.utils.shown import safe_text

EXAMPLES = examples("xdcbench bench gpu --output results/bench", "xdcbench bench gpu --quick")

app = typer.Typer(
    rich_markup_mode=None, help="Measure the speed of this machine.", epilog=EXAMPLES, no_args_is_help=True
)


@app.callback()
def bench() -> None:
    """Measure the speed of this machine."""


@app.command(epilog=EXAMPLES)
def gpu(
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder to write gpu.json and gpu.md to.")
    ] = Path("results/bench"),
    device: Annotated[str, typer.Option(help="cuda, cuda:N or cpu. cpu takes hours.")] = "cuda",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Measure one batch size per clip length, nothing compiled. Takes two minutes."
        ),
    ] = False,
    num_workers: Annotated[
        int | None,
        typer.Option(
            "--num-workers",
            min=1,
            help="Processes that read media. Default: two fewer than the cores, at most 16.",
        ),
    ] = None,
) -> None:
    """Measure one GPU beside torchvision's reference training.

    Measures training, encoding, k-means and data wait.

    Takes about five minutes. Needs no data and no network.
    """
    from xdcbench.pipeline.costs.gpu_benchmark import bench_lines, usual_plan

    for line in bench_lines(device, output, usual_plan(quick=quick, readers=num_workers)):
        typer.echo(safe_text(line))
