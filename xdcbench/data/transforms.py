"""What becomes of decoded boxes on the device: clips of one size, mirrored where drawn so, normalized."""

import mmap
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from xdcbench.config.models import VideoInput
from xdcbench.data.clip_dataset import CropBoxes


def square_crops(boxes: CropBoxes, size: int) -> Tensor:
    """Resize every box to ``size`` (antialiased) and mirror it where its spec says so.

    All frames of a clip are treated alike. Boxes of that size already, as test clips are, pass unchanged.

    Returns:
        uint8 (B, frames, size, size, 3).
    """
    if set(boxes.sides) == {size} and not any(boxes.flips):
        return boxes.pixels.view(-1, boxes.frames, size, size, 3)
    if boxes.pixels.is_cuda:
        return _square_crops_on_gpu(boxes, size)
    clips = boxes.pixels.new_empty(len(boxes.sides), boxes.frames, size, size, 3)
    for clip, box, flip in zip(clips, boxes.split(), boxes.flips, strict=True):
        image = box.permute(0, 3, 1, 2)
        if box.shape[1] != size:
            image = functional.resize(image, [size, size], antialias=True)
        if flip:
            image = functional.horizontal_flip(image)
        clip.copy_(image.permute(0, 2, 3, 1))
    return clips


def _square_crops_on_gpu(boxes: CropBoxes, size: int) -> Tensor:
    """As ``square_crops``, with one kernel for each clip: launching them is what takes the time.

    On a GPU torchvision, too, resizes floats and rounds them.
    """
    clips = torch.empty(
        len(boxes.sides), boxes.frames, 3, size, size, dtype=torch.float32, device=boxes.pixels.device
    )
    floats = replace(boxes, pixels=boxes.pixels.float())
    for clip, box in zip(clips, floats.split(), strict=True):
        frames = box.permute(0, 3, 1, 2)
        torch.ops.aten._upsample_bilinear2d_aa.out(frames, [size, size], False, None, None, out=clip)
    found = clips.round_().clamp_(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2)
    flips = torch.tensor(boxes.flips).to(found.device, non_blocking=True)
    return torch.where(flips[:, None, None, None, None], found.flip(3), found)


def normalize(clips: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``clips * scale + shift`` for each color of clips, uint8 (B, T, H, W, 3), with 3 values of float32 each.

    Returns:
        float32 (B, 3, T, H, W), laid out in memory as ``channels_last_3d``.
    """
    # Colors repeated along a whole row of the frame leave no short inner loop.
    scale, shift = (values.flatten().repeat(clips.shape[3]) for values in (scale, shift))
    rows = _floats(clips).flatten(-2).copy_(clips.flatten(-2))
    return torch.addcmul(shift, rows, scale, out=rows).view(clips.shape).permute(0, 4, 1, 2, 3)


def _floats(like: Tensor) -> Tensor:
    """Float32 of the shape and device of ``like``, uninitialized.

    The C library takes what exceeds 32 MB, a batch of 32 clips, from the kernel anew each time, and in pages of
    4 KB that costs three times as long as all that is then computed. Huge pages cost next to nothing.
    """
    if like.is_cuda or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty_like(like, dtype=torch.float32, memory_format=torch.contiguous_format)
    memory = mmap.mmap(-1, 4 * like.numel(), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float32).view(like.shape)


class Normalize(nn.Module):
    """RGB clips, uint8 (B, T, S, S, 3), to float32 (B, 3, T, S, S) by the declared mean and deviation."""

    scale: Tensor
    shift: Tensor

    def __init__(self, declared: VideoInput) -> None:
        super().__init__()
        mean, std = torch.tensor(declared.mean), torch.tensor(declared.std)
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """The same clips, normalized.

        Raises:
            TypeError: the clips are not uint8, so their range is unknown.
        """
        if clips.dtype != torch.uint8:
            raise TypeError(f"clips must be uint8, not {clips.dtype}")
        return normalize(clips, self.scale, self.shift)
