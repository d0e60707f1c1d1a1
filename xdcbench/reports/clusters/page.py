"""The gallery: one page over the clusters of a round, with the items nearest to each center."""

import base64
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xdcbench.errors import UserError
from xdcbench.reports.clusters.distances import distances_of
from xdcbench.reports.clusters.origin import ClusteredRound
from xdcbench.reports.clusters.previews import Preview, Previews
from xdcbench.reports.clusters.report_link import report_of
from xdcbench.reports.clusters.shown import Link, ShownSide, page_data
from xdcbench.reports.clusters.side import Side, side_of
from xdcbench.reports.html import relative_link, render
from xdcbench.utils.format import counted, short
from xdcbench.utils.io import atomic_write, writing
from xdcbench.utils.runtime import pick_device

SINGLE_FILE = 40_000_000
"""Bytes of media that one file may hold."""
SAMPLE, SURE = 32, 1.5
"""Items by which the bytes of all are guessed, and how far above the limit a guess must be to count."""


def write_gallery(
    rounds: Sequence[ClusteredRound], to: Path, *, nearest: int, single_file: bool, device: str, workers: int
) -> Iterator[str]:
    """Write ``index.html`` into ``to``, and its previews into ``media`` beside it or, as one file, into itself.

    One round is shown alone, two side by side. Previews that ``to`` holds are kept. Where a round kept no distances, a
    sample is encoded on ``device`` and read by so many ``workers``. Returns lines for the user: what was written, how
    many items could not be shown.

    Raises:
        UserError: the previews are too many for one file, or nothing can be written.
    """
    known = [distances_of(found, device=pick_device(device), workers=workers) for found in rounds]
    sides = [side_of(found, of, nearest=nearest) for found, of in zip(rounds, known, strict=True)]
    with writing(f"to {to}", "give another folder with --output"):
        to.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) if single_file else to / "media"
            previews = [Previews(found, folder) for found in rounds]
            if single_file:
                _refuse_large(previews, sides)
            made = [of.make(side.wanted) for of, side in zip(previews, sides, strict=True)]
            link = _inside(folder, made) if single_file else "media/{}".format
            shown = [ShownSide(*of, link) for of in zip(sides, made, strict=True)]
            page = render("gallery", page_data(shown, **_report(rounds[0], to)))
        with atomic_write(to / "index.html") as part:
            part.write_text(page, encoding="utf-8")
    everything = [preview for of in made for preview in of.values()]
    gone = sum(bool(preview.gone) for preview in everything)
    count = sum(len(clusters) for side in sides for clusters in side.clusters.values())
    yield f"clusters {to / 'index.html'} ({counted(count, 'cluster')}, {counted(len(everything), 'item')})"
    if gone:
        yield f"{gone} of {len(everything)} items could not be read any more; their places say why"


def _report(found: ClusteredRound, to: Path) -> dict[str, Any]:
    """What `page_data` is told of the results folder's report, of a page in its usual place; nothing elsewhere."""
    results = found.run.parent.parent
    if (results / "clusters").resolve() not in to.resolve().parents:
        return {}
    report = report_of(results)
    return {"report": relative_link(report, to / "index.html"), "reported": report.exists()}


def _refuse_large(previews: Sequence[Previews], sides: Sequence[Side]) -> None:
    """Tell from some previews that all of them are far too large, before hours go into making them."""
    likely, tried, count = 0, 0, 0
    for of, wanted in ((of, side.wanted) for of, side in zip(previews, sides, strict=True)):
        some = list(wanted)[:: max(1, len(wanted) // SAMPLE)]
        made = of.make({row: wanted[row] for row in some})
        likely += _size(of.folder, [made]) * len(wanted) // max(1, len(some))
        tried, count = tried + len(some), count + len(wanted)
    if likely > SURE * SINGLE_FILE:
        raise _too_large(f"would be about {short(likely, 'B')}, going by {tried} of {count} items")


def _inside(folder: Path, made: Sequence[Mapping[int, Preview]]) -> Link:
    """Links that hold the files themselves; refused where they are too large together."""
    size = _size(folder, made)
    if size > SINGLE_FILE:
        raise _too_large(f"are {short(size, 'B')}")

    def link(name: str) -> str:
        content = base64.b64encode((folder / name).read_bytes()).decode()
        return f"data:{mimetypes.guess_type(name)[0]};base64,{content}"

    return link


def _size(folder: Path, made: Sequence[Mapping[int, Preview]]) -> int:
    return sum(
        (folder / name).stat().st_size for of in made for preview in of.values() for name in preview.files
    )


def _too_large(said: str) -> UserError:
    return UserError(
        f"--single-file: the previews {said}, more than the {short(SINGLE_FILE, 'B')} that one page may hold; show "
        "fewer with --nearest, or write a folder"
    )
