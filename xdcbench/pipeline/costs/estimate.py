"""The estimate that ends a dry run: work by kind of stage, and hours where this machine's rates are known."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabulate import tabulate

from xdcbench.config.models import Models
from xdcbench.config.stages import IndexStage, ShardsStage
from xdcbench.pipeline.costs.disk import peak_line, scratch
from xdcbench.pipeline.costs.flops import training_flop
from xdcbench.pipeline.costs.rates import Rates, load_rates
from xdcbench.pipeline.costs.sizes import Sizes, sizes_of
from xdcbench.pipeline.costs.work import Work, Works, precision_of, reading_seconds, seconds, total
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.needed import needed_keys
from xdcbench.pipeline.plan import Plan
from xdcbench.results.run_store import RunStore
from xdcbench.utils.format import duration, short
from xdcbench.utils.precision import Precision

if TYPE_CHECKING:
    from xdcbench.pipeline.launch import Launch

HEADERS = ("estimate", "stages", "read", "encoded", "trained", "PFLOP", "written", "hours")
COUNTED = ("shards", "round", "features", "finetune")
"""Kinds that decode media."""


@dataclass(frozen=True)
class Estimate:
    """Work of one stage or of several, and its hours, None where rates are lacking."""

    work: Work
    hours: float | None
    stages: int = 1


@dataclass(frozen=True)
class Machine:
    """Where a plan is to run, if not here.

    Attributes:
        devices: GPUs that share the work.
        clips_per_second: clips with audio on which one of them trains both encoders; None: as measured here.
    """

    devices: int = 1
    clips_per_second: float | None = None


class Estimator:
    """Work and hours of the stages of a plan, by this machine's rates.

    Attributes:
        published: published sizes that estimates rest on, by dataset.
        rates: those that were looked up, by precision; None where this machine's are not measured.
        usual: precision of most stages, by which preparing is told.
    """

    def __init__(self, launch: "Launch") -> None:
        self.launch, self.models = launch, launch.plan.suite.models
        self.published: dict[str, int] = {}
        self.rates: dict[Precision, Rates | None] = {}
        self.works = Works(self._sizes)
        computed = (precision_of(stage) for stage in launch.plan.stages if stage.kind in COUNTED[1:])
        self.usual: Precision = next(computed, "fp32")

    def __call__(self, stage: Stage) -> Estimate:
        """The estimate of one stage."""
        work, context = self.works.of(stage), self.launch.context
        if not work.clips:
            return Estimate(work, 0.0)
        precision = precision_of(stage) if stage.kind != "shards" else self.usual
        if precision not in self.rates:
            self.rates[precision] = load_rates(context.cache, context.device, precision, self.models)
        rates = self.rates[precision]
        return Estimate(work, seconds(work, rates, context.num_workers) / 3600 if rates else None)

    def _sizes(self, index: Stage) -> Sizes | None:
        found = sizes_of(index, self.launch.store)
        if found and found.source == "published":
            assert isinstance(index.config, IndexStage | ShardsStage)
            self.published[index.config.name] = index.config.dataset.published_items or 0
        return found


def cost_lines(launch: "Launch", machine: Machine | None = None) -> Iterator[str]:
    """What a plan has yet to do, summed by kind, and apart from it what it would do had this machine the data.

    The last line says how long all of it takes. Works on configurations, counts and finished indices alone: no media
    is opened and torch is not imported.
    """
    estimator, context = Estimator(launch), launch.context
    stages = [(stage, estimator(stage)) for stage in to_do(launch.plan, launch.store)]
    if not stages:
        yield "nothing to do"
        return
    rows = _rows(stages)
    cells = [_cells(name, row) for name, row in rows.items() if row.stages or name == "total"]
    yield from tabulate(cells, HEADERS, tablefmt="plain", disable_numparse=True).split("\n")
    here = (stage for stage, _ in stages if not stage.reason)
    needs = (scratch(stage, estimator.works, checkpoints=context.keep_checkpoints) for stage in here)
    yield peak_line(rows["total"].work.written, max(needs, default=0), launch.store)
    yield "clips / windows of audio; other: worlds, indices, initializations, fits on features, none of them timed"
    whole = _sum(estimate for _, estimate in stages)
    yield from (f"not counted: {what}" for what in sorted(whole.work.unknown))
    if sizes := [f"{name} {short(n)}" for name, n in sorted(estimator.published.items())]:
        yield f"by published sizes: {', '.join(sizes)}"
    yield from _prepared(stages, estimator.rates.get(estimator.usual))
    yield from _rate_notes(estimator)
    yield how_long(whole, estimator.models, machine or Machine())


def _rows(stages: Sequence[tuple[Stage, Estimate]]) -> dict[str, Estimate]:
    """Sums by kind of what this machine can do, their total, and the sum of what it lacks the data of."""
    here = [(stage.kind, estimate) for stage, estimate in stages if not stage.reason]
    rows = {kind: _sum(estimate for of, estimate in here if of == kind) for kind in COUNTED}
    rows["other"] = _sum(estimate for kind, estimate in here if kind not in COUNTED)
    rows["total"] = _sum(estimate for _, estimate in here)
    rows["unavailable here"] = _sum(estimate for stage, estimate in stages if stage.reason)
    return rows


def _rate_notes(estimator: Estimator) -> Iterator[str]:
    """At which precisions there are no rates, or those of other encoders."""
    known, models = estimator.rates.items(), estimator.models
    if lacking := sorted(precision for precision, rates in known if rates is None):
        yield f"no hours: `xdcbench doctor --speed` measures this machine at {', '.join(lacking)}, in a minute"
    if others := sorted(precision for precision, rates in known if rates and rates.models != models):
        yield f"hours at {', '.join(others)} by rates of the paper's encoders: smaller ones reach fewer FLOP/s"


def _prepared(stages: Sequence[tuple[Stage, Estimate]], rates: Rates | None) -> Iterator[str]:
    """For each dataset that is to be prepared: what that takes, and what reading it takes with and without."""
    for shards, estimate in stages:
        if not isinstance(shards.config, ShardsStage):
            continue
        read = total(e.work for s, e in stages if any(of.key == shards.key for of in s.read[len(s.inputs) :]))
        videos, clips = estimate.work.clips["prepare"], read.clips["read prepared video"]
        size = short(estimate.work.written, "B")
        words = f"prepare {shards.config.name}: {short(videos)} items, {size}, of which {short(clips)} clips are read"
        if rates:
            before = Work(Counter({what.replace(" prepared", ""): n for what, n in read.clips.items()}))
            times = (reading_seconds(work, rates) for work in (estimate.work, read, before))
            once, after, instead = map(duration, times)
            words += f", in {after} of processor time after {once} of preparing, in place of {instead}"
        yield words


def how_long(whole: Estimate, models: Models, machine: Machine) -> str:
    """Time and disk of all that is to do: by the clips per second that are given, else by the rates of this machine.

    A device that trains on so many clips per second counts as one of as many FLOP/s; reading is to keep up.
    """
    work, hours = whole.work, whole.hours
    if not work.clips:
        why = "`run` lists the items first" if work.unknown else "no media is decoded"
        return f"how long: not known, since {why}"
    if machine.clips_per_second is not None:
        each = training_flop(models.video) + training_flop(models.audio)
        hours = sum(work.flop.values()) / (machine.clips_per_second * each) / 3600
    if hours is None:
        return "how long: give --clips-per-second, of training on one GPU, or measure it by `xdcbench doctor --speed`"
    least = "at least" if work.unknown else "about"
    own = machine == Machine()
    where = "this machine" if own else f"{machine.devices} GPU{'s' if machine.devices > 1 else ''}"
    return (
        f"{least} {duration(3600 * hours / machine.devices)} on {where}; {short(work.written, 'B')} of disk"
    )


def _sum(estimates: Iterable[Estimate]) -> Estimate:
    several = list(estimates)
    hours = [estimate.hours for estimate in several if estimate.hours is not None]
    complete = len(hours) == len(several)
    return Estimate(total(e.work for e in several), sum(hours) if complete else None, len(several))


def to_do(plan: Plan, store: RunStore) -> list[Stage]:
    """Stages that a run would do: incomplete targets and what they need, in the plan's order."""
    wanted = needed_keys(plan, store, "missing")
    return [stage for stage in plan.stages if stage.key in wanted]


def _cells(name: str, row: Estimate) -> tuple[str, ...]:
    """A row in words; what is not counted in full is ``> ``, or ``?`` where nothing of it is."""
    work, unknown = row.work, bool(row.work.unknown)
    read = tuple(work.clips[f"read {m}"] + work.clips[f"read prepared {m}"] for m in ("video", "audio"))
    clips = [read, *((work.clips[f"{do} video"], work.clips[f"{do} audio"]) for do in ("encode", "train"))]
    flop = sum(work.flop.values()) / 1e15

    def bounded(amount: float, words: str) -> str:
        return ("> " + words if amount else "?") if unknown else words

    return (
        name,
        str(row.stages),
        *(bounded(sum(pair), " / ".join(map(short, pair))) for pair in clips),
        bounded(flop, f"{flop:.3g}"),
        bounded(work.written, short(work.written, "B")),
        "?" if row.hours is None else bounded(row.hours, f"{row.hours:.3g}"),
    )
