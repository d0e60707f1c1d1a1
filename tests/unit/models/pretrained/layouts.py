"""Files of peers' released weights as their authors' code writes them: names, shapes, nesting and what lies beside.

No real file was at hand. Shapes follow the published classes; they are written here once more, apart from the package.
"""

import argparse
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock as FlatBlock
from torchvision.models.resnet import ResNet
from torchvision.models.video import r2plus1d_18
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

State = dict[str, Tensor]
Fill = Callable[[Mapping[str, Any]], State]
"""Tensors of some shapes: of one value, or random."""


def saved(content: object) -> bytes:
    """A torch file's bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def one_value(shapes: Mapping[str, Any]) -> State:
    """Tensors that take next to no room in a file."""
    return {name: torch.zeros(()).expand(tuple(shape)) for name, shape in shapes.items()}


def zipped(content: bytes, name: str) -> bytes:
    """A zip archive with one packed file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def shapes_of(net: nn.Module) -> dict[str, Any]:
    return {name: tensor.shape for name, tensor in net.state_dict().items()}


def r2plus1d_34(classes: int) -> VideoResNet:
    """torchvision's classes, with midplanes of its own for the second convolution of three blocks, eps 1e-3."""
    net = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [3, 4, 6, 3], R2Plus1dStem, num_classes=classes)
    for stage, width, middle in ((net.layer2, 128, 288), (net.layer3, 256, 576), (net.layer4, 512, 1152)):
        stage[0].conv2[0] = Conv2Plus1D(width, width, middle)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3
    return net


def tclr_net() -> VideoResNet:
    """torchvision's R(2+1)D-18 with TCLR's two changes, as SEVERE's code makes them."""
    net = r2plus1d_18(weights=None)
    opening: Any = net.layer4[0]
    opening.conv1[0] = nn.Conv3d(256, 512, 3, (1, 2, 2), (2, 1, 1), dilation=(2, 1, 1), bias=False)
    opening.downsample[0] = nn.Conv3d(256, 512, 1, (1, 2, 2), bias=False)
    return net


def resnet9() -> ResNet:
    """torchvision's ResNet with one block per stage, one channel and no classifier."""
    net = ResNet(FlatBlock, [1, 1, 1, 1])
    net.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    net.fc = nn.Identity()  # type: ignore[assignment]
    return net


