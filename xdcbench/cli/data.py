"""The commands of ``xdcbench data``. Each imports its code only when it runs, which keeps ``--help`` fast."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from xdcbench.cli.examples import examples
from xdcbench.cli.options import say, takes
from xdcbench.cli.request import DataRootOption, Request, require_dataset

app = typer.Typer(
    rich_markup_mode=None,
    help="List, verify, describe and prepare datasets.",
    epilog=examples(
        "xdcbench data list --data-root DIR",
        "xdcbench data verify ucf101 --root DIR",
        "xdcbench data prepare kinetics400 --root DIR --output SHARDS",
    ),
    no_args_is_help=True,
)

PartName = Literal["train", "test", "all"]
PartOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Do only this part of the work, e.g. 1/4. Parts may run at once; the last to end merges all.",
    ),
]


@app.command("list", epilog=examples("xdcbench data list", "xdcbench data list --data-root DIR"))
def list_(data_root: DataRootOption = None) -> None:
    """List the datasets, each with its place on this machine.

    Shows media, splits, official numbers of items, license and source.
    """
    from xdcbench.cli.validation_output import list_lines

    say(list_lines(data_root), wrap=True)


@app.command(
    epilog=examples(
        "xdcbench data verify ucf101 --root DIR",
        "xdcbench data verify kinetics400 --shards SHARDS",
        "xdcbench data verify kinetics400 --root DIR --part 1/4",
    )
)
@takes(Request)
def verify(
    request: Request,
    min_seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Report items shorter than this as short.")
    ] = 2.0,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Verify these prepared shards instead: every member against its hash."
        ),
    ] = None,
    part: PartOption = None,
) -> None:
    """Decode every file; report what is missing or wrong. Run the same command to resume.

    Exit code 1: more than `max_failed` of the items of a split are unusable, or shards are damaged.
    """
    if shards is None:
        require_dataset(request)
    from xdcbench.cli.preparation_output import verify_shards_lines
    from xdcbench.cli.validation_output import processes, verify_lines
    from xdcbench.utils.parts import Part

    share = Part.parse(part) if part else None
    if shards is None:
        lines, code = verify_lines(request, clip_seconds=min_seconds, part=share)
    else:
        lines, code = verify_shards_lines(request.name, shards, workers=processes(request), part=share)
    say(lines, wrap=True)
    raise typer.Exit(code)


@app.command(
    epilog=examples(
        "xdcbench data stats ucf101 --root DIR", "xdcbench data stats esc50 --data-root DIR --results more"
    )
)
@takes(Request)
def stats(request: Request) -> None:
    """Show lengths, sizes, rates, codecs, audio and classes. Prints a table and draws a figure."""
    require_dataset(request)
    from xdcbench.cli.validation_output import stats_lines

    say(stats_lines(request))


@app.command(
    epilog=examples(
        "xdcbench data prepare kinetics400 --root DIR --output SHARDS",
        "xdcbench data prepare esc50 --root DIR --output SHARDS --audio-codec flac",
        "xdcbench data prepare kinetics400 --root DIR --output SHARDS --part 1/4",
    )
)
@takes(Request, "results")
def prepare(
    request: Request,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the shards to write or update.")],
    short_side: Annotated[
        int, typer.Option(help="Short side, pixels. Smaller videos keep their size.")
    ] = 160,
    fps: Annotated[float, typer.Option(help="Frames per second. Slower videos keep their rate.")] = 30.0,
    keyframe_interval: Annotated[int, typer.Option(help="Frames from one keyframe to the next.")] = 8,
    qp: Annotated[int, typer.Option(help="Constant quantizer of H.264, 1 to 51.")] = 23,
    audio_codec: Annotated[
        Literal["wav", "flac"], typer.Option(help="FLAC is smaller, WAV is faster to read.")
    ] = "wav",
    sample_rate: Annotated[int, typer.Option(help="Audio samples per second.")] = 16_000,
    shard_bytes: Annotated[
        int, typer.Option(min=1, help="Maximum size of a shard that holds several items.")
    ] = 256 << 20,
    part: PartOption = None,
) -> None:
    """Decode every file once; write shards that read fast. Run the same command to resume or update."""
    require_dataset(request)
    from xdcbench.cli.preparation_output import prepare_lines
    from xdcbench.config.data import ShardSettings
    from xdcbench.config.load import validate
    from xdcbench.utils.parts import Part

    chosen = {
        "short_side": short_side,
        "fps": fps,
        "keyframe_interval": keyframe_interval,
        "qp": qp,
        "audio_codec": audio_codec,
        "sample_rate": sample_rate,
    }
    settings = validate(ShardSettings, chosen, where="data prepare")
    share = Part.parse(part) if part else None
    say(prepare_lines(request, output, settings, shard_bytes=shard_bytes, part=share))


@app.command(
    epilog=examples(
        "xdcbench data synth --output DIR --set world.kinetics_train=40",
        "xdcbench data synth --output DIR --set world.ucf101_groups=6",
    )
)
def synth(
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder to write; use it as --data-root of `run`.")
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting, e.g. world.kinetics_train=40. Repeatable."),
    ] = None,
) -> None:
    """Write a synthetic world of any size. Run the same command to resume."""
    from xdcbench.cli.validation_output import synth_lines

    say(synth_lines(output, set_ or ()))


@app.command(
    epilog=examples(
        "xdcbench data overlap kinetics400 ucf101 --data-root DIR --output ids.txt",
        "xdcbench data overlap audioset vggsound --data-root DIR",
    )
)
@takes(partial(Request, ""), "root", "overrides")
def overlap(
    request: Request,
    a: Annotated[str, typer.Argument(metavar="A", help="Dataset to learn from.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Dataset to test on.")],
    root_a: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of A.")] = None,
    root_b: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of B.")] = None,
    set_a: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Change a setting of A. Repeatable.")
    ] = None,
    set_b: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Change a setting of B. Repeatable.")
    ] = None,
    part_a: Annotated[PartName, typer.Option(help="Part of A, in any split.")] = "train",
    part_b: Annotated[PartName, typer.Option(help="Part of B, in any split.")] = "test",
    frames: Annotated[int, typer.Option(min=1, help="Frames that two duplicate items must share.")] = 3,
    bits: Annotated[
        int,
        typer.Option(min=0, max=63, help="Maximum Hamming distance, of 64 bits, at which two frames match."),
    ] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the ids of A that are also in B to this file, one per line."
        ),
    ] = None,
) -> None:
    """Find items of A that are also in B. Compares YouTube ids, file names and hashes of frames."""
    from xdcbench.cli.validation_output import overlap_lines

    left = replace(request, name=a, root=root_a, overrides=set_a)
    right = replace(request, name=b, root=root_b, overrides=set_b)
    say(overlap_lines(left, right, parts=(part_a, part_b), frames=frames, bits=bits, write=output))
