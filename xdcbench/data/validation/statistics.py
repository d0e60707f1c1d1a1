"""What a dataset holds, in numbers and in a figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from xdcbench.data.local import LocalDataset
from xdcbench.data.scanning.items import LABELS
from xdcbench.data.validation.verify import SILENCE
from xdcbench.utils.documents import write_json
from xdcbench.utils.plotting import Axes, Figure, rc_context
from xdcbench.utils.shown import printable

GROUPS = (
    "container",
    "video_codec",
    "pix_fmt",
    "size",
    "steady_rate",
    "audio_codec",
    "sample_rate",
    "channels",
)
"""Facts of a file that are counted by value, in the order in which they are told."""

SCHEMA_VERSION = 1
QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}
BARS = 8
"""Values of a panel that are shown by themselves; the others share a bar."""

Stats = dict[str, Any]


def dataset_statistics(data: LocalDataset, items: pd.DataFrame) -> Stats:
    """Describe the items that decode; writes ``stats.json``, ``stats.svg`` and ``stats.png`` into the folder.

    Returns:
        what ``stats.json`` holds: items, hours, bytes; for ``seconds``, ``bytes_each``, ``short_side``
        (pixels), ``fps`` (frames per second) and ``peak`` (dB of full scale) the mean and quantiles; for
        ``container``, codecs, ``pix_fmt``, ``size``, ``steady_rate``, ``sample_rate``, ``channels`` and
        ``audio`` the number of items by value, most frequent first; ``classes``, by name, likewise.
    """
    table = _table(items, data.dataset.media)
    numbers = {
        name: _quantiles(table[name]) for name in ("seconds", "bytes_each", "short_side", "fps", "peak")
    }
    content: Stats = {
        "schema_version": SCHEMA_VERSION,
        "name": data.name,
        "title": data.dataset.title,
        "fingerprint": data.fingerprint,
        "subset": data.dataset.subset.words,
        "items": len(table),
        "hours": float(table["seconds"].sum() / 3600),
        "bytes": int(table["bytes_each"].sum()),
        **{name: values for name, values in numbers.items() if values},
        **{name: _counts(table[name]) for name in (*GROUPS, "audio")},
        "classes": _classes(items.loc[table.index], data.scan.classes),
    }
    write_json(data.folder / "stats.json", content)
    _draw(data, table, content["classes"])
    return content


def _table(items: pd.DataFrame, media: str) -> pd.DataFrame:
    """One row per item that decodes, in the terms of `stats`; missing where an item has no such track."""
    read = items[items["container"].notna()]
    seen, heard = read["frames"] > 0, read["audio_seconds"] > 0
    timed, video = pd.Series(media != "image", read.index), seen & (media == "video")
    audio = np.select([heard & (read["peak"] < SILENCE), heard], ["silent", "audio"], "no audio")
    size = read["width"].astype(str) + "x" + read["height"].astype(str)
    with np.errstate(divide="ignore"):
        peak = 20 * np.log10(read["peak"].clip(lower=1e-6))
    return pd.DataFrame(
        {
            "seconds": read["audio_seconds" if media == "audio" else "video_seconds"].where(timed),
            "bytes_each": read["bytes"],
            "container": read["container"].str.split(",").str[0],
            "video_codec": read["video_codec"].where(seen),
            "pix_fmt": read["pix_fmt"].where(seen),
            "size": size.where(seen),
            "short_side": read[["width", "height"]].min(axis=1).where(seen),
            "fps": read["fps"].where(video),
            "steady_rate": read["variable"].map({True: "variable", False: "constant"}).where(video),
            "audio_codec": read["audio_codec"].where(heard),
            "sample_rate": read["sample_rate"].where(heard),
            "channels": read["channels"].where(heard),
            "peak": peak.where(heard),
            "audio": pd.Series(audio, read.index).where(timed),
        }
    )


def _quantiles(values: pd.Series) -> dict[str, float]:
    known = values.dropna().astype(float)
    if known.empty:
        return {}
    return {"mean": float(known.mean())} | {name: float(known.quantile(q)) for name, q in QUANTILES.items()}


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().items()}


def _classes(items: pd.DataFrame, names: tuple[str, ...]) -> dict[str, int]:
    labels = items[LABELS].explode() if LABELS in items else items["label"]
    counts = labels.value_counts()
    found = {name: int(counts.get(i, 0)) for i, name in enumerate(names)}
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def _draw(data: LocalDataset, table: pd.DataFrame, classes: Mapping[str, int]) -> None:
    # Names of classes and files are shown as they are; a `$` in them starts no formula.
    with rc_context({"text.parse_math": False, "font.size": 8, "svg.hashsalt": "xdcbench"}):
        figure = Figure(figsize=(11, 6), layout="constrained")
        figure.suptitle(f"{printable(data.dataset.title)}: {len(table)} items that decode")
        panels = figure.subplots(2, 4).flat
        _histogram(next(panels), table["seconds"], "length (s)")
        _histogram(next(panels), table["bytes_each"] / 1e6, "size (MB)")
        _bars(next(panels), table["size"], "size (pixels)")
        _histogram(next(panels), table["fps"], "frames per second")
        _bars(next(panels), pd.concat([table["video_codec"], table["audio_codec"]]).dropna(), "codecs")
        _bars(next(panels), table["sample_rate"].dropna().astype(str) + " Hz", "sample rate")
        _histogram(next(panels), table["peak"], "peak of the audio (dB of full scale)")
        _balance(next(panels), classes)
        for panel in figure.axes:
            if not panel.has_data():
                panel.text(0.5, 0.5, "none", ha="center", va="center", transform=panel.transAxes)
                panel.set(xticks=[], yticks=[])
        for kind in ("svg", "png"):
            figure.savefig(
                data.folder / f"stats.{kind}", dpi=120, metadata={"Date": None} if kind == "svg" else None
            )


def _histogram(panel: Axes, values: pd.Series, label: str) -> None:
    known = values.dropna().astype(float)
    panel.set(xlabel=label, ylabel="items")
    if len(known):
        panel.hist(known, bins=30, color="tab:blue")


def _bars(panel: Axes, values: pd.Series, label: str) -> None:
    counts = values.value_counts()
    panel.set(title=label, xlabel="items")
    if counts.empty:
        return
    shown = counts.iloc[:BARS]
    if len(counts) > BARS:
        shown = pd.concat([shown, pd.Series({f"{len(counts) - BARS} others": counts.iloc[BARS:].sum()})])
    panel.barh([printable(str(name)) for name in shown.index], shown.to_numpy(), color="tab:blue")
    panel.invert_yaxis()


def _balance(panel: Axes, classes: Mapping[str, int]) -> None:
    panel.set(xlabel=f"{len(classes)} classes, by size", ylabel="items")
    if not classes:
        return
    panel.bar(range(len(classes)), list(classes.values()), width=1.0, color="tab:blue")
    ends = sorted({0, len(classes) - 1})
    panel.set_xticks(ends, [_short(printable(list(classes)[i])) for i in ends])
    panel.set_ylim(bottom=0)


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
