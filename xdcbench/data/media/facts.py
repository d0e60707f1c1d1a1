"""What one media file holds, as decoding finds it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What one file holds. Texts are empty and numbers 0 or nan where there is no such track.

    Attributes:
        container: FFmpeg's names of the format, comma-separated.
        video_codec: as FFmpeg names it; empty without a video track, or with a cover image alone.
        pix_fmt: format of the first frame.
        width: of stored frames in pixels, before rotation.
        height: likewise.
        rotation: degrees counter-clockwise by which a frame is turned before it is shown.
        fps: frames per second, on average.
        variable: whether the time between frames varies.
        frames: frames that decode.
        video_seconds: from the first frame to the end of the last, by presentation times.
        audio_codec: as FFmpeg names it; empty without an audio track.
        sample_rate: Hz.
        channels: of the first samples.
        audio_seconds: of audio that decodes.
        offset: seconds from the first frame to the first sample; nan without both.
        peak: largest magnitude of the mean of the channels, which encoders hear; full scale is 1.
        damaged: packets marked as corrupt or without a frame or samples, and frames marked as corrupt.
        lost: seconds that the container states and that do not decode, at the end.
        video_stated: length that the header states or that is guessed from the bit rate, seconds; nan where
            neither does.
        video_packets: length by the time stamps of the packets, seconds; nan without a track.
        video_gap: longest time from one frame to the next, seconds.
        audio_stated: as of the video.
        audio_packets: as of the video.
        audio_span: seconds from the first sample to the end of the last, gaps included.
        audio_gap: longest hole in the time stamps of the samples, seconds.
        bad_sample: which sample is no number; empty where all are.
    """

    container: str
    video_codec: str
    pix_fmt: str
    width: int
    height: int
    rotation: int
    fps: float
    variable: bool
    frames: int
    video_seconds: float
    audio_codec: str
    sample_rate: int
    channels: int
    audio_seconds: float
    offset: float
    peak: float
    damaged: int
    lost: float
    video_stated: float
    video_packets: float
    video_gap: float
    audio_stated: float
    audio_packets: float
    audio_span: float
    audio_gap: float
    bad_sample: str
