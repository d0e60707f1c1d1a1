"""Whether what a suite says fits together, and what it says of one group or one measurement."""

from collections.abc import Iterable

from xdcbench.config.evaluation import Evaluation, Finetune, Fusion, MultilabelProbe, Temporal
from xdcbench.config.load import merge, validate
from xdcbench.config.pretraining import Method, Pretrain
from xdcbench.config.suite import EvaluationTask, PretrainingGroup, Suite
from xdcbench.errors import UserError
from xdcbench.utils.messages import unknown_name

ON_VIDEOS = {
    Fusion: ("fuses audio and video", "a dataset of videos with an audio track"),
    Temporal: ("changes the order and rate of frames", "a dataset of videos"),
}
"""What evaluations that need videos do, and what fits them."""


def check(suite: Suite) -> None:
    """Names inside a suite must fit each other.

    Raises:
        UserError: a head without a clustering, a split that a dataset does not have, a method without
            data, audio asked of images, videos asked of a dataset of other media, one class of items that have several
            or the reverse, or a waveform for this project's audio encoder.
    """
    for name, method in suite.methods.items():
        _check_heads(name, method)
    for name in suite.encoders:
        if name in suite.methods:
            raise UserError(f"{name!r} is a method and one of `encoders`; give the encoders another name")
    for group in suite.pretraining:
        _check_group(group, suite)
    for measure in suite.evaluate:
        _check_measure(measure, suite)
    suite.models.audio.log_mel  # noqa: B018 - raises for a waveform
    _check_leaks(suite)


def _check_heads(name: str, method: Method) -> None:
    for modality, labels in method.heads.items():
        if modality not in method.encoders:
            raise UserError(f"method {name!r} has heads for {modality} but does not list that encoder")
        for label in labels:
            sources = [*method.clusterings, *method.assignments, "labels"]
            if label not in sources:
                raise UserError(f"method {name!r}: " + unknown_name("label source", label, sources))


def _check_group(group: PretrainingGroup, suite: Suite) -> None:
    _check_known("method", group.methods, suite.methods)
    _check_known("dataset", [group.data] if group.data else [], suite.datasets)
    _check_known("evaluation", group.evaluations, [measure.evaluation for measure in suite.evaluate])
    pretrain_of(suite, group)
    for name in group.methods:
        _check_data(name, suite.methods[name], group.data, suite)
        _check_assignments(name, group, suite)


def _check_measure(measure: EvaluationTask, suite: Suite) -> None:
    _check_known("evaluation", [measure.evaluation], suite.evaluations)
    _check_known("dataset", [measure.dataset], suite.datasets)
    settings, dataset = settings_of(suite, measure), suite.datasets[measure.dataset]
    check_labels(measure.evaluation, settings, measure.dataset, multi_label=dataset.multi_label)
    does, fitting = ON_VIDEOS.get(type(settings), ("", ""))
    if does and dataset.media != "video":
        raise UserError(
            f"{measure.evaluation} {does}, but {measure.dataset!r} holds {dataset.media} files. "
            f"Try: {fitting} in `evaluate`"
        )
    for split in measure.splits:
        if split not in dataset.splits:
            raise UserError(f"dataset {measure.dataset!r}: " + unknown_name("split", split, dataset.splits))


def check_labels(name: str, settings: Evaluation, dataset: str, *, multi_label: bool) -> None:
    """Refuse items with several classes each where one class is predicted, and the reverse.

    Args:
        name: of the evaluation.
        multi_label: whether items of the dataset have a set of classes each.

    Raises:
        UserError: names the evaluation, the dataset and evaluations that fit.
    """
    if multi_label and not isinstance(settings, MultilabelProbe | Finetune):
        raise UserError(
            f"{name} predicts one class of each item, but items of {dataset!r} have several. "
            f"Try: an evaluation of the kind multilabel_probe or finetune"
        )
    if (
        multi_label
        and isinstance(settings, Finetune)
        and (settings.selection == "val-best" or settings.sweep)
    ):
        raise UserError(
            f"{name} chooses by top-1 what it keeps, but items of {dataset!r} have several classes. "
            f"Try: selection: last, and no sweep"
        )
    if not multi_label and isinstance(settings, MultilabelProbe):
        raise UserError(
            f"{name} predicts a set of classes of each item, but items of {dataset!r} have one class. "
            f"Try: an evaluation of the kind linear_probe"
        )


def _check_assignments(name: str, group: PretrainingGroup, suite: Suite) -> None:
    """Clusters of a method of this suite must be made by it, in one group, not taken from yet another."""
    for source, earlier in suite.methods[name].assignments.items():
        other, where = suite.methods.get(earlier.run), f"method {name!r}, assignments.{source}: "
        if other is None:
            continue
        if other.assignments:
            raise UserError(
                f"{where}{earlier.run!r} itself learns from earlier clusters. Try: the key of its run"
            )
        if earlier.clustering not in other.clusterings:
            known = list(other.clusterings)
            raise UserError(
                f"{where}{earlier.run!r}: " + unknown_name("clustering", earlier.clustering, known)
            )
        if (count := len(groups_with(suite, earlier.run, group))) != 1:
            raise UserError(
                f"{where}{count} groups of `pretraining` have {earlier.run!r} on {group.data}, where one is needed. "
                "Try: the key of a run"
            )


def groups_with(suite: Suite, method: str, like: PretrainingGroup) -> list[PretrainingGroup]:
    """The groups that pretrain a method on the data of ``like``."""
    return [
        group
        for group in suite.pretraining
        if method in group.methods and (group.data, group.part) == (like.data, like.part)
    ]


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
    made = [suite.methods[e.run] for e in method.assignments.values() if e.run in suite.methods]
    clusterings = [c for of in (method, *made) for c in of.clusterings.values()]
    used = {m for c in clusterings for m in c.features} | set(method.heads)
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