def norm_shapes(name: str, width: int) -> dict[str, Any]:
    parts = {part: (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.{part}": shape for part, shape in (parts | {"num_batches_tracked": ()}).items()}


def avid_video_shapes() -> dict[str, Any]:
    """R(2+1)D-18 with a 3x7x7 stem and no midplanes."""
    found: dict[str, Any] = {"conv1.0.weight": (64, 3, 3, 7, 7), **norm_shapes("conv1.1", 64)}
    before = 64
    for number, width in zip((2, 3, 4, 5), (64, 128, 256, 512), strict=True):
        for block in (0, 1):
            name, entering = f"conv{number}x.{block}", before if block == 0 else width
            found |= {
                f"{name}.spt_conv1.weight": (width, entering, 1, 3, 3),
                f"{name}.tmp_conv1.weight": (width, width, 3, 1, 1),
                f"{name}.spt_conv2.weight": (width, width, 1, 3, 3),
                f"{name}.tmp_conv2.weight": (width, width, 3, 1, 1),
            }
            for norm in ("spt_bn1", "tmp_bn1", "spt_bn2", "out_bn"):
                found |= norm_shapes(f"{name}.{norm}", width)
            if entering != width:
                found[f"{name}.res_conv.weight"] = (width, entering, 1, 1, 1)
        before = width
    return found


def avid_audio_shapes() -> dict[str, Any]:
    """Nine convolutions: one of 7x7, and four blocks of two of 3x3."""
    found: dict[str, Any] = {"conv1.0.weight": (64, 1, 7, 7), **norm_shapes("conv1.1", 64)}
    before = 64
    for number, width in zip((1, 2, 3, 4), (64, 128, 256, 512), strict=True):
        for conv, entering in ((1, before), (2, width)):
            found[f"block{number}.conv{conv}.weight"] = (width, entering, 3, 3)
            found |= norm_shapes(f"block{number}.bn{conv}", width)
        before = width
    return found


def crisscross_audio_shapes() -> dict[str, Any]:
    """ResNet-18 of one channel: `conv1` holds the stem, `block1` to `block4` two basic blocks each."""
    found: dict[str, Any] = {"conv1.0.weight": (64, 1, 7, 7), **norm_shapes("conv1.1", 64)}
    before = 64
    for number, width in zip((1, 2, 3, 4), (64, 128, 256, 512), strict=True):
        for block, entering in ((0, before), (1, width)):
            name = f"block{number}.{block}"
            found |= {
                f"{name}.conv1.weight": (width, entering, 3, 3),
                f"{name}.conv2.weight": (width, width, 3, 3),
            }
            found |= norm_shapes(f"{name}.bn1", width) | norm_shapes(f"{name}.bn2", width)
            if entering != width:
                found[f"{name}.downsample.0.weight"] = (width, entering, 1, 1)
                found |= norm_shapes(f"{name}.downsample.1", width)
        before = width
    return found


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def ctp_name(name: str) -> str:
    """CtP's name of a tensor of torchvision's R(2+1)D: parts of a factorized convolution have names."""
    parts = name.split(".")
    named = {"0": "conv_s", "1": "bn_s", "3": "conv_t", "4": "bn_t"}
    if parts[0] == "stem":
        return ".".join(["stem", named[parts[1]], *parts[2:]])
    if parts[2] == "downsample":
        return ".".join([*parts[:2], {"0": "downsample.conv", "1": "downsample_bn"}[parts[3]], *parts[4:]])
    conv, inner = parts[2], parts[3]
    if inner == "1":
        return ".".join([*parts[:2], f"bn{conv[-1]}", *parts[4:]])
    return ".".join([*parts[:3], named[parts[4]], *parts[5:]])


def numbered(name: str) -> str:
    """The stem as 0 and the stages as 1 to 4, as a sequence of modules names them."""
    stage, _, rest = name.partition(".")
    return f"{'0' if stage == 'stem' else stage.removeprefix('layer')}.{rest}"


def content_of(name: str, fill: Fill) -> object:
    """What the file of a release of ``baselines/released`` holds, by the release's name."""
    with torch.device("meta"):
        plain = shapes_of(r2plus1d_18(num_classes=400))
        deep = {n: shapes_of(r2plus1d_34(n)) for n in (359, 400, 487)} if "_34_" in name else {}
        flat = shapes_of(resnet9())
    bare = {n: shape for n, shape in plain.items() if not n.startswith("fc.")}
    if name.startswith("r2plus1d_34"):
        return fill(deep[400 if name.endswith("kinetics") else 487 if "clip32" in name else 359])
    if name.startswith(("torchvision", "severe_supervised")):
        return fill(plain)
    if name.startswith(("gdt", "severe_gdt")):
        heads = fill({"mlp_v.block_forward.2.weight": (512, 512), "mlp_a.block_forward.8.weight": (256, 512)})
        both = under("video_network.base.", fill(bare)) | under("audio_network.base.", fill(flat)) | heads
        settings = argparse.Namespace(lr=0.01, mlptype=0, milestones=[20, 30])
        return {"model": both, "optimizer": {"state": {}}, "epoch": 200, "args": settings}
    if name.startswith(("selavi", "severe_selavi")):
        both = under("module.video_network.base.", fill(bare))
        both |= under("module.audio_network.base.", fill(flat))
        both |= under("module.", fill({"mlp_v0.block_forward.2.weight": (512, 512)}))
        return {"model": both, "epoch": 200, "selflabels": torch.zeros(4, 10, dtype=torch.long)}
    if name.startswith("avid"):
        both = under("module.video_model.", fill(avid_video_shapes()))
        both |= under("module.audio_model.", fill(avid_audio_shapes()))
        both |= under("module.video_proj.", fill({"projection.0.weight": (512, 512)}))
        return {"epoch": 20, "model": both, "train_criterion": {"view1_mem": torch.zeros(8, 128)}}
    if name.startswith("vid_crisscross"):
        return fill(avid_video_shapes())
    if name.startswith("aud_crisscross"):
        return fill(crisscross_audio_shapes())
    return _severe(name, bare, fill)


def _severe(name: str, bare: dict[str, Any], fill: Fill) -> object:
    video, head = fill(bare), fill({"fc.weight": (128, 512), "fc.bias": (128,)})
    if name == "severe_avid_cma":
        return {
            "model": under("module.video_model.", video) | under("module.audio_model.", head),
            "epoch": 20,
        }
    if name in ("severe_moco", "severe_videomoco"):
        both = under("module.encoder_q.", video | head) | under("module.encoder_k.", video)
        return {"state_dict": both | {"module.queue": torch.zeros(128, 4)}, "epoch": 200}
    if name == "severe_pcl":
        return {f"module.base_network.{numbered(n)}": t for n, t in video.items()} | under("module.", head)
    if name == "severe_rspnet":
        both = {f"encoder_q.encoder.base_network.{numbered(n)}": t for n, t in video.items()}
        return {"model": both | under("encoder_q.", head) | {"encoder_k.x": torch.zeros(1)}}
    if name == "severe_tclr":
        dilated = tclr_net().state_dict()
        kept = fill({n: t.shape for n, t in dilated.items() if not n.startswith("fc.")})
        return {"state_dict": under("module.0.", kept) | under("module.1.", head), "epoch": 400}
    assert name == "severe_ctp"
    return {"state_dict": {f"backbone.{ctp_name(n)}": t for n, t in video.items()} | under("head.", head)}


def file_of(name: str, file: str, fill: Fill) -> bytes:
    """The bytes of the file of a release, zipped where its name says so."""
    content = saved(content_of(name, fill))
    return zipped(content, file.removesuffix(".zip")) if file.endswith(".zip") else content


class Payload:
    """An object whose unpickling would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)
