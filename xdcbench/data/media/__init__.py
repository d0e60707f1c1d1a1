"""Reading of sound, video and still images: the one place that decodes.

Both streams are read on one clock. Its zero is the presentation time of the video stream's first frame, or
of the sound stream's where there is no video; a clip and a sound window with the same centre are aligned.
"""

from xdcbench.data.media.container import Indexed, Media, Member
from xdcbench.data.media.picture import read_clip, read_image
from xdcbench.data.media.probe import MediaInfo, probe
from xdcbench.data.media.sound import read_audio

__all__ = ["Indexed", "Media", "MediaInfo", "Member", "probe", "read_audio", "read_clip", "read_image"]
