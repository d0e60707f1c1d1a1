"""Which datasets of a suite a stage prepares into shards, and with which settings."""

from collections.abc import Iterator, Mapping
from typing import get_args

from xdcbench.config.base import Modality
from xdcbench.config.consistency import settings_of
from xdcbench.config.data import ShardSettings
from xdcbench.config.evaluation import Temporal
from xdcbench.config.models import Input, Window
from xdcbench.config.suite import Suite
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.shards_fit import pretrained_inputs
from xdcbench.utils.messages import unknown_name

LARGE = 20_000
"""Training items from which `auto` prepares a dataset: decoded, ten seconds each, they fill 400 GB of memory."""


def prepared_datasets(suite: Suite) -> frozenset[str]:
    """Names of the datasets that are prepared before they are read.

    ``auto`` takes the videos that a method learns from, of which lists or publications state at least `LARGE` training
    items. That depends on the suite alone, and so do keys. What lies in a synthetic world is small.

    Raises:
        UserError: a name that is none of the suite's datasets.
    """
    if suite.prepare == "auto":
        learned = {group.data for group in suite.pretraining if group.data}
        return frozenset(name for name in learned if not suite.world and _is_large(suite, name))
    names = () if suite.prepare == "never" else suite.prepare
    for name in names:
        if name not in suite.datasets:
            raise UserError("prepare: " + unknown_name("dataset of this suite", name, suite.datasets))
    return frozenset(names)


def _is_large(suite: Suite, name: str) -> bool:
    dataset = suite.datasets[name]
    known = [dataset.published_items or 0, *(of.get("train", 0) for of in dataset.counts.values())]
    items = min(max(known), dataset.subset.items or LARGE)
    return dataset.media == "video" and items >= LARGE and dataset.subset.per_class is None


def fitting_settings(suite: Suite, origins: Mapping[str, Origin] | None = None) -> ShardSettings:
    """Settings of shards in which every encoder of a suite finds what it takes: the defaults, or more.

    Evaluations may read prepared datasets at a multiple of an encoder's frame rate. ``origins`` are those of encoders
    from elsewhere, by name.
    """
    settings = ShardSettings()
    side, fps, rate = settings.short_side, settings.fps, settings.sample_rate
    for declared in _inputs(suite, origins or {}):
        if isinstance(declared, Window):
            rate = max(rate, declared.sample_rate)
        else:
            longest = declared.short_side[1]
            side = max(side, longest + longest % 2)  # shards have even sides
            fps = max(fps, declared.at_rate(_highest_rate(suite)).fps)
    return settings.model_copy(update={"short_side": side, "fps": fps, "sample_rate": rate})


def _highest_rate(suite: Suite) -> float:
    """The largest factor of encoders' fps at which evaluations read prepared datasets."""
    found = [1.0]
    for part in suite.leaves:
        for measure in part.evaluate:
            if measure.evaluation in part.evaluations and measure.dataset in prepared_datasets(part):
                settings = settings_of(part, measure)
                found += settings.rates if isinstance(settings, Temporal) else ()
    return max(found)


def _inputs(suite: Suite, origins: Mapping[str, Origin]) -> Iterator[Input]:
    """What the encoders of a suite and of its parts declare."""
    for part in suite.leaves:
        yield from (model.input for model in part.models.by_modality.values())
        for name, pretrained in part.encoders.items():
            for modality in get_args(Modality):
                yield from pretrained_inputs(pretrained, modality, origins.get(name))
