"""What is known of a media file without decoding it."""

from dataclasses import dataclass

from xdcbench.data.media.container import (
    Media,
    audio_stream,
    clock_origin,
    edit_shift,
    opened,
    path_of,
    video_stream,
    wave_header,
)
from xdcbench.data.media.lengths import Extent, extents
from xdcbench.data.media.limits import check_seconds
from xdcbench.errors import MediaError

LENGTHS = ("duration", "video_seconds", "audio_start", "audio_seconds")
"""What of `MediaInfo` an index keeps, seconds."""


@dataclass(frozen=True)
class MediaInfo:
    """What is known of a file's first video and first audio stream, without decoding; 0 of a stream that it lacks.

    Attributes:
        duration: of the video stream, else of the audio, in seconds.
        video_seconds: length of the video stream, which begins at time zero of the shared clock.
        audio_start: time of the first sample on the shared clock, seconds.
        audio_seconds: length of the audio stream.
        start: time zero of the shared clock on the container's clock, seconds.
        width, height: of stored frames in pixels, before rotation.
        has_video: cover images of audio files do not count.
        has_audio: a silent track counts.
        sample_rate: Hz.
    """

    duration: float
    video_seconds: float
    audio_start: float
    audio_seconds: float
    start: float
    fps: float
    width: int
    height: int
    has_video: bool
    has_audio: bool
    sample_rate: int
    channels: int


def probe(media: Media) -> MediaInfo:
    """Read a container's header and, where that cannot be trusted with lengths, its packets.

    Raises:
        MediaError: the file cannot be opened, holds neither video nor audio, or is beyond a limit.
    """
    with opened(media) as container:
        video, audio = video_stream(container), audio_stream(container)
        tracks = [track for track in (video, audio) if track is not None]
        if not tracks:
            raise MediaError(path_of(media), "holds neither video nor audio")
        start = clock_origin(container, media) + edit_shift(container, media)
        found = extents(container, tracks, wave_header(container, media))
        for extent in found:
            check_seconds(path_of(media), extent.seconds, container.size)
        seen = found[0] if video else Extent(0.0, 0.0)
        heard = found[-1] if audio else Extent(start, 0.0)
        return MediaInfo(
            duration=seen.seconds if video else heard.seconds,
            video_seconds=seen.seconds,
            audio_start=heard.begin - start,
            audio_seconds=heard.seconds,
            start=start,
            fps=float(video.guessed_rate or video.average_rate or 0) if video else 0.0,
            width=video.codec_context.width if video else 0,
            height=video.codec_context.height if video else 0,
            has_video=video is not None,
            has_audio=audio is not None,
            sample_rate=audio.codec_context.sample_rate if audio else 0,
            channels=audio.codec_context.channels if audio else 0,
        )
