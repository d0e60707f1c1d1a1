"""Reading of audio, video and images: the one place that decodes.

Both streams are read on one clock. Its zero is the presentation time of the video stream's first frame, or
of the audio stream's where there is no video; a clip and an audio window with the same center are aligned.
"""

from xdcbench.data.media.audio import Track, read_audio, read_track
from xdcbench.data.media.container import Indexed, Media, Member
from xdcbench.data.media.probe import MediaInfo, probe
from xdcbench.data.media.video import Frames, read_clip, read_frames, read_image

__all__ = [
    "Frames",
    "Indexed",
    "Media",
    "MediaInfo",
    "Member",
    "Track",
    "probe",
    "read_audio",
    "read_clip",
    "read_frames",
    "read_image",
    "read_track",
]
