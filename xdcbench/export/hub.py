"""What torch.hub loads: encoders by name, folder or file, with a new classifier."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from xdcbench.config.base import Modality
from xdcbench.config.models import AudioModel, PretrainedAudio, PretrainedVideo, VideoModel
from xdcbench.config.released import Release, registry
from xdcbench.errors import UserError
from xdcbench.models.audio_resnet import AudioResNet
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.models.pretrained.exported import is_export, verified
from xdcbench.models.pretrained.origins import OWN
from xdcbench.models.pretrained.released import fetch
from xdcbench.models.r2plus1d import R2Plus1D
from xdcbench.models.weights import load_weights
from xdcbench.pretraining.pretrained import CLASSIFIER, filled
from xdcbench.utils.messages import comma_separated

Place = str | Path | None


class VideoClassifier(R2Plus1D):
    """R(2+1)D and a linear classifier ``fc``; parameters are named as torchvision names them."""

    def __init__(self, model: VideoModel, *, classes: int) -> None:
        super().__init__(model)
        self.fc = _classifier(self.features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalized clips, float32 (B, 3, T, H, W), to logits, (B, classes)."""
        logits: Tensor = self.fc(super().forward(x))
        return logits


class AudioClassifier(AudioResNet):
    """The audio ResNet and a linear classifier ``fc``."""

    def __init__(self, model: AudioModel, *, classes: int) -> None:
        super().__init__(model)
        self.fc = _classifier(self.features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms, float32 (B, 1, mels, frames), to logits, (B, classes)."""
        logits: Tensor = self.fc(super().forward(x))
        return logits


_CLASSES: dict[Modality, tuple[Callable[..., R2Plus1D | AudioResNet], Callable[..., nn.Module]]] = {
    "video": (R2Plus1D, VideoClassifier),
    "audio": (AudioResNet, AudioClassifier),
}
"""The encoder of each modality, and the same with a classifier."""
_FILES: dict[Modality, type[PretrainedVideo | PretrainedAudio]] = {
    "video": PretrainedVideo,
    "audio": PretrainedAudio,
}


def encoder(
    modality: Modality,
    pretraining: Place,
    *,
    num_classes: int | None = None,
    bn_momentum: float | None = None,
    progress: bool = False,
) -> nn.Module:
    """The encoder of a modality, as ``hubconf.py`` describes it.

    Raises:
        UserError: a name, folder or number that does not fit; weights that cannot be had, or do not fit.
    """
    _check(pretraining, num_classes, bn_momentum)
    released = _released(modality)
    plain, classifier = _CLASSES[modality]
    if isinstance(pretraining, str) and pretraining in released and not Path(pretraining).exists():
        release = released[pretraining]
        run, model = None, _with_momentum(release.by_modality[modality].model, bn_momentum)
        built = filled(
            plain(model),
            _FILES[modality](weights=release.name, file=str(fetch(release, progress=progress))),
        )
        pretraining = None
    else:
        run, model = _declared(pretraining, modality, bn_momentum)
        built = plain(model)
    if run is not None:
        load_weights(built, run / f"{modality}.safetensors")
    elif pretraining is not None:
        filled(built, _FILES[modality](weights=str(pretraining)))
    if num_classes is None:
        return built
    return _with_weights(classifier(model, classes=num_classes), built)


def _declared(
    pretraining: Place, modality: Modality, bn_momentum: float | None
) -> tuple[Path | None, VideoModel | AudioModel]:
    """The folder that holds the encoder, None for a bare file or no weights, and its architecture."""
    run = None if pretraining is None else _folder(Path(pretraining), modality)
    if run is None:
        model: VideoModel | AudioModel = VideoModel() if modality == "video" else AudioModel()
    else:
        if is_export(run):
            verified(run)
        metadata = load_encoder_metadata(run)
        if modality not in metadata.encoders:
            raise UserError(
                f"{run} holds no {modality} encoder; it holds {comma_separated(metadata.encoders)}"
            )
        if modality in metadata.sources:
            raise UserError(
                f"{run}: its {modality} encoder is {metadata.sources[modality]}, which is not built from here; "
                f"build it yourself and load {modality}.safetensors, whose names begin with net."
            )
        model = metadata.models.by_modality[modality]
    return run, _with_momentum(model, bn_momentum)


def _with_momentum(model: VideoModel | AudioModel, bn_momentum: float | None) -> VideoModel | AudioModel:
    return model if bn_momentum is None else model.model_copy(update={"bn_momentum": bn_momentum})


def _released(modality: Modality) -> dict[str, Release]:
    """The released weights of this project's own encoder of a modality, by name."""
    found = registry().items()
    return {n: r for n, r in found if (held := r.by_modality.get(modality)) and held.source in OWN}


def _folder(place: Path, modality: Modality) -> Path | None:
    """The run or export that a path means, by itself or by its weights file; None for any other file."""
    if place.is_file():
        named = place.name == f"{modality}.safetensors" and (place.parent / "encoders.json").is_file()
        return place.parent if named else None
    if (place / "encoders.json").is_file():
        return place
    known = _released(modality)
    names = f"one of {comma_separated(known)}, " if known else ""
    raise UserError(
        f"unknown pretraining {str(place)!r}; give {names}a run directory with encoders, an exported folder, a file "
        "of weights, or None"
    )


def _check(pretraining: object, num_classes: object, bn_momentum: object) -> None:
    """Raises UserError: a value is of no use, whatever its place holds."""
    if pretraining is not None and (not isinstance(pretraining, str | Path) or pretraining == ""):
        raise UserError(f"pretraining is {pretraining!r}; give a name, a path, or None for random weights")
    if num_classes is not None and (type(num_classes) is not int or num_classes < 1):
        raise UserError(f"num_classes is {num_classes!r}; give a whole number from 1, or None for features")
    if bn_momentum is not None and not (isinstance(bn_momentum, int | float) and 0 <= bn_momentum <= 1):
        raise UserError(f"bn_momentum is {bn_momentum!r}; give a number from 0 to 1, or None for the usual")


def _classifier(features: int, classes: int) -> nn.Linear:
    linear = nn.Linear(features, classes)
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return linear


def _with_weights(model: nn.Module, built: nn.Module) -> nn.Module:
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{CLASSIFIER}.")}
    model.load_state_dict(built.state_dict() | own)
    return model
