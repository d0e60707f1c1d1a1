"""Encoders from elsewhere, filled with their weights and kept like any run's."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xdcbench.config.base import Modality
from xdcbench.config.keys import config_hash
from xdcbench.config.models import Models, PretrainedAudio, PretrainedEncoders, PretrainedVideo
from xdcbench.config.released import registry, release_of
from xdcbench.config.stages import PretrainedStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.models.encoders import (
    Encoder,
    EncoderMetadata,
    WeightsFile,
    build,
    load_encoder_metadata,
    load_encoders,
    save_encoders,
)
from xdcbench.models.front_ends import DecibelFrames
from xdcbench.models.pretrained.external import (
    ExternalEncoder,
    PerFrame,
    torchvision_tensors,
    torchvision_weights,
)
from xdcbench.models.pretrained.origins import OWN, TORCHVISION, named, weights_hash
from xdcbench.models.pretrained.released import cached, fetch, fetch_statistics, pinning, recognize
from xdcbench.models.pretrained.released_tensors import read_statistics, released_tensors
from xdcbench.models.weights import load_partial, read_tensors
from xdcbench.utils.code import Consent
from xdcbench.utils.io import file_hash
from xdcbench.utils.progress import log

CLASSIFIER = "fc"
"""Name of the classifier in files of the R(2+1)D models that this project builds without one."""

COUNTER = ".num_batches_tracked"
"""Buffer of BatchNorm that files of torch before 0.4.1 lack, and that no fixed momentum uses."""


def run(config: PretrainedStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: build the encoders, load their weights, keep both in this project's form."""
    pretrained = config.encoders
    if pretrained.run is not None:
        metadata = load_encoder_metadata(Path(pretrained.run))
        for modality in metadata.encoders:
            shutil.copyfile(Path(pretrained.run, f"{modality}.safetensors"), work / f"{modality}.safetensors")
        save_encoders(
            work, {}, metadata.model_copy(update={"method": config.name, "config_hash": config_hash(config)})
        )
        return
    parts = pretrained.by_modality
    encoders = {
        modality: filled(
            build(part.source, part.model, context.consent), part, accepted=context.accept_license
        )
        for modality, part in parts.items()
    }
    declared: dict[str, Any] = {
        m: parts[m].model.model_copy(update={"input": e.input}) for m, e in encoders.items()
    }
    metadata = EncoderMetadata(
        method=config.name,
        config_hash=config_hash(config),
        pretrain_data=learned_from(pretrained),
        seed=0,
        encoders=tuple(encoders),
        models=Models().model_copy(update=declared),
        sources={m: part.source for m, part in parts.items() if part.source not in OWN},
        released={m: file for m, part in parts.items() if (file := weights_file(part))},
    )
    save_encoders(work, encoders, metadata)


def build_all(pretrained: PretrainedEncoders, consent: Consent, *, where: str) -> dict[Modality, Encoder]:
    """The encoders on the CPU, with those of their weights that are on this machine; nothing is downloaded.

    ``where`` is what names them, for messages.

    Raises:
        UserError: one cannot be built, or its weights do not fit; torchvision offers no such weights.
    """
    if pretrained.run is not None:
        run = Path(pretrained.run)
        return load_encoders(
            run, load_encoder_metadata(run).encoders, device=torch.device("cpu"), consent=consent
        )
    encoders = {}
    for modality, part in pretrained.by_modality.items():
        try:
            encoder = build(part.source, part.model, consent, where=f"{where}.{modality}.source")
            if named(part):
                torchvision_weights(part.source.removeprefix(TORCHVISION), str(part.weights))
            elif part.file or (part.weights and not release_of(part)):
                filled(encoder, part)
        except UserError as error:
            raise UserError(f"{where}.{modality}: {error}") from error
        encoders[modality] = encoder
    return encoders


def filled(encoder: Encoder, part: PretrainedVideo | PretrainedAudio, *, accepted: bool = False) -> Encoder:
    """The encoder with the weights that ``part`` names; all must fit but a classifier's, which are left out.

    ``accepted`` says whether the user has accepted licenses that forbid commercial use.

    Raises:
        UserError: the weights are not to be had, or do not fit.
    """
    if part.weights is None:
        return encoder
    tensors = weights_of(part, accepted=accepted)
    net, classifier = (
        (encoder.net, encoder.classifier) if isinstance(encoder, ExternalEncoder) else (encoder, CLASSIFIER)
    )
    if isinstance(net, PerFrame):
        net = net.net
    left_out = [name for name in tensors if classifier and name.startswith(f"{classifier}.")]
    if left_out:
        log.info("%s: left out %s", part.weights, ", ".join(left_out))
    counters = {n: t for n, t in net.state_dict().items() if n.endswith(COUNTER) and n not in tensors}
    if counters:
        log.info("%s: holds no count of batches for %d BatchNorms; not used", part.weights, len(counters))
    kept = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    load_partial(net, counters | kept, Path(part.file or part.weights))
    release = release_of(part)
    if release and isinstance(encoder.prepare, DecibelFrames) and (path := fetch_statistics(release)):
        load_partial(encoder.prepare, read_statistics(path), path)
    return encoder


def weights_of(part: PretrainedVideo | PretrainedAudio, *, accepted: bool) -> dict[str, Tensor]:
    """The tensors of a weights file, of a release, or those that torchvision offers under that name."""
    assert part.weights is not None
    if named(part):
        return torchvision_tensors(part.source.removeprefix(TORCHVISION), part.weights)
    release = release_of(part)
    if release is None:
        return read_tensors(Path(part.weights))
    path = Path(part.file) if part.file else fetch(release, accepted=accepted)
    modality: Modality = "video" if isinstance(part, PretrainedVideo) else "audio"
    return released_tensors(release, modality, path)


def weights_file(part: PretrainedVideo | PretrainedAudio) -> WeightsFile | None:
    """The file of released weights that an encoder was filled from; None for any other encoder."""
    if part.weights is None or named(part):
        return None
    release = release_of(part)
    path = cached(release) if release and not part.file else Path(part.file or part.weights)
    sha256 = file_hash(path)
    release = release or recognize(path, sha256)
    if release is None:
        return None
    return WeightsFile(
        name=release.name,
        url=release.url,
        license=release.license.name,
        sha256=sha256,
        pinned=pinning(release),
    )


def learned_from(pretrained: PretrainedEncoders) -> str:
    """Name of the pretraining data: as stated, or else of the release that the weights are."""
    marks = {weights_hash(part) for part in pretrained.by_modality.values()}
    named = (release for part in pretrained.by_modality.values() if (release := release_of(part)))
    recognized = (release for release in registry().values() if release.mark in marks)
    releases = (release.pretrain_data for release in (*named, *recognized))
    return pretrained.pretrain_data if pretrained.pretrain_data != "none" else next(releases, "none")
