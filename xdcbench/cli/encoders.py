"""The command that tries encoders from elsewhere. It imports its code when it runs, which keeps ``--help`` fast."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import DeviceOption, TrustOption, say

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog=examples(
        "xdcbench validate-encoder my_encoder:Tiny",
        "xdcbench validate-encoder torchvision:r3d_18 --data DIR",
    )
)
def validate_encoder(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC",
            help="module:object, torchvision:NAME, mfcc, a name of `list weights`, or a folder of a run or export.",
        ),
    ],
    modality: Annotated[
        Literal["video", "audio"] | None, typer.Option(help="Check only this encoder. Default: all.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Read a few media files of this folder, beside generated clips."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting as an entry of `encoders` has it, e.g. video.weights=FILE. Repeatable.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    trust_code: TrustOption = False,
) -> None:
    """Check an encoder before hours are spent on it.

    Exit code 0: all checks passed. 1: one failed. 2: it cannot be built.
    """
    from xdcbench.pipeline.encoder_entry import entry_of

    entry_of(spec, modality, tuple(overrides or ()))  # tells mistakes before torch is imported
    from xdcbench.pipeline.encoder_validation import Request, validation_lines

    lines, code = validation_lines(Request(spec, modality, data, tuple(overrides or ()), device, trust_code))
    say(lines, wrap=True)
    raise typer.Exit(code)
