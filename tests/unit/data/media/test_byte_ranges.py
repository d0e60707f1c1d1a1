import io

import pytest

from xdcbench.data.media.byte_ranges import Stream


@pytest.mark.parametrize(
    ("offset", "whence"), [(1 << 47, io.SEEK_SET), (1 << 47, io.SEEK_CUR), (-1, io.SEEK_SET)]
)
def test_a_place_that_no_file_has_is_refused_and_reading_resumes(offset: int, whence: int) -> None:
    """The size of an object in a damaged WMV file may be 2**47; a file system refuses such a seek, too."""
    stream = Stream(b"abcdef")
    assert stream.seek(2) == 2
    assert stream.seek(offset, whence) < 0
    assert stream.read(2) == b"cd"


def test_a_place_behind_the_end_is_the_end() -> None:
    stream = Stream(b"abcdef")
    assert stream.seek(10) == 10 and stream.read(1) == b""
    assert stream.seek(-1, io.SEEK_END) == 5 and stream.read() == b"f"
