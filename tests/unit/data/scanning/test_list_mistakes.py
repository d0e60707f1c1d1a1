"""Lists spoiled at random: whatever is wrong is told in this project's words, in one line."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.data.datasets import test_datasets as trees
from tests.unit.data.trees import config, text, touch
from xdcbench.data.scan import scan
from xdcbench.errors import UserError

BITS = (b";", b"\t", b'"', b"\n", b",", b"\\", b" ", b"\xff", b"nan", b"inf", b"1e400", b"-1", b"\0", b"\xef\xbb\xbf",
        b"\r", b"9" * 20, "\u2028".encode(), b"'", b"|", b"/", b"..", b"a" * 5000, b"")  # fmt: skip


def kinetics400(root: Path) -> None:
    head = "label,youtube_id,time_start,time_end,split"
    text(root, "train.csv", head, '"a (b)",aaaaaaaaaaa,17,27,train', "c,bbbbbbbbbbb,0,10,train")
    text(root, "val.csv", head, "c,ccccccccccc,124,134,val")
    touch(root, "train/aaaaaaaaaaa_000017_000027.mp4", "val/ccccccccccc.mp4")


def vggsound(root: Path) -> None:
    text(root, "train.csv", 'aaaaaaaaaaa_000030.mp4,"dog, barking"', "bbbbbbbbbbb_000001.mp4,horn")
    touch(root, "aaaaaaaaaaa_000030.mp4", "aaaaaaaaaaa_" + 30 * "9" + ".mp4")


def audioset(root: Path) -> None:
    text(root, "class_labels_indices.csv", "index,mid,display_name", '0,/m/01,"a, b"', "1,/m/02,c")
    for part, ytid in (("eval", "a"), ("unbalanced_train", "b"), ("balanced_train", "c")):
        text(root, f"{part}_segments.csv", "# YTID, start", f'{ytid * 11}, 30.000, 40.000, "/m/01,/m/02"')
    touch(root, "a/aaaaaaaaaaa.mp4")


MAKERS: dict[str, Callable[[Path], None]] = {
    maker.__name__: maker
    for maker in (trees.ucf101, trees.hmdb51, trees.esc50, trees.grid, kinetics400, vggsound, audioset)
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_spoiled_list_is_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    rng, dataset = random.Random(name), config(name)
    MAKERS[name](tmp_path)
    lists = sorted(path for path in tmp_path.rglob("*.*") if path.suffix in (".csv", ".txt"))
    refused = 0
    for _ in range(30):
        path = rng.choice(lists)
        whole = path.read_bytes()
        spoiled = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at, cut = rng.randint(0, len(spoiled)), rng.choice([0, 0, 1, 5, 40])
            spoiled[at : at + cut] = rng.choice(BITS)
        path.write_bytes(spoiled)
        try:
            scan(tmp_path, dataset)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "cannot read" not in str(error), "an error that no adapter expects"
        path.write_bytes(whole)
    assert refused
