"""The code of each kind of stage, imported when it is first needed."""

from collections.abc import Callable
from typing import NamedTuple

StageFunction = Callable[..., None]
"""``(config, inputs, work, context) -> None``: writes results into the folder ``work``."""


def _world() -> StageFunction:
    from xdcbench.data.synthetic.stage import run

    return run


def _index() -> StageFunction:
    from xdcbench.data.index import run

    return run


def _init() -> StageFunction:
    from xdcbench.pretraining.init import run

    return run


def _pretrained() -> StageFunction:
    from xdcbench.pretraining.pretrained import run

    return run


def _round() -> StageFunction:
    from xdcbench.pretraining.rounds import run

    return run


def _features() -> StageFunction:
    from xdcbench.evaluation.features import run

    return run


def _finetune() -> StageFunction:
    from xdcbench.evaluation.finetune import run

    return run


def _linear_probe() -> StageFunction:
    from xdcbench.evaluation.linear_probe import run

    return run


def _linear_svm() -> StageFunction:
    from xdcbench.evaluation.linear_svm import run

    return run


def _retrieval() -> StageFunction:
    from xdcbench.evaluation.retrieval import run

    return run


def _cross_retrieval() -> StageFunction:
    from xdcbench.evaluation.cross_retrieval import run

    return run


def _low_shot() -> StageFunction:
    from xdcbench.evaluation.low_shot import run

    return run


def _clusters() -> StageFunction:
    from xdcbench.evaluation.clusters import run

    return run


class StageKind(NamedTuple):
    """How stages of one kind are run.

    Attributes:
        load: imports the stage's function and returns it.
        shared: whether the processes of torchrun work on it together; otherwise the main process does all.
    """

    load: Callable[[], StageFunction]
    shared: bool = False


STAGES = {
    "world": StageKind(_world),
    "index": StageKind(_index),
    "init": StageKind(_init),
    "pretrained": StageKind(_pretrained),
    "round": StageKind(_round, shared=True),
    "features": StageKind(_features, shared=True),
    "finetune": StageKind(_finetune, shared=True),
    "linear_probe": StageKind(_linear_probe),
    "linear_svm": StageKind(_linear_svm),
    "retrieval": StageKind(_retrieval),
    "cross_retrieval": StageKind(_cross_retrieval),
    "low_shot": StageKind(_low_shot),
    "clusters": StageKind(_clusters),
}
