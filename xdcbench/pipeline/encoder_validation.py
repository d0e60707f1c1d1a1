"""`validate-encoder`: what its argument stands for, built, and tried on generated clips or on a few files."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from xdcbench.config.base import Modality
from xdcbench.config.models import Input, VideoInput
from xdcbench.data.clip_dataset import crop_box
from xdcbench.data.media import read_audio, read_clip
from xdcbench.data.scanning.items import SUFFIXES
from xdcbench.errors import MediaError, UserError
from xdcbench.models.encoders import Encoder, to_device
from xdcbench.models.pretrained.external import untried_encoder
from xdcbench.models.pretrained.origins import TORCHVISION, find_origin
from xdcbench.models.raw_inputs import blank, noise
from xdcbench.models.validation import Trial, check_all, lines
from xdcbench.pipeline.encoder_entry import entry_of
from xdcbench.pretraining.pretrained import build_all
from xdcbench.utils.code import Consent
from xdcbench.utils.progress import log
from xdcbench.utils.runtime import pick_device

BATCH = 4
"""Clips per pass, and files that are read."""


@dataclass(frozen=True)
class Request:
    """What ``validate-encoder`` takes from the command line."""

    spec: str
    modality: Modality | None = None
    data: Path | None = None
    overrides: tuple[str, ...] = ()
    device: str = "auto"
    trust_code: bool = False


def validation_lines(request: Request) -> tuple[list[str], int]:
    """A line per check of each encoder that a request names.

    Returns:
        Lines, and the exit code: 0 if all passed.

    Raises:
        UserError: an encoder cannot be built, or there is nothing to read in the folder.
    """
    consent = Consent.given(trust=request.trust_code, settings=request.overrides)
    if _is_code(request.spec):
        consent = Consent(consent.everything, consent.typed | {request.spec})
    device = pick_device(request.device)
    encoders, again = (_built(request, consent) for _ in range(2))
    told, failed = [], 0
    for modality, encoder in encoders.items():
        inputs = _inputs(encoder.input, request.data)
        trial = Trial(to_device(encoder, device), to_device(again[modality], device), inputs, device)
        findings = list(check_all(trial))
        bad = sum(not finding.ok for finding in findings)
        verdict = f"{bad} of {len(findings)} checks failed" if bad else f"{len(findings)} checks passed"
        told += [f"{modality} encoder of {request.spec}", *lines(findings), verdict]
        failed += bad
    return told, int(failed > 0)


def _is_code(spec: str) -> bool:
    return ":" in spec and not spec.startswith(TORCHVISION) and not Path(spec).exists()


def _built(request: Request, consent: Consent) -> dict[Modality, Encoder]:
    """The encoders on the CPU; of the code of others one whose features nobody has looked at."""
    entry = entry_of(request.spec, request.modality, request.overrides)
    origin = find_origin(request.spec, entry, consent=consent)
    if origin.unavailable:
        raise UserError(origin.unavailable)
    if _is_code(request.spec):
        wanted: tuple[Modality, ...] = (request.modality,) if request.modality else ("video", "audio")
        encoder = untried_encoder(request.spec, wanted, consent, request.spec)
        return {"video" if isinstance(encoder.input, VideoInput) else "audio": encoder}
    built = build_all(entry, consent, where=request.spec)
    if request.modality and request.modality not in built:
        raise UserError(f"{request.spec} has no {request.modality} encoder. Try: leave --modality out")
    return {m: encoder for m, encoder in built.items() if request.modality in (None, m)}


def _inputs(declared: Input, data: Path | None) -> dict[str, Tensor]:
    """Raw batches by what they hold."""
    nothing = "black" if isinstance(declared, VideoInput) else "silence"
    files = {f"files of {data}": read_files(data, declared)} if data else {}
    return {**files, "noise": noise(declared, BATCH), nothing: blank(declared, 1)}


def read_files(folder: Path, declared: Input) -> Tensor:
    """The beginning of a few files below a folder, as an encoder takes them: see `raw_inputs.blank`.

    Raises:
        UserError: it is no folder, or not two files of it can be read.
    """
    if not folder.is_dir():
        raise UserError(f"--data {folder} is no folder; give one that holds media files")
    kinds = SUFFIXES["video"] | (frozenset() if isinstance(declared, VideoInput) else SUFFIXES["audio"])
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in kinds)
    found = list(islice(_read(paths, declared), BATCH))
    if len(found) < 2:
        modality = "video" if isinstance(declared, VideoInput) else "audio"
        raise UserError(f"--data {folder}: {len(found)} files with readable {modality}, where 2 are needed")
    return torch.stack(found)


def _read(paths: Iterator[Path], declared: Input) -> Iterator[Tensor]:
    for path in islice(paths, 8 * BATCH):
        try:
            if isinstance(declared, VideoInput):
                short_side, side = crop_box(declared, None)
                clip = read_clip(
                    path, start=0.0, frames=declared.frames, fps=declared.fps, short_side=short_side
                )
                top, left = ((length - side) // 2 for length in clip.shape[1:3])
                yield clip[:, top : top + side, left : left + side]
            else:
                yield read_audio(path, start=0.0, seconds=declared.seconds, sample_rate=declared.sample_rate)
        except MediaError as error:
            log.warning("passed over: %s", error)
