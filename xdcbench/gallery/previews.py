"""Previews of items: the part of each that was clustered, as small files that are kept from one call to the next."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from xdcbench.data.clips import Clips, Draw
from xdcbench.errors import MediaError, UserError
from xdcbench.gallery.media import made, sound_within, write_film, write_sound, write_spectrogram, write_still
from xdcbench.gallery.origin import ClusteredRound
from xdcbench.models.encoders import load_card
from xdcbench.pretrain.labels import draws_of
from xdcbench.progress import track
from xdcbench.schema import Modality, VideoInput

VERSION = 2
"""Of the files; raise it when they change, so that older ones are not taken for them."""
FILM = VideoInput(frames=24, rate=12, size=144, short_side=(144, 144))
"""2 s of the encoder's view, the centre square."""
LONG = 600.0
"""Seconds from which sound is sought, not decoded from the start of a file."""
THREADS = 2
"""Previews made at the same time."""


@dataclass(frozen=True)
class Preview:
    """Files of one item, by name inside the folder of previews; empty where there is none.

    Attributes:
        still: first picture.
        film: looping, without sound; none for still images.
        spectrogram: of the sound.
        sound: what the encoder hears.
        gone: why there is nothing.
    """

    still: str = ""
    film: str = ""
    spectrogram: str = ""
    sound: str = ""
    gone: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files."""
        return tuple(filter(None, (self.still, self.film, self.spectrogram, self.sound)))


class Previews:
    """Makes previews of the items of a round in ``folder``; what is there already is not made again."""

    def __init__(self, found: ClusteredRound, folder: Path) -> None:
        self.folder, self.index = folder, found.index
        self.heard = load_card(found.encoders).models.audio.input
        frames = 1 if found.index.media == "image" else FILM.frames
        film = FILM.model_copy(update={"frames": frames})
        self.film = Clips(found.index, found.root, video=film)
        self.sound = Clips(found.index, found.root, audio=self.heard)
        columns = found.table[list(found.config.clusterings)].fillna(-1)
        clustered = np.flatnonzero((columns >= 0).any(axis=1))
        draws = draws_of(found.config, clustered)
        self.draws: Mapping[int, Draw] = dict(zip(clustered.tolist(), draws, strict=True))

    def make(self, wanted: Mapping[int, Collection[Modality]]) -> dict[int, Preview]:
        """Previews of items, by position in the index, each of the modalities that are asked for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = {}
        with track("previews", len(wanted)) as tick, ThreadPoolExecutor(THREADS) as pool:
            for row, preview in zip(wanted, pool.map(self.preview, wanted, wanted.values()), strict=True):
                found[row] = preview
                tick()
        return found

    def preview(self, row: int, modalities: Iterable[Modality]) -> Preview:
        """Files of one item; where it cannot be read, the reason."""
        preview = Preview()
        try:
            if "video" in modalities:
                preview = replace(preview, **self._seen(row))
            if "audio" in modalities:
                preview = replace(preview, **self._heard(row))
        except MediaError as error:
            return Preview(gone=error.reason)
        except UserError as error:  # of a prepared store
            return Preview(gone=str(error))
        return preview

    def _seen(self, row: int) -> dict[str, str]:
        still, film = (self._path(row, suffix) for suffix in ("jpg", "mp4"))
        moves = not self.film.still
        if not still.exists() or (moves and not film.exists()):
            pictures: Tensor = self.film[self.draws[row]]["video"]
            made(still, lambda path: write_still(pictures[0], path))
            if moves:
                made(film, lambda path: write_film(pictures, FILM.rate, path))
        return {"still": still.name, "film": film.name if moves else ""}

    def _heard(self, row: int) -> dict[str, str]:
        sound, spectrogram = (self._path(row, suffix) for suffix in ("mp3", "png"))
        if not sound.exists() or not spectrogram.exists():
            wave = self._wave(row)
            made(sound, lambda path: write_sound(wave, self.heard.rate, path))
            made(spectrogram, lambda path: write_spectrogram(wave, self.heard, path))
        return {"sound": sound.name, "spectrogram": spectrogram.name}

    def _wave(self, row: int) -> Tensor:
        draw, seconds = self.draws[row], self.heard.seconds
        if self.sound.durations[row] < LONG or not isinstance(self.sound.root, Path):
            return self.sound[draw]["audio"]
        start = draw.place * max(0.0, float(self.sound.durations[row]) - seconds)
        start += float(self.sound.begins[row])
        return sound_within(self.sound.path(draw), start=start, seconds=seconds, rate=self.heard.rate)

    def _path(self, row: int, suffix: str) -> Path:
        """A name that no other item, clip or setting has."""
        clip = [VERSION, self.index.fingerprint, str(self.index.items["id"].iloc[row]), self.draws[row].place]
        text = json.dumps([*clip, self.heard.model_dump(mode="json")])
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.{suffix}"
