"""Names of datasets: a user's own titles, told apart where they are equal, in every format of a table."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.unit.results.made_index import write_index
from xdcbench.results.records import Record
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.latex import escape_latex
from xdcbench.results.tables.present import FORMATS, Named, all_grids
from xdcbench.results.tables.render import escape_markdown, render
from xdcbench.results.tables.texts import Look
from xdcbench.results.tables.titles import dataset_titles, titles_in

ARABIC, CHINESE = "مقاطع الفيديو", "我的片段"
NASTY = "My <b>clips</b> & 100 % of_them $x$ | `y`"
ESCAPED: dict[str, Callable[[str], str]] = {
    "txt": str,
    "csv": str,
    "md": escape_markdown,
    "html": html.escape,
    "tex": escape_latex,
}


@pytest.mark.parametrize("title", ["My clips", ARABIC, CHINESE, NASTY])
@pytest.mark.parametrize("fmt", FORMATS)
def test_a_title_of_ones_own_stands_in_every_format(
    tmp_path: Path, make_record: Callable[..., Record], title: str, fmt: str
) -> None:
    write_index(store := RunStore(tmp_path), "index-1", "mine", title)
    record = make_record(dataset="mine", pretrain_data="mine", pretrain_subset="some", evaluation="probe")
    grid = all_grids([record], titles=titles_in([store]))["dataset-mine"]
    text = render(grid, fmt, Look(details=True, notes=True, label="t"))  # type: ignore[arg-type]
    shown = ESCAPED[fmt](title)
    if fmt == "csv":
        (row,) = csv.DictReader(io.StringIO(text))
        assert (row["pretrain_data"], row["dataset"]) == (title, "mine")
        return
    said = [f"Results on {shown} (", f"Encoders of {shown} learned", f"{shown}, split official: 498"]
    assert all(words in text for words in said)
    assert text.count(shown) >= 4, "title, row, and two notes"
    assert "<b>" not in text or fmt in ("txt", "tex")


@pytest.mark.parametrize(
    ("stated", "made"),
    [
        ([("a", "Clips"), ("b", "Clips")], {"a": "Clips (a)", "b": "Clips (b)"}),
        ([("a", "Clips"), ("a", " Clips ")], {"a": "Clips"}),
        ([("a", "UCF101")], {"a": "UCF101 (a)", "ucf101": "UCF101 (ucf101)"}),
        ([("ucf101", "Ours")], {"ucf101": "Ours"}),
        ([("a", "X (b)"), ("b", "X"), ("c", "X")], {"a": "X (b) (a)", "b": "X (b) (b)", "c": "X (c)"}),
        ([("ucf101", "Ours"), ("ucf101", "Theirs"), ("a", "x"), ("a", "y")], {"ucf101": "UCF101"}),
        ([("a", " ")], {"a": "a"}),
        ([], {"ucf101": "UCF101", "ig_random": "IG-Random"}),
    ],
)
def test_equal_titles_are_told_apart(stated: Sequence[tuple[str, str]], made: dict[str, str]) -> None:
    titles = dataset_titles(stated)
    assert made.items() <= titles.items()
    assert len(set(titles.values())) == len(titles)


def test_titles_of_several_folders_are_read_as_one(tmp_path: Path) -> None:
    stores = [RunStore(tmp_path / name) for name in "ab"]
    write_index(stores[0], "index-1", "mine", "Clips")
    write_index(stores[1], "index-2", "other", "Clips")
    titles = titles_in(stores)
    assert (titles["mine"], titles["other"]) == ("Clips (mine)", "Clips (other)")
    assert titles_in(stores[:1])["mine"] == "Clips"
    (stores[1].path("index-2") / "run.json").write_text("{")
    assert titles_in(stores)["mine"] == "Clips", "what is damaged is left out, as all of it is"
    assert Named().datasets == dataset_titles()
