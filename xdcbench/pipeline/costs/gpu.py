"""Speed of one GPU: training steps, encoding and k-means, beside torchvision's reference and the card's peak.

All functions take any device, so that unit tests run them on the CPU at tiny sizes. Clips are on the device already:
``pipeline.costs.loading`` measures training that reads its clips.

- own: this project's encoder, head and optimizer, placed and run as a round does it.
- reference: torchvision's reference training of video classifiers (references/video_classification): fp32, or its
  AMP, which is fp16 autocast with a scaled loss; contiguous clips, cuDNN's benchmark mode, and the loss and accuracy
  read after each step.
"""

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.functional import cross_entropy
from torchvision.models.video import r2plus1d_18

from xdcbench.clustering.kmeans import KMeans
from xdcbench.config.models import VideoInput, VideoModel
from xdcbench.config.pretraining import Schedule
from xdcbench.models.encoders import to_device
from xdcbench.models.heads import Heads
from xdcbench.models.weights import build_encoder
from xdcbench.pipeline.costs.flops import forward_flop, training_flop
from xdcbench.training import sgd
from xdcbench.utils.runtime import autocast, cudnn_benchmark, resolve_precision

CLASSES = 400
"""Of Kinetics-400, which the reference trains on."""

WARM_UP = 3
"""Calls that are not timed: the first ones allocate memory, choose kernels and compile."""

ROUNDS = 3
"""Series of calls, of which the fastest counts."""

Work = Callable[[], object]


@dataclass(frozen=True)
class Speed:
    """Speed of one kind of step at one shape.

    Attributes:
        clips_per_second: None where the device's memory was too small.
        peak_share: FLOP/s of the convolutions as a share of the bf16 matrix peak.
        memory_gb: most memory that tensors took on the GPU, GB; 0 on a CPU.
        warm_up_seconds: of the first calls, in which kernels are chosen and compiled.
    """

    what: str
    frames: int
    batch: int
    clips_per_second: float | None
    peak_share: float = 0.0
    memory_gb: float = 0.0
    warm_up_seconds: float = 0.0


@dataclass(frozen=True)
class KMeansSpeed:
    """Speed of k-means.

    Attributes:
        seconds: for ten updates and the last assignment.
        matmul_share: time of the fp32 products of all points and centroids alone, as a share of ``seconds``.
    """

    points: int
    features: int
    k: int
    seconds: float
    matmul_share: float


def random_clips(model: VideoModel, batch: int, device: torch.device) -> torch.Tensor:
    """What ``model`` declares, prepared: float32 (batch, 3, frames, size, size)."""
    return torch.randn(batch, *model.input.shape, device=device)


def own_step(model: VideoModel, batch: int, device: torch.device, *, compiled: bool = False) -> Work:
    """Forward, backward and optimizer step of the project's encoder and head, at the device's best precision."""
    encoder = to_device(build_encoder(model, seed=0), device)
    heads = Heads(encoder.features, {"a": CLASSES}).to(device)
    if compiled:
        for module in (encoder, heads):
            module.compile()
    optimizer = sgd([(encoder, 0.01), (heads, 0.01)], Schedule())
    x = random_clips(model, batch, device).to(memory_format=torch.channels_last_3d)
    target = torch.randint(CLASSES, (batch,), device=device)
    precision = resolve_precision("auto", device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(precision, device):
            scores = heads(encoder(x))["a"]
        cross_entropy(scores.float(), target).backward()
        optimizer.step()

    return step


def reference_step(
    model: VideoModel, batch: int, device: torch.device, *, amp: bool, net: nn.Module | None = None
) -> Work:
    """A step of torchvision's reference training, of ``r2plus1d_18`` or, in tests, of the classifier ``net``."""
    net = (net or r2plus1d_18(num_classes=CLASSES)).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    scaler = GradScaler(device.type, enabled=amp)
    x, target = random_clips(model, batch, device), torch.randint(CLASSES, (batch,), device=device)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.float16) if amp else nullcontext():
            output = net(x)
            loss = cross_entropy(output, target)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()
        (output.argmax(1) == target).float().mean().item()

    return step


STEPS: dict[str, Callable[[VideoModel, int, torch.device], Work]] = {
    "own": own_step,
    "own, compiled": partial(own_step, compiled=True),
    "reference, AMP": partial(reference_step, amp=True),
    "reference": partial(reference_step, amp=False),
}
"""What takes a training step on clips of the length and size that a model declares."""


