"""Encoders that are not this project's own, torchvision's and the user's, with the face of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Any
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models

import xdcbench
from xdcbench.config.base import Modality
from xdcbench.config.models import AudioInput, AudioModel, Input, VideoInput, VideoModel, Waveform, Window
from xdcbench.data.spectrogram import LogMel
from xdcbench.data.transforms import Normalize
from xdcbench.errors import UserError
from xdcbench.models.front_ends import front_end
from xdcbench.models.mfcc import MFCCStatistics
from xdcbench.models.peers import NETWORKS
from xdcbench.models.pretrained.origins import MFCC, PEERS, TORCHVISION
from xdcbench.models.raw_inputs import blank
from xdcbench.utils.code import Consent, load_code
from xdcbench.utils.messages import unknown_name

Prepare = Callable[[Tensor], Tensor]

DECLARED: dict[Modality, str] = {"video": "a VideoInput", "audio": "an AudioInput or Waveform"}
"""What encoders of others declare, by modality, in words."""

OWN_CODE = Path(xdcbench.__file__).parent
"""Folder of this project's code, in which no error of others' code is at home."""


class ExternalEncoder(nn.Module):
    """A network with the face of this project's encoders.

    Args:
        net: takes prepared clips (B, 3, T, S, S), spectrograms (B, 1, mels, frames) or waveforms (B, samples), gives
            (B, features).
        declared: the clip or window that it takes.
        features: size of its feature.
        classifier: name of the layer of ``net`` that was taken off; its weights are not to be loaded.
        prepare: from raw clips (B, T, S, S, 3) or waveforms (B, samples) to what ``net`` takes, where that is another.
    """

    def __init__(
        self,
        net: nn.Module,
        declared: Input,
        *,
        features: int,
        classifier: str = "",
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__()
        self.net, self.features, self.classifier = net, features, classifier
        self.input: Input = declared
        self.prepare: Prepare = prepare or preparation(declared)

    def forward(self, x: Tensor) -> Tensor:
        """Features, (B, features)."""
        features: Tensor = self.net(x)
        return features


def preparation(declared: Input) -> nn.Module:
    """From raw clips or windows to what an encoder takes that does not say how; waveforms are left as they are."""
    if isinstance(declared, VideoInput):
        return Normalize(declared)
    return LogMel(declared) if isinstance(declared, AudioInput) else nn.Identity()


def build_external(
    source: str, model: VideoModel | AudioModel, consent: Consent, where: str
) -> ExternalEncoder:
    """A peer's network, ``torchvision:NAME`` or ``mfcc`` with the input of ``model``, or the user's ``module:object``.

    Raises:
        UserError: there is no such model, or the user's code may not run or gives no encoder.
    """
    if source in PEERS:
        return peer_encoder(source, model)
    if source == MFCC:
        if isinstance(model, VideoModel):
            raise UserError(f"{source} is no video encoder; give it as an audio encoder")
        statistics = MFCCStatistics(model.log_mel)
        return ExternalEncoder(statistics, model.input, features=statistics.features, prepare=nn.Identity())
    if not source.startswith(TORCHVISION):
        return own_encoder(source, "video" if isinstance(model, VideoModel) else "audio", consent, where)
    if not isinstance(model.input, VideoInput):
        raise UserError(f"{source} is no audio encoder; give an audio encoder as module:object")
    return torchvision_encoder(source.removeprefix(TORCHVISION), model.input)


def peer_encoder(source: str, model: VideoModel | AudioModel) -> ExternalEncoder:
    """A peer's network, untrained, with the input and the front end that ``model`` declares.

    Raises:
        UserError: it is of the other modality, or no waveform and front end are declared for it.
    """
    modality: Modality = "video" if isinstance(model, VideoModel) else "audio"
    if PEERS[source] != modality:
        raise UserError(f"{source} is no {modality} encoder; name it below `{PEERS[source]}`")
    net = NETWORKS[source]()
    if isinstance(model, VideoModel):
        return ExternalEncoder(net, model.input, features=512)
    if not isinstance(model.input, Waveform) or model.front_end is None:
        raise UserError(
            f"{source} needs `input` of kind waveform and a `front_end`. Try: weights of `xdcbench list weights`, "
            "which declare both"
        )
    prepare = front_end(model.front_end, model.input)
    return ExternalEncoder(net, model.input, features=512, prepare=prepare)


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
    offered = torchvision_weights(name, weights)
    try:
        tensors: dict[str, Tensor] = offered.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"cannot fetch {offered.url} ({error}); fetch it elsewhere and give the file as `weights`"
        ) from error
    return tensors


def torchvision_weights(name: str, weights: str) -> Any:
    """What torchvision offers for a model under that name, a ``WeightsEnum``; nothing is downloaded.

    Raises:
        UserError: it offers none of that name.
    """
    offered: Any = get_model_weights(name)
    if weights not in offered.__members__:
        raise UserError(unknown_name(f"weights of torchvision's {name}", weights, offered.__members__))
    return offered[weights]


def own_encoder(source: str, modality: Modality, consent: Consent, where: str) -> ExternalEncoder:
    """The user's ``module:object``, seen to give the features that it declares.

    Raises:
        UserError: as `untried_encoder`; it gives other features.
    """
    encoder = untried_encoder(source, (modality,), consent, where)
    _check_width(encoder, source)
    return encoder


def untried_encoder(
    source: str, modalities: Sequence[Modality], consent: Consent, where: str
) -> ExternalEncoder:
    """What the user's ``module:object`` returns when called without arguments.

    Its own ``prepare``, if it has one, takes the place of `preparation`.

    Raises:
        UserError: the user has not let it run; it fails, or is no torch module that declares its number of features
            and its input, which is of one of ``modalities``.
    """
    try:
        net = load_code(source, consent, where)()
    except UserError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}{_place(error)}"
        raise UserError(f"encoder {source!r} could not be built ({told})") from error
    declared, features = getattr(net, "input", None), getattr(net, "features", None)
    kinds = " or ".join(DECLARED[modality] for modality in modalities)
    found = "video" if isinstance(declared, VideoInput) else "audio" if isinstance(declared, Window) else ""
    if not (isinstance(net, nn.Module) and found in modalities and isinstance(features, int)):
        raise UserError(
            f"encoder {source!r} must be a torch module with `input` ({kinds}) and `features` (its "
            f"number); got a {type(net).__name__} with input {declared!r} and features {features!r}"
        )
    assert isinstance(declared, Input)
    prepare = getattr(net, "prepare", None)
    # A module of the net is taken by its call, so that its weights do not get two names.
    prepare = prepare.__call__ if isinstance(prepare, nn.Module) else prepare
    return ExternalEncoder(net, declared, features=features, prepare=prepare)


def _place(error: Exception) -> str:
    """File and line of the user's code that an error came through last; nothing without one."""
    frames = [(Path(frame.filename), frame.lineno) for frame in extract_tb(error.__traceback__)]
    theirs = [
        (path, line)
        for path, line in frames
        if path.is_file() and "site-packages" not in path.parts and not path.is_relative_to(OWN_CODE)
    ]
    return f", {theirs[-1][0].name} line {theirs[-1][1]}" if theirs else ""


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
    raw = blank(encoder.input, 2)
    encoder.eval()
    try:
        found = encoder(encoder.prepare(raw))
    except Exception as error:
        raise UserError(
            f"encoder {source!r} fails on an input of {tuple(raw.shape)} ({type(error).__name__}: {error})"
        ) from error
    encoder.train()
    check_features(found, len(raw), encoder)


def check_features(found: object, batch: int, encoder: ExternalEncoder) -> None:
    """Refuse what is not one feature of the declared width per input.

    Raises:
        UserError: says what came, and how to make it fit.
    """
    name, wanted = type(encoder.net).__name__, (batch, encoder.features)
    if not isinstance(found, Tensor):
        raise UserError(
            f"encoder {name} gives a {type(found).__name__}, no tensor. Try: return features, (B, {encoder.features})"
        )
    if tuple(found.shape) == wanted:
        return
    told = f"encoder {name} declares {encoder.features} features, but gives {tuple(found.shape)} for {batch} inputs"
    if found.dim() > 2:
        raise UserError(
            f"{told}, a sequence. Try: return its mean over time, `x.mean(dim=1)` of (B, T, features)"
        )
    raise UserError(f"{told}. Try: give every input, also a single one, (B, features) with one `features`")
