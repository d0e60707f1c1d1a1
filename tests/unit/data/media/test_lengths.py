"""Lengths of tracks without decoding, against what ffmpeg decodes; and windows at those times."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.media.bombs import last_granule, wav
from tests.unit.data.media.referee import H264, decode_video, ffmpeg, track
from xdcbench.data.media import probe, read_audio
from xdcbench.data.media.inspect import inspect
from xdcbench.reports.clusters.media import audio_within

LOUD_THEN_QUIET = "aevalsrc='(lt(t,0.3)*0.9+0.001)*(2*random(0)-1)':s=44100:d={}"
QUIET_THEN_LOUD = "aevalsrc='(gt(t,0.3)*0.9+0.0001)*(2*random(0)-1)':s=44100:d={}"
PACKET = 0.03
"""Seconds: the longest packet here, and what decoders may add or leave out at the end."""


def noise(path: Path, source: str, seconds: float, *options: str) -> Path:
    ffmpeg("-f", "lavfi", "-i", source.format(seconds), *options, path)
    return path


def decoded_seconds(path: Path) -> float:
    """What ffmpeg decodes of the audio."""
    truth = track(path)
    return len(truth.samples) / truth.rate


# -------------------------------------------------------------------------------------------------- audio


GUESSED: dict[str, tuple[str, ...]] = {
    "a.aac": ("-c:a", "aac", "-f", "adts"),
    "noxing.mp3": ("-c:a", "libmp3lame", "-q:a", "5", "-write_xing", "0"),
    "xing.mp3": ("-c:a", "libmp3lame", "-q:a", "5"),
    "a.ac3": ("-c:a", "ac3"),
    "a.ogg": ("-c:a", "libvorbis"),
    "a.opus": ("-c:a", "libopus", "-ar", "48000"),
    "a.flac": ("-c:a", "flac"),
    "a.m4a": ("-c:a", "aac"),
    "fragments.m4a": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "a.mka": ("-c:a", "aac"),
    "live.webm": ("-c:a", "libopus", "-ar", "48000", "-live", "1"),
    "a.wma": ("-c:a", "wmav2"),
    "a.wav": ("-c:a", "pcm_s24le"),
    "adpcm.wav": ("-c:a", "adpcm_ms"),
    "a.aiff": (),
}


@pytest.mark.parametrize("source", [LOUD_THEN_QUIET, QUIET_THEN_LOUD], ids=["loud first", "quiet first"])
@pytest.mark.parametrize("name", GUESSED)
def test_audio_is_as_long_as_ffmpeg_decodes_it(tmp_path: Path, name: str, source: str) -> None:
    path = noise(tmp_path / name, source, 3.3, *GUESSED[name])
    truth = decoded_seconds(path)
    assert truth == pytest.approx(3.3, abs=3 * PACKET)
    info, facts = probe(path), inspect(path)
    # The decoder of WMA drops its first packet, which the file does not say.
    within = 0.05 if name == "a.wma" else PACKET
    assert info.audio_seconds == pytest.approx(truth, abs=within)
    assert info.duration == info.audio_seconds
    assert (info.video_seconds, info.audio_start) == (0.0, pytest.approx(0.0, abs=1e-3))
    assert facts.audio_packets == pytest.approx(truth, abs=within)
    assert facts.audio_span == pytest.approx(truth, abs=PACKET)
    assert (facts.damaged, facts.audio_gap) == (0, 0.0)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("adts_said_436s_is_10s.aac", 436.63),
        ("adts_said_2s_is_10s.aac", 2.16),
        ("no_xing_said_20s_is_10s.mp3", 20.33),
    ],
)
def test_a_guess_from_the_bit_rate_is_no_length(trial_media: Path, name: str, stated: float) -> None:
    path = trial_media / name
    assert probe(path).duration == pytest.approx(10.031, abs=0.001)
    assert probe(path).duration == pytest.approx(decoded_seconds(path), abs=0.001)
    facts = inspect(path)
    assert facts.audio_stated == pytest.approx(stated, abs=0.01)
    assert facts.audio_span == pytest.approx(10.031, abs=0.001)


@pytest.mark.parametrize(
    "name", ["adts_said_436s_is_10s.aac", "adts_said_2s_is_10s.aac", "no_xing_said_20s_is_10s.mp3"]
)
@pytest.mark.parametrize("start", [0.0, 7.0, 9.5])
def test_a_window_holds_what_ffmpeg_decodes_then(trial_media: Path, name: str, start: float) -> None:
    path = trial_media / name
    truth = track(path)
    begin, size = round(start * truth.rate), truth.rate // 2
    own = read_audio(path, start=start, seconds=0.5, sample_rate=truth.rate).numpy()
    np.testing.assert_allclose(own, truth.samples[begin : begin + size], atol=1e-5)
    sought = audio_within(path, start=start, seconds=0.5, sample_rate=truth.rate).numpy()
    np.testing.assert_allclose(sought, own, atol=0.02 * np.abs(truth.samples).max())


def test_recordings_as_adts_are_as_long_as_their_packets(shared_data: Path, tmp_path: Path) -> None:
    for number, recording in enumerate(sorted((shared_data / "esc10").rglob("*.ogg"))[::60]):
        path = tmp_path / f"{number}.aac"
        ffmpeg("-i", recording, "-c:a", "aac", path)
        truth = track(path)
        assert probe(path).duration == pytest.approx(len(truth.samples) / truth.rate, abs=1e-3)
        assert probe(path).duration == pytest.approx(probe(recording).duration, abs=3 * 1024 / truth.rate)


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, None], ids=str)
@pytest.mark.parametrize("floats", [False, True])
def test_a_wav_that_was_piped_is_whole(tmp_path: Path, stated: int | None, floats: bool) -> None:
    wave = np.sin(np.arange(40_000, dtype=np.float32) / 9)
    path = wav(tmp_path / "a.wav", wave, stated=stated, floats=floats)
    assert probe(path).duration == 2.5
    facts = inspect(path)
    assert (facts.damaged, facts.lost, facts.audio_span, facts.audio_packets) == (0, 0.0, 2.5, 2.5)


def test_the_piped_wav_of_the_trials_is_whole(trial_media: Path) -> None:
    facts = inspect(trial_media / "pipe_wav_called_damaged.wav")
    assert (facts.damaged, facts.lost, facts.audio_span) == (0, 0.0, 10.0)


@pytest.mark.parametrize("floats", [False, True])
def test_a_wav_that_was_cut_has_lost_its_end(tmp_path: Path, floats: bool) -> None:
    wave = np.sin(np.arange(40_000, dtype=np.float32) / 9)
    path = wav(tmp_path / "a.wav", wave, stated=64_000 * (4 if floats else 2), floats=floats)
    assert probe(path).duration == 2.5
    facts = inspect(path)
    assert (facts.audio_stated, facts.audio_span, facts.lost) == (4.0, 2.5, 1.5)


@pytest.mark.parametrize(
    ("suffix", "options"), [("ogg", ("-c:a", "libvorbis")), ("opus", ("-c:a", "libopus"))]
)
def test_the_last_page_of_ogg_states_no_length(tmp_path: Path, suffix: str, options: tuple[str, ...]) -> None:
    whole = noise(
        tmp_path / f"whole.{suffix}", LOUD_THEN_QUIET.format("{}").replace("44100", "48000"), 2.0, *options
    )
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(last_granule(whole.read_bytes(), 48_000 * 90))
    assert probe(path).duration == pytest.approx(decoded_seconds(path), abs=PACKET)
    assert probe(path).duration == pytest.approx(2.0, abs=2 * PACKET)
    assert inspect(path).audio_stated == pytest.approx(90, abs=0.1)


# ------------------------------------------------------------------------------------------ video and audio


CONTAINERS: dict[str, tuple[str, ...]] = {
    "a.mkv": (*H264, "-c:a", "aac"),
    "live.mkv": (*H264, "-c:a", "aac", "-live", "1"),
    "a.webm": ("-c:v", "libvpx", "-c:a", "libopus", "-ar", "48000"),
    "a.flv": (*H264, "-c:a", "aac"),
    "nometa.flv": (*H264, "-c:a", "aac", "-flvflags", "no_duration_filesize+no_metadata"),
    "a.mp4": (*H264, "-bf", "2", "-c:a", "aac"),
    "fragments.mp4": (*H264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "half_fragments.mp4": (*H264, "-c:a", "aac", "-movflags", "frag_keyframe"),
    "a.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "a.mpg": ("-c:v", "mpeg1video", "-c:a", "mp2"),
    "a.ts": (*H264, "-c:a", "aac"),
    "a.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "a.mov": ("-c:v", "mjpeg", "-c:a", "pcm_s16le"),
}


@pytest.mark.parametrize(("seen", "heard"), [(1.2, 3.0), (3.0, 1.2)], ids=["audio longer", "video longer"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_each_track_has_its_own_length(tmp_path: Path, name: str, seen: float, heard: float) -> None:
    path = tmp_path / name
    inputs = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=25:d={seen}")
    ffmpeg(*inputs, "-f", "lavfi", "-i", f"sine=440:r=44100:d={heard}", *CONTAINERS[name], path)
    info = probe(path)
    times = decode_video(path).times
    assert info.video_seconds == pytest.approx(times[-1] + 0.04, abs=0.05)
    assert info.duration == info.video_seconds
    truth = track(path)
    # The decoder of WMA drops its first two packets, which the file does not say.
    assert info.audio_start == pytest.approx(truth.start - info.start, abs=0.1 if name == "a.wmv" else 0.03)
    assert info.audio_seconds == pytest.approx(len(truth.samples) / truth.rate, abs=0.06)


def test_the_trial_file_is_as_long_as_its_video(trial_media: Path) -> None:
    info = probe(trial_media / "video3s_audio10s.mkv")
    assert info.duration == pytest.approx(3.0, abs=0.01)
    assert info.audio_seconds == pytest.approx(10.0, abs=0.03)


def test_mp4_that_was_cut_is_as_long_as_what_is_left(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=4", "-f", "lavfi", "-i", "sine=r=16000:d=4")
    ffmpeg(*inputs, *H264, "-c:a", "aac", "-movflags", "faststart", whole)
    assert (probe(whole).video_seconds, probe(whole).audio_seconds) == (4.0, pytest.approx(4.0, abs=0.07))
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    info, left = probe(path), decode_video(path).times
    assert 1.0 < info.video_seconds < 3.0
    assert info.video_seconds == pytest.approx(left[-1] + 0.04, abs=0.09)


def test_a_header_of_mp4_that_differs_from_its_table_is_not_believed(tmp_path: Path) -> None:
    """The box mdhd (ISO 14496-12, 8.4.2) may state less than the table of samples holds."""
    path = noise(tmp_path / "a.m4a", LOUD_THEN_QUIET, 3.0, "-c:a", "aac", "-use_editlist", "0")
    content = bytearray(path.read_bytes())
    place = content.index(b"mdhd") + 4 + 4 + 4 + 4 + 4
    assert int.from_bytes(content[place - 4 : place], "big") == 44_100
    content[place : place + 4] = (44_100).to_bytes(4, "big")
    path.write_bytes(content)
    assert probe(path).audio_seconds == pytest.approx(decoded_seconds(path), abs=PACKET)
    assert probe(path).audio_seconds > 2.9


@pytest.mark.parametrize("late", [0.0, 0.7])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_gaps_and_late_starts_are_seen(tmp_path: Path, name: str, late: float) -> None:
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=5")
    hole = "aselect='not(between(t,1,2.5))'"
    ffmpeg(
        *inputs, "-itsoffset", late, "-f", "lavfi", "-i", "sine=440:r=44100:d=3", "-af", hole,
        *("-vf", "select='not(between(t,2,3.99))'", "-fps_mode", "vfr"), *H264, "-c:a", "aac", tmp_path / name,
    )  # fmt: skip
    facts = inspect(tmp_path / name)
    assert facts.video_gap == pytest.approx(2.04, abs=0.05)
    assert facts.audio_gap == pytest.approx(1.5, abs=0.1)
    assert facts.audio_span == pytest.approx(facts.audio_seconds + facts.audio_gap)
    assert facts.offset == pytest.approx(late, abs=0.05)
    info = probe(tmp_path / name)
    assert info.audio_start == pytest.approx(late, abs=0.05)
    assert info.audio_seconds == pytest.approx(facts.audio_span, abs=0.06)


# ------------------------------------------------------------------------------------------ any length


@given(seconds=st.floats(0.5, 4), rate=st.sampled_from([8000, 16_000, 44_100]))
@settings(max_examples=8, deadline=None)
def test_adts_of_any_length(tmp_path_factory: pytest.TempPathFactory, seconds: float, rate: int) -> None:
    path = tmp_path_factory.mktemp("adts") / "a.aac"
    ffmpeg("-f", "lavfi", "-i", f"anoisesrc=r={rate}:d={seconds}:a=0.3:s=1", "-c:a", "aac", path)
    assert probe(path).duration == pytest.approx(decoded_seconds(path), abs=1e-3)
