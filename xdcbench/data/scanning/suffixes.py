"""How names of media files end."""

_ENDINGS = {
    "video": "3g2 3gp asf avi divx dv f4v flv m1v m2t m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogm ogv qt rm rmvb "
    "ts vob webm wmv",
    "audio": "aac ac3 aif aifc aiff amr ape au caf eac3 flac m4a m4b mka mp2 mp3 oga ogg opus spx tta w64 wav weba wma "
    "wv",
    "image": "jpeg jpg png bmp webp",
}
SUFFIXES = {kind: frozenset(f".{ending}" for ending in names.split()) for kind, names in _ENDINGS.items()}
"""How names of media files of a kind end, of those that FFmpeg reads."""
MEDIA = frozenset().union(*SUFFIXES.values())
"""Of any kind."""
