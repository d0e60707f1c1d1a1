"""Previews of items: the part of each that was clustered, as small files that are kept from one call to the next."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from xdcbench.config.base import Modality
from xdcbench.config.models import AudioInput, VideoInput, Waveform
from xdcbench.data.clip_dataset import ClipDataset
from xdcbench.data.clips import ClipSpec
from xdcbench.errors import MediaError, UserError
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.pretraining.pseudo_labels import clips_of
from xdcbench.reports.clusters.media import (
    audio_within,
    write_audio,
    write_image,
    write_spectrogram,
    write_video,
)
from xdcbench.reports.clusters.origin import ClusteredRound
from xdcbench.utils.progress import track

VERSION = 2
"""Of the files; raise it when they change, so that older ones are not taken for them."""
VIDEO = VideoInput(frames=24, fps=12, size=144, short_side=(144, 144))
"""2 s of the encoder's view, the center square."""
LONG = 600.0
"""Seconds from which audio is sought, not decoded from the start of a file."""
THREADS = 2
"""Previews made at the same time."""


@dataclass(frozen=True)
class Preview:
    """Files of one item, by name inside the folder of previews; empty where there is none.

    ``image`` is the first frame, ``video`` loops without audio, ``spectrogram`` is of the ``audio`` that the
    encoder hears; ``gone`` says why there is nothing.
    """

    image: str = ""
    video: str = ""
    spectrogram: str = ""
    audio: str = ""
    gone: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files."""
        return tuple(filter(None, (self.image, self.video, self.spectrogram, self.audio)))


class Previews:
    """Makes previews of the items of a round in ``folder``; what is there already is not made again."""

    def __init__(self, found: ClusteredRound, folder: Path) -> None:
        self.folder, self.index = folder, found.index
        declared = load_encoder_metadata(found.encoders).models.audio.input
        # Of an encoder that takes waveforms, the spectrogram is this project's usual one.
        self.heard = AudioInput(seconds=declared.seconds) if isinstance(declared, Waveform) else declared
        frames = 1 if found.index.media == "image" else VIDEO.frames
        video = VIDEO.model_copy(update={"frames": frames})
        self.video = ClipDataset(found.index, found.root, video=video)
        self.audio = ClipDataset(found.index, found.root, audio=self.heard)
        columns = found.table[list(found.config.clusterings)].fillna(-1)
        clustered = np.flatnonzero((columns >= 0).any(axis=1))
        specs = clips_of(found.config, clustered)
        self.specs: Mapping[int, ClipSpec] = dict(zip(clustered.tolist(), specs, strict=True))

    def make(self, wanted: Mapping[int, Collection[Modality]]) -> dict[int, Preview]:
        """Previews of items, by position in the index; ``wanted`` are the modalities that each cannot do without."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = {}
        with track("previews", len(wanted)) as tick, ThreadPoolExecutor(THREADS) as pool:
            for row, preview in zip(wanted, pool.map(self.preview, wanted, wanted.values()), strict=True):
                found[row] = preview
                tick()
        return found

    def preview(self, row: int, modalities: Collection[Modality]) -> Preview:
        """Files of one item, of all that it has; the reason where it lacks one of ``modalities``."""
        files: dict[str, str] = {}
        makers: dict[Modality, Callable[[int], dict[str, str]]] = {"video": self._seen, "audio": self._heard}
        for modality, make in makers.items():
            try:
                files |= make(row)
            except (MediaError, UserError) as error:  # the latter of prepared shards
                if modality in modalities:
                    return Preview(gone=error.reason if isinstance(error, MediaError) else str(error))
        return Preview(**files)

    def _seen(self, row: int) -> dict[str, str]:
        image, video = (self._path(row, suffix) for suffix in ("jpg", "mp4"))
        moves = not self.video.is_image
        if not image.exists() or (moves and not video.exists()):
            frames: Tensor = self.video[self.specs[row]]["video"]
            if not image.exists():
                write_image(frames[0], image)
            if moves and not video.exists():
                write_video(frames, VIDEO.fps, video)
        return {"image": image.name, "video": video.name if moves else ""}

    def _heard(self, row: int) -> dict[str, str]:
        audio, spectrogram = (self._path(row, suffix) for suffix in ("mp3", "png"))
        if not audio.exists() or not spectrogram.exists():
            wave = self._wave(row)
            if not audio.exists():
                write_audio(wave, self.heard.sample_rate, audio)
            if not spectrogram.exists():
                write_spectrogram(wave, self.heard, spectrogram)
        return {"audio": audio.name, "spectrogram": spectrogram.name}

    def _wave(self, row: int) -> Tensor:
        spec, seconds = self.specs[row], self.heard.seconds
        if self.audio.durations[row] < LONG or not isinstance(self.audio.root, Path):
            return self.audio[spec]["audio"]
        start = spec.place * max(0.0, float(self.audio.durations[row]) - seconds)
        start += float(self.audio.begins[row])
        return audio_within(
            self.audio.path(spec), start=start, seconds=seconds, sample_rate=self.heard.sample_rate
        )

    def _path(self, row: int, suffix: str) -> Path:
        """A name that no other item, clip or setting has."""
        clip = [VERSION, self.index.fingerprint, str(self.index.items["id"].iloc[row]), self.specs[row].place]
        text = json.dumps([*clip, self.heard.model_dump(mode="json")])
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.{suffix}"
