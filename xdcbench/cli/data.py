"""The commands of ``xdcbench data``. Each imports its code only when it runs, which keeps ``--help`` fast."""

from collections.abc import Callable, Iterable
from functools import partial, wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xdcbench.cli.examples import examples
from xdcbench.utils.shown import safe_text

if TYPE_CHECKING:
    from xdcbench.cli.validation_output import Request

RequestFor = Callable[..., "Request"]
"""Makes the request for a dataset: of its name, root, settings and, where there is one, results folder."""

app = typer.Typer(
    help="List, verify, describe and prepare datasets.",
    epilog=examples(
        "xdcbench data list --data-root DIR",
        "xdcbench data verify ucf101 --root DIR",
        "xdcbench data prepare kinetics400 --root DIR --output SHARDS",
    ),
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Dataset; see `xdcbench data list`.")]
RootOption = Annotated[Path | None, typer.Option("--root", metavar="DIR", help="Folder of this dataset.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", envvar="XDCBENCH_DATA_ROOT", help="Folder of all datasets."),
]
ResultsOption = Annotated[
    Path, typer.Option("--results", metavar="DIR", envvar="XDCBENCH_RESULTS", help="Results folder.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting, e.g. options.list=mine.csv. Repeatable."
    ),
]
PartName = Literal["train", "test", "all"]

RESULTS = Path("results")


def _reading(
    data_root: DataRootOption = None,
    num_workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that decode. Default: one per core. Results do not depend on it."
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Time limit per file; a slower file counts as undecodable."
        ),
    ] = 300.0,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the code (module:function) that the file names.")
    ] = False,
    fingerprint: Annotated[
        Literal["size", "content"],
        typer.Option(
            help="Identify files by their sizes or by a hash of their content. `content` reads every file."
        ),
    ] = "size",
) -> RequestFor:
    """The options that all commands share which decode."""
    from xdcbench.cli.validation_output import Request

    return partial(
        Request,
        data_root=data_root,
        num_workers=num_workers,
        timeout=timeout,
        trust_code=trust_code,
        fingerprint=fingerprint,
    )


def reads_media(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of `_reading`, whose result is its first argument."""
    shared = signature(_reading).parameters
    own = dict(list(signature(command).parameters.items())[1:])

    @wraps(command)
    def run(**values: Any) -> None:
        command(_reading(**{name: values.pop(name) for name in shared}), **values)

    taken = {**own, **shared}
    run.__signature__ = Signature(list(taken.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: value.annotation for name, value in taken.items()}
    return run


@app.command("list", epilog=examples("xdcbench data list", "xdcbench data list --data-root DIR"))
def list_(data_root: DataRootOption = None) -> None:
    """List the datasets: media, splits, official numbers of items, license, source and place on this machine."""
    from xdcbench.cli.validation_output import list_lines

    _say(list_lines(data_root))


@app.command(
    epilog=examples(
        "xdcbench data verify ucf101 --root DIR", "xdcbench data verify kinetics400 --shards SHARDS"
    )
)
@reads_media
def verify(
    request_for: RequestFor,
    name: Name,
    root: RootOption = None,
    set_: SetOption = None,
    results: ResultsOption = RESULTS,
    min_seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Report items shorter than this as short.")
    ] = 2.0,
    shards: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Verify these prepared shards instead: every member against its hash."
        ),
    ] = None,
) -> None:
    """Decode every file once and report what is missing or wrong. Run the same command to resume.

    Exit code 1: more than `max_failed` of the items of a split are unusable, or shards are damaged.
    """
    from xdcbench.cli.preparation_output import verify_shards_lines
    from xdcbench.cli.validation_output import processes, verify_lines

    request = request_for(name, root, set_ or (), results)
    if shards is None:
        lines, code = verify_lines(request, clip_seconds=min_seconds)
    else:
        lines, code = verify_shards_lines(name, shards, workers=processes(request))
    _say(lines)
    raise typer.Exit(code)


@app.command(
    epilog=examples(
        "xdcbench data stats ucf101 --root DIR", "xdcbench data stats esc50 --data-root DIR --results more"
    )
)
@reads_media
def stats(
    request_for: RequestFor,
    name: Name,
    root: RootOption = None,
    set_: SetOption = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Show lengths, sizes, frame rates, codecs, audio and classes as a table and a figure."""
    from xdcbench.cli.validation_output import stats_lines

    request = request_for(name, root, set_ or (), results)
    _say(stats_lines(request))


@app.command(
    epilog=examples(
        "xdcbench data prepare kinetics400 --root DIR --output SHARDS",
        "xdcbench data prepare esc50 --root DIR --output SHARDS --audio-codec flac",
    )
)
@reads_media
def prepare(
    request_for: RequestFor,
    name: Name,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the shards to write or update.")],
    root: RootOption = None,
    set_: SetOption = None,
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
) -> None:
    """Decode every file once and write shards that are fast to read. Run the same command to resume or update."""
    from xdcbench.cli.preparation_output import prepare_lines
    from xdcbench.config.load import validate
    from xdcbench.data.shards.layout import ShardSettings

    request = request_for(name, root, set_ or ())
    chosen = {
        "short_side": short_side,
        "fps": fps,
        "keyframe_interval": keyframe_interval,
        "qp": qp,
        "audio_codec": audio_codec,
        "sample_rate": sample_rate,
    }
    settings = validate(ShardSettings, chosen, where="data prepare")
    _say(prepare_lines(request, output, settings, shard_bytes=shard_bytes))


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

    _say(synth_lines(output, set_ or ()))


@app.command(
    epilog=examples(
        "xdcbench data overlap kinetics400 ucf101 --data-root DIR --output ids.txt",
        "xdcbench data overlap audioset vggsound --data-root DIR",
    )
)
@reads_media
def overlap(
    request_for: RequestFor,
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
    results: ResultsOption = RESULTS,
) -> None:
    """Find items of A that are also in B, by YouTube id or file name and by hashes of frames."""
    from xdcbench.cli.validation_output import overlap_lines

    left = request_for(a, root_a, set_a or (), results)
    right = request_for(b, root_b, set_b or (), results)
    _say(overlap_lines(left, right, parts=(part_a, part_b), frames=frames, bits=bits, write=output))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(safe_text(line))
