"""MPEG-4 part 2 in an AVI file's chunks as XviD packs them: a B-frame lies behind the later frame it refers to."""

from collections.abc import Iterable

FOURCC = "XVID"
OPTIONS = {"bf": "2", "flags": "+bitexact+cgop", "sc_threshold": "1000000000"}
"""Of FFmpeg's MPEG-4 encoder: two B-frames in a row, in closed groups, which go only without scene detection."""

# What XviD says of itself: its B-frames are packed ("p"), and no fault of an older build need be worked around.
_USER_DATA = b"\0\0\1\xb2DivX503b1393p\0\0\1\xb2XviD0074"
_GROUP, _FRAME = b"\0\0\1\xb3", b"\0\0\1\xb6"
_B = 2  # vop_coding_type (ISO 14496-2, 6.3.5)


def packed(frames: Iterable[bytes], *, ticks: int) -> list[bytes]:
    """Frames of FFmpeg's MPEG-4 encoder -> chunks as XviD makes them, as many, keyframes in their old places.

    The first B-frame shares the chunk of the later frame that it refers to, the next ones have chunks of their
    own, and a frame that is not coded fills the place left over. AVI states no presentation times; who takes
    the filler for a frame of its own guesses wrong ones, as with genuine UCF101 and HMDB51 files.

    Other than in XviD's own files, FFmpeg's encoder made all decisions (motion, quantizers) and rounded its
    transform, a group header with a time code precedes each keyframe, no B-frame precedes the keyframe that
    it would refer to (XviD closes its groups only on request), and no empty chunks open the file.

    Frames are in the order of decoding, each keyframe with its headers; ``ticks`` are per second of the stream's clock.
    """
    groups: list[list[bytes]] = []
    for frame in frames:
        if frame[frame.index(_FRAME) + 4] >> 6 == _B:
            groups[-1].append(frame)
        else:
            groups.append([frame.replace(_GROUP, _USER_DATA + _GROUP, 1)])
    chunks: list[bytes] = []
    for reference, *between in groups:
        chunks += [reference + b"".join(between[:1]), *between[1:]]
        if between:
            chunks.append(_not_coded(reference, ticks))
    return chunks


def _not_coded(frame: bytes, ticks: int) -> bytes:
    """A frame of the same type and time that shows the one before it again (ISO 14496-2, 6.2.5)."""
    start = frame.index(_FRAME) + len(_FRAME)
    bits = "".join(f"{byte:08b}" for byte in frame[start : start + 8])
    # Behind the type stand the seconds since the frame before (ones and a zero, here a zero alone), a marker, the
    # ticks within the second, a marker and whether the frame is coded.
    begin = bits.index("0", 2) + 2
    within = bits[begin : begin + max(1, (ticks - 1).bit_length())]
    header = f"{bits[:2]}01{within}10"
    # Stuffing: a zero, then ones up to the whole byte.
    stuffed = header + "0" + "1" * (-(len(header) + 1) % 8)
    return _FRAME + int(stuffed, 2).to_bytes(len(stuffed) // 8, "big")
