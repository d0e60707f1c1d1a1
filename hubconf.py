"""Entries for torch.hub. Where this folder lies is enough; xdcbench need not be installed."""

from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from torch import nn as _nn

dependencies = [
    "PIL",
    "av",
    "numpy",
    "omegaconf",
    "pandas",
    "pydantic",
    "pydantic_core",
    "safetensors",
    "torch",
    "torchaudio",
    "torchvision",
    "typing_extensions",
    "yaml",
]


def xdc_video_encoder(
    pretraining: "str | _Path | None" = "r2plus1d_18_xdc_ig65m_kinetics",
    progress: bool = False,
    *,
    num_classes: int | None = 400,
    bn_momentum: float | None = None,
) -> "_nn.Module":
    """R(2+1)D-18 video encoder of XDC (NeurIPS 2020, https://arxiv.org/abs/1911.12667).

    All weights but those of the classifier `fc` are loaded; `fc` is new and random.

        model = torch.hub.load(FOLDER, "xdc_video_encoder", source="local", num_classes=101)
        logits = model(clips)                   # float32 (B, 3, T, 112, 112), normalized
        logits = model(model.prepare(frames))   # uint8 RGB (B, T, 112, 112, 3)

    The released encoders were trained on RGB in [0, 1] less the mean (0.43216, 0.394666, 0.37645), over the
    standard deviation (0.22803, 0.22145, 0.216989), at 30 frames per second, 8 or 32 of them.

    Args:
        pretraining: what to load. One of
            r2plus1d_18_xdc_ig65m_kinetics: XDC pretrained on IG-Kinetics (default)
            r2plus1d_18_xdc_ig65m_random: XDC pretrained on IG-Random
            r2plus1d_18_xdc_audioset: XDC pretrained on AudioSet
            r2plus1d_18_fs_kinetics: fully supervised on Kinetics
            r2plus1d_18_fs_imagenet: fully supervised on ImageNet
            r2plus1d_34_clip8_ig65m, r2plus1d_34_clip32_ig65m, and either with _kinetics: R(2+1)D-34 on IG-65M
            or a folder that `xdcbench export` wrote, a run directory of xdcbench that holds encoders, a file of
            weights (safetensors, or a torch file of tensors alone), or None: random weights.
        progress: whether a download shows a progress bar, on a terminal.
        num_classes: size of `fc`; None: no classifier, the model gives features (B, 512).
        bn_momentum: weight of the new batch in BatchNorm's statistics; None: 0.1, which is what Caffe2 did, or
            what the run was trained with. 0.9 is the original code to the letter.

    Returns:
        A torch.nn.Module in training mode, as torch.hub's models are; `prepare` normalizes raw clips.

    Raises:
        xdcbench.errors.UserError: an unknown name, a file that was changed, weights that do not fit.
    """
    from xdcbench.export.hub import encoder

    return encoder("video", pretraining, num_classes=num_classes, bn_momentum=bn_momentum, progress=progress)


def xdc_audio_encoder(
    pretraining: "str | _Path | None" = None,
    *,
    num_classes: int | None = None,
    bn_momentum: float | None = None,
) -> "_nn.Module":
    """ResNet-18 audio encoder on log-mel spectrograms, as xdcbench trains it; XDC's own was never released.

        model = torch.hub.load(FOLDER, "xdc_audio_encoder", source="local", pretraining=EXPORT)
        features = model(model.prepare(audio))   # float32 (B, 32000): 2 s, mono, 16 kHz, full scale 1

    Args:
        pretraining: a folder that `xdcbench export` wrote, a run directory of xdcbench that holds encoders, a file
            of weights (safetensors, or a torch file of tensors alone), or None: random weights.
        num_classes: size of a new classifier `fc`; None: the model gives features (B, 512).
        bn_momentum: weight of the new batch in BatchNorm's statistics; None: 0.1, or what the run was trained with.

    Returns:
        A torch.nn.Module in training mode; it takes spectrograms, float32 (B, 1, 40, 100), which `prepare` makes.

    Raises:
        xdcbench.errors.UserError: a file that was changed, weights that do not fit.
    """
    from xdcbench.export.hub import encoder

    return encoder("audio", pretraining, num_classes=num_classes, bn_momentum=bn_momentum)
