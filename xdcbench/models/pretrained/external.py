"""Encoders that are not this project's own, torchvision's and the user's, with the face of its own."""

from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models

from xdcbench.config.models import AudioInput, AudioModel, VideoInput, VideoModel
from xdcbench.data.spectrogram import LogMel
from xdcbench.data.transforms import Normalize
from xdcbench.errors import UserError
from xdcbench.models.mfcc import MFCCStatistics
from xdcbench.models.pretrained.origins import MFCC, TORCHVISION
from xdcbench.utils.code import Consent, load_code
from xdcbench.utils.messages import unknown_name


class ExternalEncoder(nn.Module):
    """A network with the face of this project's encoders.

    Args:
        net: takes prepared clips (B, 3, T, S, S) or spectrograms (B, 1, mels, frames), gives (B, features).
        declared: the clip or window that it takes.
        features: size of its feature.
        classifier: name of the layer of ``net`` that was taken off; its weights are not to be loaded.
        prepare: from raw clips (B, T, S, S, 3) or waveforms (B, samples) to what ``net`` takes, where that is another.
    """

    def __init__(
        self,
        net: nn.Module,
        declared: VideoInput | AudioInput,
        *,
        features: int,
        classifier: str = "",
        prepare: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.net, self.input, self.features, self.classifier = net, declared, features, classifier
        if prepare is None:
            prepare = Normalize(declared) if isinstance(declared, VideoInput) else LogMel(declared)
        self.prepare = prepare

    def forward(self, x: Tensor) -> Tensor:
        """Features, (B, features)."""
        features: Tensor = self.net(x)
        return features


def build_external(
    source: str, model: VideoModel | AudioModel, consent: Consent, where: str
) -> ExternalEncoder:
    """``torchvision:NAME`` or ``mfcc`` with the input that ``model`` declares, or the user's ``module:object``.

    Raises:
        UserError: there is no such model, or the user's code may not run or gives no encoder.
    """
    if source == MFCC:
        if not isinstance(model.input, AudioInput):
            raise UserError(f"{source} is no video encoder; give it as an audio encoder")
        statistics = MFCCStatistics(model.input)
        return ExternalEncoder(statistics, model.input, features=statistics.features, prepare=nn.Identity())
    if not source.startswith(TORCHVISION):
        return own_encoder(source, type(model.input), consent, where)
    if not isinstance(model.input, VideoInput):
        raise UserError(f"{source} is no audio encoder; give an audio encoder as module:object")
    return torchvision_encoder(source.removeprefix(TORCHVISION), model.input)


class PerFrame(nn.Module):
    """An image network, (B, 3, S, S) to (B, features), on a clip: the mean of its features over frames."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Clips (B, 3, T, S, S) to (B, features)."""
        frames = self.net(x.transpose(1, 2).flatten(0, 1))
        features: Tensor = frames.unflatten(0, (x.shape[0], x.shape[2])).mean(dim=1)
        return features


def torchvision_encoder(name: str, declared: VideoInput) -> ExternalEncoder:
    """A model of torchvision, untrained, without its classifier; an image model encodes frame by frame.

    Raises:
        UserError: torchvision has no such classification model.
    """
    videos = list_models(module=torchvision.models.video)
    known = [*videos, *list_models(module=torchvision.models)]
    if name not in known:
        raise UserError(unknown_name("model of torchvision", name, known))
    net = get_model(name, weights=None)
    classifier, width = _behead(net, name)
    if name not in videos:
        net = PerFrame(net)
    return ExternalEncoder(net, declared, features=width, classifier=classifier)


def torchvision_tensors(name: str, weights: str) -> dict[str, Tensor]:
    """Weights that torchvision offers for a model, downloaded once, their hash checked.

    Raises:
        UserError: it offers none of that name, or they cannot be fetched.
    """
    offered: Any = get_model_weights(name)
    if weights not in offered.__members__:
        raise UserError(unknown_name(f"weights of torchvision's {name}", weights, offered.__members__))
    try:
        tensors: dict[str, Tensor] = offered[weights].get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"cannot fetch {offered[weights].url} ({error}); fetch it elsewhere and give the file as `weights`"
        ) from error
    return tensors


def own_encoder(
    source: str, kind: type[VideoInput] | type[AudioInput], consent: Consent, where: str
) -> ExternalEncoder:
    """What the user's ``module:object`` returns when called without arguments.

    Raises:
        UserError: the user has not let it run; it fails, or is no torch module that declares its input and
            its number of features.
    """
    try:
        net = load_code(source, consent, where)()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"encoder {source!r} could not be built ({type(error).__name__}: {error})") from error
    declared, features = getattr(net, "input", None), getattr(net, "features", None)
    if not (isinstance(net, nn.Module) and isinstance(declared, kind) and isinstance(features, int)):
        raise UserError(
            f"encoder {source!r} must be a torch module with `input` (a {kind.__name__}) and `features` (its "
            f"number); got a {type(net).__name__} with input {declared!r} and features {features!r}"
        )
    encoder = ExternalEncoder(net, declared, features=features)
    _check_width(encoder, source)
    return encoder


def _behead(net: nn.Module, name: str) -> tuple[str, int]:
    """Put nothing in the place of the last linear map; its name and the width of what enters it."""
    last = [n for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv3d)][-1:]
    if not last or last[0].split(".")[0] != [n for n, _ in net.named_children()][-1]:
        raise UserError(f"torchvision:{name} does not end in a classifier; wrap it as a module:object")
    head: Any = net.get_submodule(last[0])
    net.set_submodule(last[0], nn.Identity())
    return last[0], head.in_features if isinstance(head, nn.Linear) else head.in_channels


@torch.inference_mode()
def _check_width(encoder: ExternalEncoder, source: str) -> None:
    raw = torch.zeros(2, *encoder.input.shape)
    encoder.eval()
    try:
        shape = tuple(encoder(raw).shape)
    except Exception as error:
        raise UserError(
            f"encoder {source!r} fails on an input of {tuple(raw.shape)} ({type(error).__name__}: {error})"
        ) from error
    encoder.train()
    if shape != (2, encoder.features):
        raise UserError(
            f"encoder {source!r} declares {encoder.features} features, but gives {shape} for two inputs"
        )
