"""How fast this machine reads, encodes, trains and clusters: measured once, kept in the results folder."""

import hashlib
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Self

from pydantic import model_validator

from xdcbench.config.base import Config
from xdcbench.config.data import ShardSettings, World
from xdcbench.config.models import AudioModel, Models, VideoInput, VideoModel, Window
from xdcbench.pipeline.costs.flops import forward_flop, training_flop
from xdcbench.utils.cores import available_cores
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.format import short
from xdcbench.utils.precision import Precision

FILE = World(classes=2, size=256, fps=30, seconds=10, kinetics_train=1)
"""What is read: ten seconds of 256 x 256 H.264 at 30 frames/s with the encoder's own keyframes, and AAC."""

POINTS, FEATURES, K, UPDATES = 20_000, 512, 128, 3
"""What is clustered."""


RATES = (
    "read video",
    "read audio",
    "read prepared video",
    "read prepared audio",
    "prepare",
    "encode video",
    "encode audio",
    "train video",
    "train audio",
    "cluster",
)
"""What is measured, by the names that ``Work`` uses."""


class Rates(Config):
    """Speed of one machine.

    ``per_second`` holds, per process, the clips that are read in a second, from originals and from prepared shards, and
    the videos of ten seconds that are prepared; and FLOP/s of ``encode`` and ``train`` for each modality and of
    ``cluster``. It has all of `RATES`.
    """

    machine: str
    precision: Precision
    models: Models
    per_second: dict[str, float]

    @model_validator(mode="after")
    def _all_are_there(self) -> Self:
        if lacking := set(RATES) - self.per_second.keys():
            raise ValueError(f"no rate of {min(lacking)}: measured by another version")
        return self


def machine(device: str) -> str:
    """What rates hold for, in words: processor, cores, and the GPU's name. No name of a host."""
    words = f"{platform.machine()}, {available_cores()} cores, {device.partition(':')[0]}"
    if device.startswith("cuda"):
        import torch

        words += f" ({torch.cuda.get_device_name(device)})"
    return words


def load_rates(cache: Path, device: str, precision: Precision, models: Models) -> Rates | None:
    """Rates of this machine at ``precision``: measured with ``models``, else with the paper's; None without any."""
    for known in (models, Models()):
        path = _path(cache, machine(device), precision, known)
        rates: Rates | None = read_cache(path, Rates)
        if rates is not None:
            return rates
    return None


def save_rates(cache: Path, rates: Rates) -> Path:
    """Keep rates for later estimates; returns the file."""
    path = _path(cache, rates.machine, rates.precision, rates.models)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, rates.model_dump(mode="json"))
    return path


def _path(cache: Path, where: str, precision: Precision, models: Models) -> Path:
    mark = hashlib.sha256(f"{where} {precision} {models.model_dump_json()}".encode()).hexdigest()
    return cache / f"rates-{mark[:16]}.json"


def speed_lines(
    device: str, out: Path, *, precision: Precision = "auto", models: Models | None = None
) -> Iterator[str]:
    """Measure this machine, keep the rates in the results folder ``out``, and say them.

    Raises:
        UserError: there is no such device.
    """
    from xdcbench.utils.runtime import pick_device, resolve_precision

    on = pick_device(device)
    rates = measure_rates(str(on), resolve_precision(precision, on), models=models)
    yield f"speed        {rates.machine}, {rates.precision}"
    for what, rate in rates.per_second.items():
        unit = {"read": "clips/s per process", "prep": "videos of 10 s per second and process"}.get(what[:4])
        yield f"  {what:<19} " + (f"{short(rate)} {unit}" if unit else short(rate, "FLOP/s"))
    yield f"kept in {save_rates(out / 'cache', rates)}"


