from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.trees import column, config, counts, paths, text, touch
from xdcbench.config.data import Subset
from xdcbench.data.index import Index
from xdcbench.data.index_stage import take
from xdcbench.data.probing import probe_all
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import MISSING, Scan, fingerprint
from xdcbench.errors import UserError

HEAD = (
    "# Segments csv created Sun Mar 5",
    "# num_ytids=3, num_segs=3",
    "# YTID, start_seconds, end_seconds, positive",
)
UNBALANCED = ('--aaaaaaaaa, 30.000, 40.000, "/m/03,/m/01"', 'Ybbbbbbbbbb, 0.000, 10.000, "/m/02"')
BALANCED = ('cccccccc_30, 239.800, 249.800, "/m/02"',)
EVAL = ('dddddddd-dd, 20.000, 30.000, "/m/01,/m/02,/m/03"',)


def lists(root: Path, *, head: tuple[str, ...] = HEAD, end: str = "\n", **rows: tuple[str, ...]) -> None:
    rows = {"unbalanced_train": UNBALANCED, "balanced_train": BALANCED, "eval": EVAL} | rows
    for name, lines in rows.items():
        text(root, f"csv/{name}_segments.csv", *head, *lines, end=end)
    index = ("index,mid,display_name", '0,/m/01,"Male speech, man speaking"', "1,/m/02,Siren", "2,/m/03,Dog")
    text(root, "csv/class_labels_indices.csv", *index, end=end)


def audioset(root: Path, **changes: Any) -> Scan:
    return scan(root, config("audioset", **changes))


def test_labels_parts_and_classes(tmp_path: Path) -> None:
    lists(tmp_path)
    touch(tmp_path, "train/--aaaaaaaaa_30000_40000.mp4", "train/x/Ybbbbbbbbbb.mkv", "eval/Ydddddddd-dd.mp4")
    touch(tmp_path, "eval/unknown_id1.mp4", "eval/dddddddd-dd.wav", "eval/notes.txt")
    found = audioset(tmp_path)
    assert found.classes == ("Male speech, man speaking", "Siren", "Dog")
    assert column(found, "labels") == {
        "--aaaaaaaaa": (0, 2),
        "Ybbbbbbbbbb": (1,),
        "cccccccc_30": (1,),
        "dddddddd-dd": (0, 1, 2),
    }
    assert set(found.items["label"]) == {-1}
    assert counts(found, "official") == (3, 1)
    assert column(found, "split:official")["dddddddd-dd"] == "test"
    assert paths(found) == {
        "--aaaaaaaaa": "train/--aaaaaaaaa_30000_40000.mp4",
        "Ybbbbbbbbbb": "train/x/Ybbbbbbbbbb.mkv",
        "dddddddd-dd": "eval/Ydddddddd-dd.mp4",
    }
    assert found.missing == ("cccccccc_30",)
    assert found.extra == ("eval/unknown_id1.mp4", "eval/dddddddd-dd.wav")
    assert {p.name for p in found.sources} == {
        f"{n}.csv"
        for n in (
            "unbalanced_train_segments",
            "balanced_train_segments",
            "eval_segments",
            "class_labels_indices",
        )
    }


def test_audio_alone(tmp_path: Path) -> None:
    lists(tmp_path)
    touch(tmp_path, "a/--aaaaaaaaa.mp4", "a/Y--aaaaaaaaa.wav", "a/dddddddd-dd_20.flac")
    found = audioset(tmp_path, media="audio")
    assert paths(found) == {"--aaaaaaaaa": "a/Y--aaaaaaaaa.wav", "dddddddd-dd": "a/dddddddd-dd_20.flac"}
    assert found.extra == ("a/--aaaaaaaaa.mp4",), "a file of another kind is none of the items"


@pytest.mark.parametrize("head", [(), HEAD[:1], HEAD])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_number_of_comments_and_any_line_ends(tmp_path: Path, head: tuple[str, ...], end: str) -> None:
    plain = tuple(row.replace(", ", ",").replace(".000", "") for row in UNBALANCED)
    for name, rows in (("as_published", UNBALANCED), ("plain", plain)):
        lists(tmp_path / name, head=head, end=end, unbalanced_train=rows)
        touch(tmp_path / name, "video/--aaaaaaaaa.mp4")
    assert audioset(tmp_path / "plain").items.equals(audioset(tmp_path / "as_published").items)


