"""`xdcbench bench gpu`: what is measured, one part after another, and how it is written down."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from tabulate import tabulate

from xdcbench.config.data import ShardSettings, World
from xdcbench.config.models import Models
from xdcbench.errors import UserError
from xdcbench.pipeline.costs.flops import training_flop
from xdcbench.pipeline.costs.gpu import (
    STEPS,
    KMeansSpeed,
    Speed,
    SpeedTest,
    Work,
    clip_model,
    kmeans_speed,
    matmul_peak,
)
from xdcbench.pipeline.costs.loading import (
    WORLD,
    DataWait,
    data_wait,
    synthetic_sources,
    xdc_learner,
    xdc_step,
)
from xdcbench.pretraining.learner import Learner
from xdcbench.utils.cores import available_cores
from xdcbench.utils.io import atomic_write
from xdcbench.utils.provenance import versions
from xdcbench.utils.runtime import pick_device, resolve_precision

Cell = str | int


@dataclass(frozen=True)
class Sweep:
    """Batches at which one length of clip is measured.

    Attributes:
        models: encoders; the video encoder declares the clip.
        batches: clips per step of the project's own training.
        usual: batch at which it is compared, and everything else is measured.
    """

    models: Models
    batches: tuple[int, ...]
    usual: int


@dataclass(frozen=True)
class BenchmarkPlan:
    """What is measured, and how large.

    Attributes:
        sweeps: of training. XDC's step is measured compiled, and with each source, in the first alone.
        compiled: whether what is compiled is measured, too: compiling takes a minute for each length of clip.
        matmul: rows of the square matrices whose product is the peak.
        kmeans: points, features, clusters.
        step_seconds: to spend on each kind of step and batch.
        wait_seconds: to spend on reading alone and on training with reading, each.
        readers: processes that read.
        world: what is read.
        shards: how it is prepared.
        sources: what is read, ``files`` and ``shards``, the most important last.
    """

    sweeps: tuple[Sweep, ...]
    readers: int
    compiled: bool = True
    matmul: int = 8192
    kmeans: tuple[int, int, int] = (1_000_000, 512, 1024)
    step_seconds: float = 1.5
    wait_seconds: float = 4.0
    world: World = WORLD
    shards: ShardSettings = field(default_factory=ShardSettings)
    sources: tuple[str, ...] = ("files", "shards")


def usual_plan(*, quick: bool, readers: int | None) -> BenchmarkPlan:
    """The paper's encoders on clips of 8 and of 32 frames.

    Args:
        quick: one batch for each length, from shards alone, and nothing compiled.
        readers: processes that read; None: two fewer than the cores, 16 at most.
    """
    found = max(1, min(16, available_cores() - 2)) if readers is None else readers
    lengths = ((8, (32, 64, 128), 64), (32, (8, 16, 32), 16))
    sweeps = tuple(
        Sweep(Models(video=clip_model(frames)), (usual,) if quick else batches, usual)
        for frames, batches, usual in lengths
    )
    if quick:
        return BenchmarkPlan(sweeps, found, compiled=False, step_seconds=1.0, sources=("shards",))
    return BenchmarkPlan(sweeps, found)


@dataclass
class GpuBenchmark:
    """What was measured of one GPU.

    Attributes:
        cores: that may be used.
        precision: of the project's own steps.
        matmul_tflops: of the bf16 matrix product.
        xdc: speeds of XDC's step with both encoders, its clips read.
    """

    card: str
    cores: int
    precision: str
    versions: dict[str, str]
    matmul_tflops: float = 0.0
    training: list[Speed] = field(default_factory=list)
    encoding: list[Speed] = field(default_factory=list)
    xdc: list[Speed] = field(default_factory=list)
    kmeans: KMeansSpeed | None = None
    waits: list[DataWait] = field(default_factory=list)
    seconds: float = 0.0

    def ratio(self, what: str, frames: int, batch: int) -> float | None:
        """Clips/s of ``what`` as a multiple of those of the reference with AMP; None where one is not known."""
        own, other = (
            _clips_per_second(self.training, name, frames, batch) for name in (what, "reference, AMP")
        )
        return own / other if own and other else None


def _clips_per_second(speeds: list[Speed], what: str, frames: int, batch: int) -> float | None:
    key = (what, frames, batch)
    return next((s.clips_per_second for s in speeds if (s.what, s.frames, s.batch) == key), None)


def bench_lines(device: str, output: Path, plan: BenchmarkPlan) -> Iterator[str]:
    """Measure a GPU, write ``gpu.json`` and ``gpu.md`` in ``output``, and tell each part when it is done.

    Raises:
        UserError: there is no such device.
    """
    on = pick_device(device)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {output}: {error.strerror}. Try: another folder") from error
    found = GpuBenchmark(
        card=torch.cuda.get_device_name(on) if on.type == "cuda" else "cpu",
        cores=available_cores(),
        precision=resolve_precision("auto", on),
        versions=versions(),
    )
    yield f"{found.card}, {found.cores} cores, torch {found.versions['torch']}, {found.precision}"
    for title, head, rows in measure(found, on, plan):
        yield ""
        yield title
        yield from tabulate(rows, head, tablefmt="plain", disable_numparse=True).split("\n")
        write(found, output)  # what is measured is kept, whatever becomes of the rest
    yield ""
    yield f"{found.seconds:.0f} s; written to {output / 'gpu.md'}"


def write(found: GpuBenchmark, output: Path) -> None:
    """Write ``gpu.json`` and ``gpu.md``."""
    for name, content in (
        ("gpu.json", json.dumps(asdict(found), indent=1) + "\n"),
        ("gpu.md", markdown(found)),
    ):
        with atomic_write(output / name) as part:
            part.write_text(content, encoding="utf-8")


Part = tuple[str, list[str], list[list[Cell]]]
"""Title, header and rows of a table."""


def measure(found: GpuBenchmark, device: torch.device, plan: BenchmarkPlan) -> Iterator[Part]:
    """Fill ``found``, the most important first; gives the table of each part once it is measured."""
    begun = time.monotonic()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    peak = matmul_peak(plan.matmul, device, dtype=dtype)
    found.matmul_tflops = peak / 1e12
    for table in _parts(found, SpeedTest(device, peak, plan.step_seconds), plan):
        found.seconds = time.monotonic() - begun
        yield table


def _parts(found: GpuBenchmark, test: SpeedTest, plan: BenchmarkPlan) -> Iterator[Part]:
    for what in STEPS:
        if plan.compiled or what != "own, compiled":
            found.training += [test.training(what, s.models.video, s.usual) for s in plan.sweeps]
    yield training_part(found)
    _read(found, test, plan)
    yield xdc_part(found)
    yield waits_part(found)
    found.encoding += [test.encoding(sweep.models.video, sweep.usual) for sweep in plan.sweeps]
    yield encoding_part(found)
    found.kmeans = kmeans_speed(*plan.kmeans, test.device)
    yield kmeans_part(found)
    for sweep in plan.sweeps:
        others = (batch for batch in sweep.batches if batch != sweep.usual)
        found.training += [test.training("own", sweep.models.video, batch) for batch in others]
    yield training_part(found)


def _read(found: GpuBenchmark, test: SpeedTest, plan: BenchmarkPlan) -> None:
    """Measure XDC's step, and its training loop with reading."""
    with synthetic_sources(plan.world, workers=plan.readers, settings=plan.shards) as sources:
        for sweep in plan.sweeps:

            def learner(source: str, sweep: Sweep = sweep) -> Learner:
                index, root = sources[source]
                return xdc_learner(
                    index, root, sweep.models, batch=sweep.usual, device=test.device, readers=plan.readers
                )

            flop = training_flop(sweep.models.video) + training_flop(sweep.models.audio)
            steps: dict[str, Callable[[], Work]] = {"XDC": lambda: xdc_step(learner("shards"))}
            first = sweep is plan.sweeps[0]
            if plan.compiled and first:
                steps["XDC, compiled"] = lambda: xdc_step(learner("shards"), compiled=True)
            for what, make in steps.items():
                found.xdc.append(test.speed(what, sweep.models.video, sweep.usual, make, flop))
            for source in plan.sources if first else plan.sources[-1:]:
                found.waits.append(data_wait(learner(source), source, seconds=plan.wait_seconds))