def encoding_step(model: VideoModel, batch: int, device: torch.device) -> Work:
    """A forward pass in eval mode, as extraction of features takes it."""
    encoder = to_device(build_encoder(model, seed=0), device).eval()
    x = random_clips(model, batch, device).to(memory_format=torch.channels_last_3d)
    precision = resolve_precision("auto", device)

    def step() -> None:
        with torch.inference_mode(), autocast(precision, device):
            encoder(x)

    return step


@dataclass(frozen=True)
class SpeedTest:
    """Measures steps on one device.

    Attributes:
        device: where they run.
        peak: FLOP/s of the device's matrix product.
        seconds: to spend on timed calls of each step.
    """

    device: torch.device
    peak: float
    seconds: float

    def training(self, what: str, model: VideoModel, batch: int) -> Speed:
        """Speed of one of ``STEPS``."""
        with cudnn_benchmark(True):  # as both sides train
            make = partial(STEPS[what], model, batch, self.device)
            return self.speed(what, model, batch, make, training_flop(model))

    def encoding(self, model: VideoModel, batch: int) -> Speed:
        """Speed of ``encoding_step``."""
        make = partial(encoding_step, model, batch, self.device)
        return self.speed("encoding", model, batch, make, forward_flop(model))

    def speed(self, what: str, model: VideoModel, batch: int, make: Callable[[], Work], flop: int) -> Speed:
        """Speed of the step that ``make`` builds on the device.

        Args:
            model: declares the clips.
            flop: of one clip's convolutions.
        """
        device = self.device
        free(device)
        begun = time.perf_counter()
        try:
            work = make()
            for _ in range(WARM_UP):
                work()
            wait(device)
            warm_up = time.perf_counter() - begun
            taken = seconds_per_call(work, device, seconds=self.seconds)
        except torch.OutOfMemoryError:
            return Speed(what, model.input.frames, batch, None)
        return Speed(
            what,
            model.input.frames,
            batch,
            clips_per_second=batch / taken,
            peak_share=flop / self.peak * batch / taken,
            memory_gb=torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0,
            warm_up_seconds=warm_up,
        )


def seconds_per_call(work: Work, device: torch.device, *, seconds: float) -> float:
    """Least mean time of a call over series of calls, none of which waits for the one before.

    Args:
        work: is called; it is warm.
        seconds: to spend, about.
    """
    once = timed(work, device, calls=1)
    calls = max(1, min(1000, int(seconds / ROUNDS / once)))
    return min(timed(work, device, calls=calls) for _ in range(ROUNDS)) / calls


def timed(work: Work, device: torch.device, *, calls: int) -> float:
    """Seconds until the device has done all of ``calls`` calls."""
    wait(device)
    begun = time.perf_counter()
    for _ in range(calls):
        work()
    wait(device)
    return time.perf_counter() - begun


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free(device: torch.device) -> None:
    """Drop what earlier measurements left: memory, and compiled code, which would be compiled anew for any shape."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def matmul_peak(n: int, device: torch.device, *, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """FLOP/s of a product of two random (n, n) matrices."""
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    timed(lambda: a @ b, device, calls=WARM_UP)
    return 2 * n**3 / seconds_per_call(lambda: a @ b, device, seconds=seconds)


def kmeans_speed(n: int, features: int, k: int, device: torch.device) -> KMeansSpeed:
    """Time k-means of random points from given centroids."""
    points = torch.randn(n, features, device=device)
    init = points[:k].clone()
    block = points[: 1 << 16]
    timed(lambda: block @ init.T, device, calls=WARM_UP)
    product = seconds_per_call(lambda: block @ init.T, device, seconds=0.5) / len(block)
    taken = []
    for _ in range(2):  # the first call loads kernels
        begun = time.perf_counter()
        found = KMeans(k=k, seed=0, max_iter=10).fit(points, init=init)
        wait(device)
        taken.append(time.perf_counter() - begun)
    passes = found.iterations + 1  # the last one assigns points to the last centroids
    return KMeansSpeed(n, features, k, min(taken), passes * n * product / min(taken))


def clip_model(frames: int, size: int = 112) -> VideoModel:
    """The paper's video encoder on clips of ``frames`` frames."""
    return VideoModel(input=VideoInput(frames=frames, size=size))
