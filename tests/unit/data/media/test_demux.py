"""Files whose streams are not those that PyAV expects at their end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from av.container import InputContainer
from av.packet import Packet

from tests.broken import referee
from tests.unit.data.media.referee import TONE, ffmpeg
from xdcbench.data.media import probe
from xdcbench.data.media.container import demux, opened
from xdcbench.data.media.inspect import inspect


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_stream_of_text_may_come_first(suffix: str, tmp_path: Path) -> None:
    """The packet that empties the decoder of stream 1 says that it is of stream 0."""
    (tmp_path / "said.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nsaid\n")
    path, text = tmp_path / f"a.{suffix}", "mov_text" if suffix == "mp4" else "srt"
    ffmpeg("-i", tmp_path / "said.srt", *TONE, "-map", 0, "-map", 1, "-c:s", text, "-c:a", "aac", path)
    with opened(path) as container:
        assert [stream.type for stream in container.streams] == ["subtitle", "audio"]
    facts = inspect(path)
    assert round(facts.audio_seconds * facts.sample_rate) == pytest.approx(referee(path).samples, abs=1024)
    assert probe(path).duration == pytest.approx(2, abs=0.1)


def test_a_stream_that_is_found_on_the_way_ends_nothing() -> None:
    """A stub, as it depends on memory that PyAV does not own: a FLV with one byte too many does it now and then."""

    class Container:
        def demux(self, *streams: Any) -> Iterator[Packet]:
            yield Packet(3)
            yield Packet(0)
            raise IndexError("list index out of range")

    assert [packet.size for packet in demux(cast(InputContainer, Container()))] == [3, 0]