def training_part(found: GpuBenchmark) -> Part:
    """Clips/s of a training step, and its ratio to the reference with AMP."""
    shapes = sorted({(s.frames, s.batch) for s in found.training})
    rows: list[list[Cell]] = []
    for frames, batch in shapes:
        these = {s.what: s for s in found.training if (s.frames, s.batch) == (frames, batch)}
        rates = [_rate(these.get(what)) for what in STEPS]
        ratios = [_times(found.ratio(what, frames, batch)) for what in ("own", "own, compiled")]
        own = these["own"]
        rows.append([frames, batch, *rates, *ratios, f"{own.peak_share:.1%}", f"{own.memory_gb:.1f}"])
    ratios_head = ["own / AMP", "compiled / AMP"]
    head = ["frames", "batch", *STEPS, *ratios_head, "own, share of peak", "own, GB"]
    peak = f"the matrix product's {found.matmul_tflops:.0f} TFLOP/s"
    return f"training step of the video encoder, clips in memory: clips/s; peak is {peak}", head, rows


def encoding_part(found: GpuBenchmark) -> Part:
    """Clips/s of encoding."""
    head = ["frames", "batch", "clips/s", "share of peak"]
    return "encoding by the video encoder", head, [_cells(speed) for speed in found.encoding]


def kmeans_part(found: GpuBenchmark) -> Part:
    """Time of k-means; no row before it was measured."""
    head = ["points", "features", "k", "seconds", "share that its matrix products alone would take"]
    rows: list[list[Cell]] = []
    if k := found.kmeans:
        rows.append([k.points, k.features, k.k, f"{k.seconds:.3f}", f"{k.matmul_share:.1%}"])
    return "k-means, 10 updates", head, rows


