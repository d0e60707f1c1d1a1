"""The commands of ``xdcbench data``; what they do is elsewhere, and is imported only when one of them runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from xdcbench.utils.shown import shown

app = typer.Typer(help="Data sets: what is here, whether it is whole, what it holds.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help="Data set; see `data list`.")]
RootOption = Annotated[Path | None, typer.Option("--root", metavar="DIR", help="The data set's own folder.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", envvar="XDCBENCH_DATA_ROOT", help="Folder of all data sets."),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", envvar="XDCBENCH_OUT", help="Results folder.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. options.list=mine.csv."),
]
SetAOption = Annotated[
    list[str] | None, typer.Option("--set-a", metavar="KEY=VALUE", help="Change a setting of A.")
]
SetBOption = Annotated[
    list[str] | None, typer.Option("--set-b", metavar="KEY=VALUE", help="Change a setting of B.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Let the file name code of its own (module:function).")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes that decode, by default one per core. Changes no result.")
]
LimitOption = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Time after which a file is given up as undecodable.")
]
ClipOption = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Items shorter than this are reported as short.")
]

FingerprintOption = Annotated[
    Literal["size", "content"],
    typer.Option(
        help="What tells states of files apart: their sizes, or a hash of each, which reads them all."
    ),
]

PartName = Literal["train", "test", "all"]

OUT = Path("results")


@app.command("list")
def list_(data_root: DataRootOption = None) -> None:
    """List the data sets: media, splits with official numbers of items, licence, source, whether here."""
    from xdcbench.data.audit.report import list_lines

    _say(list_lines(data_root))


@app.command()
def verify(
    name: Name,
    root: RootOption = None,
    data_root: DataRootOption = None,
    set_: SetOption = None,
    out: OutOption = OUT,
    clip_seconds: ClipOption = 2.0,
    workers: WorkersOption = None,
    limit_seconds: LimitOption = 300.0,
    trust: TrustOption = False,
    fingerprint: FingerprintOption = "size",
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Check this prepared store, every member against its hash, instead."
        ),
    ] = None,
) -> None:
    """Decode every file once; tell what is missing or wrong. The same command again goes on.

    Exits 1 where a part of a split lacks more than `max_failed` of its items, or a store has a fault.
    """
    from xdcbench.data.audit.report import processes, verify_lines
    from xdcbench.data.prepared.report import verify_store_lines

    request = _request(
        name,
        root=root,
        data_root=data_root,
        overrides=tuple(set_ or ()),
        out=out,
        workers=workers,
        limit_seconds=limit_seconds,
        trust=trust,
        fingerprint=fingerprint,
    )
    if store is None:
        lines, code = verify_lines(request, clip_seconds=clip_seconds)
    else:
        lines, code = verify_store_lines(name, store, workers=processes(request))
    _say(lines)
    raise typer.Exit(code)


@app.command()
def stats(
    name: Name,
    root: RootOption = None,
    data_root: DataRootOption = None,
    set_: SetOption = None,
    out: OutOption = OUT,
    workers: WorkersOption = None,
    limit_seconds: LimitOption = 300.0,
    trust: TrustOption = False,
    fingerprint: FingerprintOption = "size",
) -> None:
    """Tell lengths, sizes, rates, codecs, sound and classes, in a table and a picture; decodes what is new."""
    from xdcbench.data.audit.report import stats_lines

    request = _request(
        name,
        root=root,
        data_root=data_root,
        overrides=tuple(set_ or ()),
        out=out,
        workers=workers,
        limit_seconds=limit_seconds,
        trust=trust,
        fingerprint=fingerprint,
    )
    _say(stats_lines(request))


@app.command()
def prepare(
    name: Name,
    store: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the store, to write or to update.")],
    root: RootOption = None,
    data_root: DataRootOption = None,
    set_: SetOption = None,
    short_side: Annotated[int, typer.Option(help="Pixels; smaller pictures stay as they are.")] = 160,
    rate: Annotated[float, typer.Option(help="Pictures per second; slower films keep their own.")] = 30.0,
    keyframe: Annotated[int, typer.Option(help="Pictures from one keyframe to the next.")] = 8,
    qp: Annotated[int, typer.Option(help="Constant quantiser of H.264, 1 to 51.")] = 23,
    sound: Annotated[
        Literal["wav", "flac"], typer.Option(help="FLAC is smaller, WAV is read faster.")
    ] = "wav",
    sound_rate: Annotated[int, typer.Option(help="Samples per second.")] = 16_000,
    shard_bytes: Annotated[
        int, typer.Option(min=1, help="Size that a shard of several items keeps to.")
    ] = 256 << 20,
    workers: WorkersOption = None,
    limit_seconds: LimitOption = 300.0,
    trust: TrustOption = False,
    fingerprint: FingerprintOption = "size",
) -> None:
    """Decode every file once and write a store that is read fast. The same command again goes on or updates."""
    from xdcbench.config import validate
    from xdcbench.data.prepared.layout import Settings
    from xdcbench.data.prepared.report import prepare_lines

    request = _request(
        name,
        root=root,
        data_root=data_root,
        overrides=tuple(set_ or ()),
        workers=workers,
        limit_seconds=limit_seconds,
        trust=trust,
        fingerprint=fingerprint,
    )
    chosen = {
        "short_side": short_side,
        "rate": rate,
        "keyframe": keyframe,
        "qp": qp,
        "sound": sound,
        "sound_rate": sound_rate,
    }
    settings = validate(Settings, chosen, where="data prepare")
    _say(prepare_lines(request, store, settings, shard_bytes=shard_bytes))


@app.command()
def synth(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; a data root for `run`.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting, e.g. world.kinetics_train=40."),
    ] = None,
) -> None:
    """Write a synthetic world of any size. The same command again goes on."""
    from xdcbench.data.audit.report import synth_lines

    _say(synth_lines(to, set_ or ()))


@app.command()
def overlap(
    a: Annotated[str, typer.Argument(metavar="A", help="Data set that is learned from.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Data set that is tested on.")],
    root_a: Annotated[Path | None, typer.Option(metavar="DIR", help="Own folder of A.")] = None,
    root_b: Annotated[Path | None, typer.Option(metavar="DIR", help="Own folder of B.")] = None,
    data_root: DataRootOption = None,
    set_a: SetAOption = None,
    set_b: SetBOption = None,
    part_a: Annotated[PartName, typer.Option(help="Part of A, of any split.")] = "train",
    part_b: Annotated[PartName, typer.Option(help="Part of B, of any split.")] = "test",
    frames: Annotated[int, typer.Option(min=1, help="Frames that two items must share.")] = 3,
    bits: Annotated[
        int, typer.Option(min=0, max=63, help="Differing bits of 64 up to which two frames count as one.")
    ] = 10,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ids of A that are in B, one per line.")
    ] = None,
    out: OutOption = OUT,
    workers: WorkersOption = None,
    limit_seconds: LimitOption = 300.0,
    trust: TrustOption = False,
    fingerprint: FingerprintOption = "size",
) -> None:
    """Find items of A that are also in B: by YouTube id or name, and by hashes of one frame a second."""
    from xdcbench.data.audit.report import overlap_lines

    common = {
        "data_root": data_root,
        "out": out,
        "workers": workers,
        "limit_seconds": limit_seconds,
        "trust": trust,
        "fingerprint": fingerprint,
    }
    left = _request(a, root=root_a, overrides=tuple(set_a or ()), **common)
    right = _request(b, root=root_b, overrides=tuple(set_b or ()), **common)
    _say(overlap_lines(left, right, parts=(part_a, part_b), frames=frames, bits=bits, write=write))


def _request(name: str, **values: Any) -> Any:
    from xdcbench.data.audit.report import Request

    return Request(name, **values)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(shown(line))