def test_the_balanced_part_needs_only_its_lists(tmp_path: Path) -> None:
    lists(tmp_path)
    (tmp_path / "csv/unbalanced_train_segments.csv").unlink()
    touch(tmp_path, "cccccccc_30.mp4")
    assert counts(scan(tmp_path, config("audioset_balanced")), "official") == (1, 1)
    with pytest.raises(UserError, match=r"no list .*/unbalanced_train_segments.csv; get it from https"):
        audioset(tmp_path)


def test_labels_are_in_the_fingerprint(tmp_path: Path) -> None:
    touch(tmp_path, "--aaaaaaaaa.mp4")
    marks = set()
    for mids in ("/m/01", "/m/02", "/m/01,/m/02", "/m/02,/m/01"):
        lists(tmp_path, unbalanced_train=(f'--aaaaaaaaa, 30.000, 40.000, "{mids}"',))
        marks.add(fingerprint(audioset(tmp_path)))
    assert len(marks) == 3


def test_labels_survive_the_index_and_a_draw(tmp_path: Path) -> None:
    lists(tmp_path)
    touch(tmp_path, "--aaaaaaaaa.mp4")
    found = audioset(tmp_path)
    items = take(found.items, Subset(items=2), ("official",))
    assert counts(replace(found, items=items), "official") == (2, 1), "a part with fewer items stays whole"
    facts = {"name": "audioset", "media": "video", "splits": ("official",), "official": ("official",)}
    items = pd.concat(
        [items.reset_index(drop=True), probe_all(items.assign(bytes=MISSING), tmp_path, tmp_path)], axis=1
    )
    index = Index(
        **facts, classes=found.classes, fingerprint="", world=False, subset="", max_failed=0.1, items=items
    )
    index.save(tmp_path)
    again = Index.load(tmp_path).items
    assert [tuple(labels) for labels in again["labels"]] == items["labels"].tolist()
    assert again["id"].tolist() == items["id"].tolist()


@pytest.mark.parametrize(
    ("rows", "saying"),
    [
        (("--aaaaaaaaa, 30.000",), r"unbalanced_train_segments.csv, line 4: .* has 2 fields, not 4"),
        (("--aaaaaaaaa, 30, 40, /m/01, /m/02",), r"line 4: .* has 5 fields, not 4"),
        (
            ('--aaaaaaaaa, 30, 40, "/m/01,/m/99"',),
            r"unbalanced.*: unknown class `/m/99`, .* class_labels_indices.csv",
        ),
        (('--aaaaaaaaa, 30, 40, ""',), "unknown class ``"),
        (("--aaaaaaaaa, soon, 40, /m/01",), "start `soon` is no number"),
        (
            ("--aaaaaaaaa, 30, 40, /m/01", "--aaaaaaaaa, 30, 40, /m/02"),
            r"unbalanced.*: `--aaaaaaaaa` has class `/m/01` and `/m/02`; keep one",
        ),
        (
            ('dddddddd-dd, 20, 30, "/m/01,/m/02,/m/03"',),
            "`dddddddd-dd` has split:official `train` and `test`",
        ),
    ],
)
def test_mistakes_in_lists(tmp_path: Path, rows: tuple[str, ...], saying: str) -> None:
    lists(tmp_path, unbalanced_train=rows)
    touch(tmp_path, "dddddddd-dd.mp4")
    with pytest.raises(UserError, match=saying):
        audioset(tmp_path)


def test_an_index_with_a_gap(tmp_path: Path) -> None:
    lists(tmp_path)
    text(tmp_path, "csv/class_labels_indices.csv", "index,mid,display_name", "0,/m/01,a", "2,/m/02,b")
    with pytest.raises(UserError, match="its 2 classes are not numbered from 0"):
        audioset(tmp_path)


def test_official_lists(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "annotations" / "audioset"
    ids = {
        name: [line.split(",")[0] for line in (folder / name).read_text().splitlines() if line[0] != "#"]
        for name in ("balanced_train_segments.csv", "eval_segments.csv")
    }
    for name, there in ids.items():
        (tmp_path / name[:4]).mkdir()
        for i, ytid in enumerate(there):
            if i % 9 == 0:
                (tmp_path / name[:4] / f"Y{ytid}.mp4").touch()
    dataset = config(
        "audioset_balanced", options={"train": ["balanced_train_segments.csv"], "lists": str(folder)}
    )
    found = scan(tmp_path, dataset)
    assert counts(found, "official") == (22160, 20371)
    assert len(found.classes) == 527
    assert found.classes[1] == "Male speech, man speaking"
    assert sum(map(len, found.items["labels"][found.items["split:official"] == "train"])) == 52882
    assert set(paths(found)) == {ytid for there in ids.values() for ytid in there[::9]}
    assert len(found.missing) == 22160 + 20371 - len(paths(found))
    assert found.extra == ()