def xdc_part(found: GpuBenchmark) -> Part:
    """Clips/s of XDC's step."""
    head = ["step", "frames", "batch", "clips/s", "share of peak", "GB", "warm-up, s"]
    rows = [[s.what, *_cells(s), f"{s.memory_gb:.1f}", round(s.warm_up_seconds)] for s in found.xdc]
    return "XDC's step: both encoders, from decoded clips of one batch", head, rows


def waits_part(found: GpuBenchmark) -> Part:
    """Training with reading, beside training on clips in memory and reading alone."""
    rates_head = ["readers alone, clips/s", "training, clips/s", "of that in memory"]
    head = ["read from", "frames", "batch", "readers", *rates_head, "loop waits"]
    rows: list[list[Cell]] = []
    for w in found.waits:
        memory = _clips_per_second(found.xdc, "XDC", w.frames, w.batch)
        rates = [f"{w.read_per_second:.0f}", f"{w.clips_per_second:.0f}"]
        share = f"{w.clips_per_second / memory:.1%}" if memory else ""
        rows.append([w.source, w.frames, w.batch, w.readers, *rates, share, f"{w.loop_share:.1%}"])
    return "XDC's training loop with reading", head, rows


def markdown(found: GpuBenchmark) -> str:
    """All tables, as far as they were measured."""
    parts = [part(found) for part in (training_part, xdc_part, waits_part, encoding_part, kmeans_part)]
    libraries = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [f"# {found.card}", "", f"{found.cores} cores; {libraries}; {found.precision}."]
    for title, head, rows in parts:
        if rows:
            lines += [
                "",
                f"{title[0].upper()}{title[1:]}:",
                "",
                tabulate(rows, head, tablefmt="pipe", disable_numparse=True),
            ]
    return "\n".join(lines) + "\n"


def _rate(found: Speed | None) -> str:
    if found is None:
        return ""
    return "out of memory" if found.clips_per_second is None else f"{found.clips_per_second:.0f}"


def _cells(found: Speed) -> list[Cell]:
    """Its clips, rate and share of the peak."""
    return [found.frames, found.batch, _rate(found), f"{found.peak_share:.1%}"]


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