def measure_rates(
    device: str, precision: Precision, *, models: Models | None = None, seconds: float = 1.5
) -> Rates:
    """Time this code on this machine, alone; in under 30 s with the paper's models and two free cores.

    Args:
        models: encoders to time; the paper's by default.
        seconds: least time to spend on each of ten rates, after a first call that is not counted.
    """
    models = models or Models()
    per_second = _reading(models, seconds)
    for modality, model in (("video", models.video), ("audio", models.audio)):
        for do, flop in (("encode", forward_flop(model)), ("train", training_flop(model))):
            clips = _passes(model, device, precision, seconds, train=do == "train")
            per_second[f"{do} {modality}"] = clips * flop
    per_second["cluster"] = _clustering(seconds)
    return Rates(machine=machine(device), precision=precision, models=models, per_second=per_second)


def _reading(models: Models, seconds: float) -> dict[str, float]:
    """Clips and windows per second, at random starts in the file and in its members of shards; files prepared."""
    from xdcbench.data.preparation.transcode import transcode
    from xdcbench.data.synthetic.layouts import files

    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(next(files(FILE)).make())
        prepare = partial(transcode, path, "video", ShardSettings(), Path(folder) / "prepared")
        members = prepare().members
        return {
            "read video": _clips(path, models.video.input, seconds),
            "read audio": _windows(path, models.audio.input, seconds),
            "read prepared video": _clips(members["video"], models.video.input, seconds),
            "read prepared audio": _windows(members["audio"], models.audio.input, seconds),
            "prepare": _per_second(prepare, seconds),
        }


def _clips(path: Path, video: VideoInput, seconds: float) -> float:
    from xdcbench.data.media import read_clip

    starts, side = partial(Random(0).uniform, 0, FILE.seconds - video.seconds), video.short_side[1]
    return _per_second(
        lambda: read_clip(path, start=starts(), frames=video.frames, fps=video.fps, short_side=side), seconds
    )


def _windows(path: Path, audio: Window, seconds: float) -> float:
    from xdcbench.data.media import read_audio

    starts, rate = partial(Random(0).uniform, 0, FILE.seconds - audio.seconds), audio.sample_rate
    return _per_second(
        lambda: read_audio(path, start=starts(), seconds=audio.seconds, sample_rate=rate), seconds
    )


def _passes(
    model: VideoModel | AudioModel, device: str, precision: Precision, seconds: float, *, train: bool
) -> float:
    """Clips per second that are encoded, or trained on by SGD, data already there."""
    import torch

    from xdcbench.config.pretraining import Schedule
    from xdcbench.models.encoders import to_device
    from xdcbench.models.weights import build_encoder
    from xdcbench.training import sgd
    from xdcbench.utils.runtime import autocast

    on = torch.device(device)
    batch = 4 if on.type == "cpu" else 32
    encoder = to_device(build_encoder(model, seed=0), on).train(train)
    if isinstance(model, VideoModel):
        spec = model.input
        raw = torch.zeros(batch, spec.frames, spec.size, spec.size, 3, dtype=torch.uint8, device=on)
    else:
        raw = torch.zeros(batch, model.input.samples, device=on)
    optimizer = sgd([(encoder, 1e-6)], Schedule())

    def step() -> None:
        with torch.set_grad_enabled(train), autocast(precision, on):
            found = encoder(encoder.prepare(raw)).float().square().mean()
        if train:
            optimizer.zero_grad(set_to_none=True)
            found.backward()
            optimizer.step()
        found.item()  # waits for the device

    return batch * _per_second(step, seconds)


def _clustering(seconds: float) -> float:
    """FLOP/s of the distances of k-means, on the CPU; whatever else it does counts as time alone."""
    import torch

    from xdcbench.clustering.kmeans import KMeans

    x = torch.randn(POINTS, FEATURES, generator=torch.Generator().manual_seed(0))
    runs = _per_second(lambda: KMeans(k=K, seed=0, max_iter=UPDATES).fit(x, init=x[:K]), seconds)
    return runs * cluster_flop(POINTS, FEATURES, K, UPDATES)


def cluster_flop(points: int, features: int, k: int, iterations: int) -> int:
    """FLOP of the distances of all points to all centroids, once per update and once after the last."""
    return 2 * points * features * k * (iterations + 1)


def _per_second(step: Callable[[], object], seconds: float) -> float:
    """Calls per second, after one that warms up."""
    step()
    begun, calls = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < seconds:
        step()
        calls += 1
    return calls / spent
