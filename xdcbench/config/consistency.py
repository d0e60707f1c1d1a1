"""Whether what a suite says fits together, and what it says of one group or one measurement."""

from collections.abc import Iterable

from xdcbench.config.evaluation import Evaluation
from xdcbench.config.load import merge, validate
from xdcbench.config.pretraining import Method, Pretrain
from xdcbench.config.suite import EvaluationTask, PretrainingGroup, Suite
from xdcbench.errors import UserError
from xdcbench.utils.messages import unknown_name


def check(suite: Suite) -> None:
    """Names inside a suite must fit each other.

    Raises:
        UserError: a head without a clustering, a split that a dataset does not have, a method without
            data, or audio asked of images.
    """
    for name, method in suite.methods.items():
        for modality, labels in method.heads.items():
            if modality not in method.encoders:
                raise UserError(f"method {name!r} has heads for {modality} but does not list that encoder")
            for label in labels:
                if label != "labels" and label not in method.clusterings:
                    raise UserError(
                        f"method {name!r}: "
                        + unknown_name("label source", label, [*method.clusterings, "labels"])
                    )
    for name in suite.encoders:
        if name in suite.methods:
            raise UserError(f"{name!r} is a method and one of `encoders`; give the encoders another name")
    for group in suite.pretraining:
        _check_known("method", group.methods, suite.methods)
        _check_known("dataset", [group.data] if group.data else [], suite.datasets)
        _check_known("evaluation", group.evaluations, [measure.evaluation for measure in suite.evaluate])
        pretrain_of(suite, group)
        for name in group.methods:
            _check_data(name, suite.methods[name], group.data, suite)
    for measure in suite.evaluate:
        _check_known("evaluation", [measure.evaluation], suite.evaluations)
        _check_known("dataset", [measure.dataset], suite.datasets)
        settings_of(suite, measure)
        for split in measure.splits:
            known = suite.datasets[measure.dataset].splits
            if split not in known:
                raise UserError(unknown_name(f"split of {measure.dataset}", split, known))
    _check_leaks(suite)


def _check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(unknown_name(f"{what} of this suite", name, known))


def _check_leaks(suite: Suite) -> None:
    """What is learned from must not be tested on: encoders learn from ``train`` of a set's first split."""
    for group in suite.pretraining:
        for measure in measures_of(suite, group):
            first = suite.datasets[measure.dataset].splits[0]
            if measure.dataset == group.data and (group.part != "train" or set(measure.splits) != {first}):
                raise UserError(
                    f"suite {suite.name!r} learns from {group.part!r} of split {first} of {group.data} and "
                    f"measures on its splits {', '.join(measure.splits)}: test items would be learned from; "
                    f"measure on split {first} alone, and learn from 'train'"
                )


def _check_data(name: str, method: Method, data: str | None, suite: Suite) -> None:
    if method.heads and data is None:
        raise UserError(f"method {name!r} learns from data, but its group in `pretraining` names none")
    media = suite.datasets[data].media if data else "video"
    used = {m for c in method.clusterings.values() for m in c.features} | set(method.heads)
    lacking = {"image": "audio", "audio": "video"}.get(media)
    if lacking in used:
        raise UserError(
            f"method {name!r} uses {lacking}, but {data!r} holds {media} files; give it another dataset"
        )


def settings_of(suite: Suite, measure: EvaluationTask) -> Evaluation:
    """Settings of an evaluation, with what this measurement changes.

    Raises:
        UserError: a change that the evaluation does not take.
    """
    base = suite.evaluations[measure.evaluation]
    where = f"suite {suite.name!r}, {measure.evaluation} on {measure.dataset}"
    return validate(type(base), merge(base.model_dump(), measure.settings), where=where)


def pretrain_of(suite: Suite, group: PretrainingGroup) -> Pretrain:
    """Settings of pretraining, with what this group changes.

    Raises:
        UserError: a change that pretraining does not take.
    """
    where = f"suite {suite.name!r}, {', '.join(group.methods)} on {group.data or 'no data'}"
    return validate(Pretrain, merge(suite.pretrain.model_dump(), group.settings), where=where)


def measures_of(suite: Suite, group: PretrainingGroup) -> list[EvaluationTask]:
    """The measurements that a group's encoders are measured by."""
    return [m for m in suite.evaluate if not group.evaluations or m.evaluation in group.evaluations]
