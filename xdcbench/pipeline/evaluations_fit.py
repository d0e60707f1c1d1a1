"""Check that the evaluations of a plan find encoders that they can measure."""

import logging
from collections.abc import Iterable, Mapping

from xdcbench.config.evaluation import Fusion, Temporal
from xdcbench.config.models import VideoInput
from xdcbench.config.stages import EvaluationStage
from xdcbench.config.suite import Suite
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.shards_fit import declared_inputs

log = logging.getLogger("xdcbench")

NEEDS = {Fusion: "both an audio and a video encoder", Temporal: "a video encoder"}
"""Encoders that evaluations of some kinds need, in words."""


def check_evaluations(suite: Suite, stages: Iterable[Stage], origins: Mapping[str, Origin]) -> None:
    """Say which of some evaluations measure nothing, since no method has the encoders that they need.

    Args:
        stages: of the suite's plan.
        origins: those of encoders from elsewhere, by name.

    Raises:
        UserError: no other evaluation measures anything, either; or clips of one frame are to be reordered.
    """
    planned = [stage for stage in stages if isinstance(stage.config, EvaluationStage)]
    names = {stage.config.name for stage in planned if isinstance(stage.config, EvaluationStage)}
    for name in dict.fromkeys(measure.evaluation for measure in suite.evaluate):
        needed = NEEDS.get(type(suite.evaluations[name]))
        if needed and name not in names:
            said = f"{name} measures nothing: no method and none of `encoders` has {needed}"
            if not planned:
                raise UserError(f"{said}. Try: add one that has, or another evaluation")
            log.warning("%s", said)
    for stage in planned:
        _check_frames(stage, origins)


def _check_frames(stage: Stage, origins: Mapping[str, Origin]) -> None:
    """Refuse a temporal probe of clips that have one frame."""
    settings = getattr(stage.config, "settings", None)
    if not isinstance(settings, Temporal):
        return
    encoder = dict(dict(stage.inputs)["features"].inputs)["encoders"]
    for declared in declared_inputs(encoder, "video", origins):
        if isinstance(declared, VideoInput) and (settings.frames or declared.frames) == 1:
            raise UserError(
                f"{stage.name}: clips of 1 frame have neither order nor rate. Try: `frames` above 1 in the evaluation "
                f"or in the encoder's input, or leave the encoder out of the suite"
            )
