"""Why names that a list expects and names that the disk has do not join."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import PurePosixPath
from typing import Literal
from unicodedata import is_normalized, normalize

from xdcbench.data.scanning.classes import same
from xdcbench.data.scanning.items import MEDIA

_START, _END = (rf"[_-](?P<{name}>[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)" for name in ("start", "end"))
NAME = rf"Y?(?P<ytid>[A-Za-z0-9_-]{{11}})(?:{_START}(?:{_END})?)?"
"""``<ytid>``, ``<ytid>_<start>``, ``<ytid>_<start>_<end>`` or ``<ytid>_<start>-<end>``, with or without a Y in front.

An id has 11 characters, ``_`` and ``-`` among them, so that what follows it is known by its place."""
CLIP = re.compile(NAME)
TITLED = re.compile(r".*(?:\[|-)([A-Za-z0-9_-]{11})\]?", re.DOTALL)
"""What yt-dlp and youtube-dl call a file unless told otherwise: the title, and the id in brackets or after a ``-``."""
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
SAMPLE = 1000
"""Expected names for which another is sought; those of one list tend to differ in one way."""
FOUND = 200_000
"""Names on disk among which it is sought."""

Difference = tuple[str, str]
"""How two names differ, and what to do about it."""
AS_FILES = "write the list's names as the files have them"
NO_SUFFIX = ("no suffix in the list", AS_FILES)
OTHER_KIND = ("another kind of file", "set `media` to the kind of the files, or get files of the right kind")


def explanation(
    expected: Sequence[str], found: Iterable[str], *, guess: bool, kind: Collection[str] = ()
) -> str:
    """One expected name, the name on disk that is nearest to it, how they differ and what to do.

    Args:
        expected: paths that lists name and the disk lacks, with or without suffix.
        found: paths of media files that no list names.
        guess: whether a name that merely resembles the expected one will do.
        kind: suffixes of the dataset's kind of media.

    Returns:
        a sentence and its ``Try:``; empty where no name on disk resembles an expected one.
    """
    there = [_Name(path) for path in islice(found, FOUND)]
    wanted = [_Name(path, listed=True) for path in expected[:: max(1, len(expected) // SAMPLE)]]
    for key in ("path", "stem", "video"):
        known = {getattr(name, key): name for name in reversed(there)}
        for name in wanted:
            near = known.get(getattr(name, key))
            if near is not None and getattr(name, key):
                alike = NO_SUFFIX if near.suffix.lower() in kind else OTHER_KIND
                return _said(name, near, list(_differences(name, near)) or [alike])
    return _alike(wanted, there) if guess else ""


class _Name:
    """A path and what it shares with other spellings of it: path, stem, and id of a YouTube video."""

    def __init__(self, text: str, *, listed: bool = False) -> None:
        self.text = text
        posix = PurePosixPath(text.replace("\\", "/") if listed else text)
        self.suffix = posix.suffix if posix.suffix.lower() in MEDIA else ""
        self.bare = str(posix).removesuffix(self.suffix)
        self.bare_stem = posix.name.removesuffix(self.suffix)
        self.path, self.stem = same(self.bare), same(self.bare_stem)
        clip = CLIP.fullmatch(self.bare_stem)
        self.titled = None if clip else TITLED.fullmatch(self.bare_stem)
        self.video: str = next((match[1] for match in (clip, self.titled) if match), "")
        self.start: str | None = clip[2] if clip else None


def _said(expected: _Name, found: _Name, differences: Sequence[Difference]) -> str:
    reasons = ", ".join(dict.fromkeys(reason for reason, _ in differences))
    mends = ", ".join(dict.fromkeys(mend for _, mend in differences))
    return f"expected `{expected.text}`, found `{found.text}`: {reasons}. Try: {mends}"


def _differences(expected: _Name, found: _Name) -> Iterator[Difference]:
    """Every difference of two names that share path, stem or video."""
    # A list that names no suffix names the last folders of a path at most.
    placed = not expected.suffix and f"/{found.path}".endswith(f"/{expected.path}")
    one, other = expected.bare, found.bare
    if "\\" in expected.text:
        yield "backslashes in the list", "write its paths with /"
    if expected.path != found.path:
        one, other = expected.bare_stem, found.bare_stem
    if expected.stem != found.stem:
        yield _other_start(found)
    elif expected.path != found.path and not placed:
        yield "another folder", "set `root` to the folder in which the list's paths begin, or move the files"
    if one != other and same(one) == same(other):
        if normalize("NFC", one) == normalize("NFC", other):
            yield f"{_form(one)} in the list, {_form(other)} on disk", "write both in one Unicode form"
        else:
            yield "upper and lower case", AS_FILES
    if expected.suffix and expected.suffix != found.suffix:
        yield f"suffix {found.suffix}", AS_FILES


def _other_start(found: _Name) -> Difference:
    mend = "name files <id>_<start>_<end> with the list's times, in seconds"
    if found.titled:
        return "a title in its name", mend
    if found.start is None:
        return "no start in its name, and the list has several clips of its video", mend
    return "another start than the list's", mend


def _form(text: str) -> str:
    return next((form for form in FORMS if is_normalized(form, text)), "mixed Unicode forms")


def _alike(wanted: Sequence[_Name], there: Sequence[_Name]) -> str:
    """A name that merely resembles the first one."""
    if not wanted:
        return ""
    stems = {name.stem: name for name in there[:SAMPLE]}
    alike = get_close_matches(wanted[0].stem, stems, n=1)
    return _said(wanted[0], stems[alike[0]], [("another name", AS_FILES)]) if alike else ""
