"""Device, precision, seeds and threads: everything of torch that is set once per process."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
import torch

from xdcbench.errors import UserError
from xdcbench.utils.distributed import world_size
from xdcbench.utils.precision import Precision


def pick_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is CUDA where there is one, else the CPU.

    Of several processes on one machine, each takes the CUDA device of its local number.

    Raises:
        UserError: CUDA is asked for and there is none, or the name is no device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and world_size() > 1 and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name!r} is no device; give auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name!r} is not supported; give auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: no CUDA device is visible to torch here; use --device cpu")
    return device


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bf16 matrices itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """``auto`` as what this device will use; the result is part of a run's key.

    bf16 where the hardware multiplies it, else fp16 on a GPU (its gradients are scaled), else fp32.
    """
    if precision != "auto":
        return precision
    if has_bf16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context in which a model's forward pass runs at ``precision``."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision in ("bf16", "fp16"))


@contextmanager
def cudnn_benchmark(enabled: bool) -> Iterator[None]:
    """Within, cuDNN tries its algorithms at each new shape of a convolution and keeps the fastest, if ``enabled``.

    That takes seconds for an encoder, so it pays for shapes that come again and again.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = enabled
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random values on the CPU from ``seed`` alone; the global random state is kept."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the accelerators too, which this fork does not restore.
        torch.default_generator.manual_seed(seed)
        yield


class Stream(IntEnum):
    """Random streams of one seed; uses that must not repeat each other's values have streams of their own."""

    EPOCH = 1
    KMEANS = 2
    RANDOM_CLIPS = 3
    PRETRAINING_HEADS = 4
    VALIDATION_ITEMS = 5
    FINETUNING_HEAD = 6
    PAGE_SAMPLE = 7
    PROBE_EPOCH = 8
    FRAME_ORDER = 9
    PAGE_CHANCE = 10
    CLUSTER_CHANCE = 11


class UniformRows:
    """Rows of values that are uniform in [0, 1), as ``rng.random((count, width))`` draws them, in little memory.

    ``rng`` is left as that leaves it. Blocks of rows are drawn again when they are asked for.
    """

    BLOCK = 4096

    def __init__(self, rng: np.random.Generator, count: int, width: int) -> None:
        self.state: Any = rng.bit_generator.state
        self.count, self.width = count, width
        self.block: np.ndarray = rng.random((min(count, self.BLOCK), width))
        self.first = 0
        rng.bit_generator.advance(max(0, count - self.BLOCK) * width)  # type: ignore[attr-defined]

    def __getitem__(self, at: int) -> np.ndarray:
        """Float64 (width,) of a row."""
        if not self.first <= at < self.first + len(self.block):
            self.first = at // self.BLOCK * self.BLOCK
            bits = np.random.PCG64()
            bits.state = self.state
            bits.advance(self.first * self.width)
            rows = min(self.BLOCK, self.count - self.first)
            self.block = np.random.Generator(bits).random((rows, self.width))
        row: np.ndarray = self.block[at - self.first]
        return row


def numpy_generator(*parts: int) -> np.random.Generator:
    """A random generator that depends on ``parts`` alone, such as seed, epoch and a `Stream`."""
    return np.random.default_rng(list(parts))
