"""Check that shards hold what the encoders of a plan declare to take."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xdcbench.config.base import Modality
from xdcbench.config.evaluation import modalities_of
from xdcbench.config.models import Input, PretrainedEncoders, VideoInput
from xdcbench.config.stages import EvaluationStage, FeaturesStage, InitStage, PretrainedStage, RoundStage
from xdcbench.errors import UserError
from xdcbench.models.pretrained.exported import METADATA_FILE, read_stated
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.graph import Stage

if TYPE_CHECKING:
    from xdcbench.data.shards.reader import ShardReader


def check_fit(
    stages: Sequence[Stage], shards: Mapping[str, "ShardReader"], origins: Mapping[str, Origin] | None = None
) -> None:
    """Refuse shards of fewer pixels, frames or samples per second than an encoder that reads them declares.

    Originals that have less are kept as they are, so shards are refused only where something was cut: where a
    video or image reaches their short side or frame rate. ``origins`` are those of encoders from elsewhere, by name.

    Raises:
        UserError: names the shards, the encoder's input and the fix.
    """
    asked: dict[tuple[str, Input], None] = {}
    for stage in stages:
        inputs = dict(stage.inputs)
        data = inputs["data"].name.removeprefix("index/") if "data" in inputs else ""
        if data in shards and "encoders" in inputs:
            for modality in _modalities(stage):
                found = declared_inputs(inputs["encoders"], modality, origins or {})
                asked |= {(data, _as_read(declared, stage)): None for declared in found}
    for data, declared in asked:
        _check(data, shards[data], declared)


def _modalities(stage: Stage) -> tuple[Modality, ...]:
    """What a stage decodes for its encoders."""
    config = stage.config
    if isinstance(config, RoundStage):
        used = {modality for clustering in config.clusterings.values() for modality in clustering.features}
        return tuple(used | {modality for modality in config.heads if config.heads[modality]})
    if isinstance(config, FeaturesStage):
        return (config.modality,)
    return modalities_of(config.settings) if isinstance(config, EvaluationStage) else ()


def _as_read(declared: Input, stage: Stage) -> Input:
    """The clip or window that a stage reads for an encoder."""
    config = stage.config
    if isinstance(config, FeaturesStage) and isinstance(declared, VideoInput):
        return declared.at_rate(config.rate)
    return declared


def declared_inputs(encoder: Stage, modality: Modality, origins: Mapping[str, Origin]) -> Iterator[Input]:
    """What the encoder that a stage starts from declares."""
    while isinstance(encoder.config, RoundStage):
        encoder = dict(encoder.inputs)["encoders"]
    if isinstance(encoder.config, InitStage):
        yield encoder.config.models.by_modality[modality].input
    if isinstance(encoder.config, PretrainedStage):
        config = encoder.config
        yield from pretrained_inputs(config.encoders, modality, origins.get(config.name))


def pretrained_inputs(
    pretrained: PretrainedEncoders, modality: Modality, origin: Origin | None = None
) -> Iterator[Input]:
    """What encoders from elsewhere declare; nothing where they are not here."""
    if origin and modality in origin.inputs:
        yield origin.inputs[modality]
    elif pretrained.run is not None:
        run = Path(pretrained.run)
        if (run / METADATA_FILE).is_file():
            yield read_stated(run)["models"].by_modality[modality].input
    elif part := pretrained.by_modality.get(modality):
        yield part.model.input


def _check(data: str, reader: "ShardReader", declared: Input) -> None:
    settings = reader.manifest.settings
    if not isinstance(declared, VideoInput):
        if (rate := declared.sample_rate) > settings.sample_rate:
            held = f"audio of {settings.sample_rate} Hz"
            raise _refusal(data, reader, held, f"{rate} Hz", f"--sample-rate {rate}")
        return
    small = declared.short_side[1] > settings.short_side
    slow = declared.fps > settings.fps
    if not (small or slow):
        return
    sizes = reader.items(["width", "height", "fps"])
    if small and (sizes[["width", "height"]].min(axis=1) >= settings.short_side).any():
        wanted = f"up to {declared.short_side[1]} pixels"
        mend = f"--short-side {declared.short_side[1] + declared.short_side[1] % 2}"  # shards have even sides
        raise _refusal(data, reader, f"a short side of {settings.short_side} pixels", wanted, mend)
    if slow and (sizes["fps"] >= settings.fps).any():
        wanted, mend = f"{declared.fps:g} frames per second", f"--fps {declared.fps:g}"
        raise _refusal(data, reader, f"{settings.fps:g} frames per second", wanted, mend)


def _refusal(data: str, reader: "ShardReader", held: str, wanted: str, mend: str) -> UserError:
    return UserError(
        f"shards {reader.where} of {data} hold {held}, an encoder takes {wanted}; prepare others with {mend}, "
        f"lower the encoder's input, or read the original files with --data-root"
    )
