import hashlib
import tarfile
from pathlib import Path

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.data.preparation.tar import Entry, ShardError, space, walk, write_shard

MEMBERS = [
    ("00000000.mp4", b"frame" * 300),
    ("00000000.wav", b"s" * 512),
    ("00000000.json", b'{"label": 3}'),
    ("00000001.jpg", b""),
    ("00000001.json", b'{"label": 4}'),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_shard(tmp_path / "000000.tar", MEMBERS)
    return tmp_path / "000000.tar"


def test_tarfile_reads_what_is_written(path: Path) -> None:
    with tarfile.open(path) as tar:
        found = [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
        assert all((info.mtime, info.uid, info.gid, info.uname) == (0, 0, 0, "") for info in tar.getmembers())
    assert found == MEMBERS


def test_webdataset_reads_what_is_written(path: Path) -> None:
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["00000000", "00000001"]
    assert samples[0]["mp4"] == MEMBERS[0][1]
    assert samples[1]["json"] == MEMBERS[4][1]


@given(contents=st.lists(st.binary(max_size=2000), max_size=6))
def test_places_and_hashes_are_those_of_the_file(
    contents: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("shard") / "000000.tar"
    members = [(f"{i:08d}.wav", content) for i, content in enumerate(contents)]
    shard, offsets = write_shard(path, members)
    data = path.read_bytes()
    assert (shard.name, shard.bytes, shard.sha256) == (path.name, len(data), hashlib.sha256(data).hexdigest())
    assert [data[o : o + len(c)] for o, c in zip(offsets, contents, strict=True)] == contents
    assert shard.bytes == 1024 + sum(space(len(content)) for content in contents)
    *entries, whole = walk(path)
    assert whole == shard.sha256
    assert entries == [
        Entry(name, offset, len(content), hashlib.sha256(content).digest())
        for (name, content), offset in zip(members, offsets, strict=True)
    ]
    before = data
    write_shard(path, members)
    assert path.read_bytes() == before


def test_a_shard_cut_short_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for end in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(ShardError, match=r"cut short|no member|does not end"):
            list(walk(path))


def info(name: str = "00000000.mp4", kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (info("/etc/00000000.mp4"), "no name of a member"),
        (info("../00000000.mp4"), "no name of a member"),
        (info("a/00000000.mp4"), "no name of a member"),
        (info("video.mp4"), "no name of a member"),
        (info("00000000.py"), "no name of a member"),
        (info(kind=tarfile.SYMTYPE, link="/etc/passwd"), "a link"),
        (info(kind=tarfile.LNKTYPE, link="00000001.mp4"), "a link"),
        (info(kind=tarfile.CHRTYPE), "a device"),
        (info(kind=tarfile.BLKTYPE), "a device"),
        (info(kind=tarfile.FIFOTYPE), "a device"),
        (info(kind=tarfile.DIRTYPE), "no plain file"),
        (info("0" * 200 + ".mp4"), "no plain file"),
    ],
)
def test_what_shards_never_hold_is_refused(tmp_path: Path, member: tarfile.TarInfo, message: str) -> None:
    with tarfile.open(tmp_path / "000000.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(member)
    with pytest.raises(ShardError, match=message):
        list(walk(tmp_path / "000000.tar"))


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "000000.tar", [MEMBERS[0], MEMBERS[0]])
    with pytest.raises(ShardError, match="twice"):
        list(walk(tmp_path / "000000.tar"))
