"""The code of each kind of stage, imported when it is first needed."""

from collections.abc import Callable
from typing import NamedTuple

from xdcbench.utils.code import load_own

StageFunction = Callable[..., None]
"""``(config, inputs, work, context) -> None``: writes results into the folder ``work``."""


class StageKind(NamedTuple):
    """How stages of one kind are run.

    Attributes:
        load: imports the stage's function and returns it.
        shared: whether the processes of torchrun work on it together; otherwise the main process does all.
    """

    load: Callable[[], StageFunction]
    shared: bool = False


def _of(module: str, *, shared: bool = False) -> StageKind:
    """A kind whose function is ``run`` of a module."""
    return StageKind(lambda: load_own(f"{module}:run"), shared)


STAGES = {
    "world": _of("xdcbench.data.synthetic.stage"),
    "shards": _of("xdcbench.data.preparation.stage"),
    "index": _of("xdcbench.data.index_stage"),
    "init": _of("xdcbench.pretraining.init"),
    "pretrained": _of("xdcbench.pretraining.pretrained"),
    "assignments": _of("xdcbench.pretraining.assignments"),
    "round": _of("xdcbench.pretraining.rounds", shared=True),
    "features": _of("xdcbench.evaluation.features", shared=True),
    "finetune": _of("xdcbench.evaluation.finetune", shared=True),
    "linear_probe": _of("xdcbench.evaluation.linear_probe"),
    "multilabel_probe": _of("xdcbench.evaluation.multilabel_probe"),
    "linear_svm": _of("xdcbench.evaluation.linear_svm"),
    "retrieval": _of("xdcbench.evaluation.retrieval"),
    "knn": _of("xdcbench.evaluation.knn"),
    "cross_retrieval": _of("xdcbench.evaluation.cross_retrieval"),
    "low_shot": _of("xdcbench.evaluation.low_shot"),
    "clusters": _of("xdcbench.evaluation.clusters"),
    "fusion": _of("xdcbench.evaluation.fusion"),
    "temporal": _of("xdcbench.evaluation.temporal"),
}
