"""Whether stores hold what the encoders of a plan declare to take."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from xdcbench.data.prepared.reader import Prepared
from xdcbench.errors import UserError
from xdcbench.models.exported import CARD, read_stated
from xdcbench.schema import AudioInput, Given, Modality, Models, VideoInput
from xdcbench.stages import EvaluationStage, FeaturesStage, GivenStage, InitStage, RoundStage, Stage

Input = VideoInput | AudioInput


def check_fit(stages: Sequence[Stage], stores: Mapping[str, Prepared]) -> None:
    """Refuse a store of fewer pixels, frames or samples per second than an encoder that reads it declares.

    A store keeps originals that have less as they are, so it is refused only where it has cut something:
    where a picture reaches the store's short side or rate.

    Args:
        stages: of a plan.
        stores: by data set.

    Raises:
        UserError: names the store, the encoder's input and the mend.
    """
    asked: dict[tuple[str, Input], None] = {}
    for stage in stages:
        inputs = dict(stage.inputs)
        data = inputs["data"].name.removeprefix("index/") if "data" in inputs else ""
        if data in stores and "encoders" in inputs:
            for modality in _modalities(stage):
                asked |= {(data, declared): None for declared in _inputs(inputs["encoders"], modality)}
    for data, declared in asked:
        _check(data, stores[data], declared)


def _modalities(stage: Stage) -> tuple[Modality, ...]:
    """What a stage decodes for its encoders."""
    config = stage.config
    if isinstance(config, RoundStage):
        used = {modality for clustering in config.clusterings.values() for modality in clustering.features}
        return tuple(used | {modality for modality in config.heads if config.heads[modality]})
    if isinstance(config, FeaturesStage):
        return (config.modality,)
    return (config.settings.modality,) if isinstance(config, EvaluationStage) else ()


def _inputs(encoder: Stage, modality: Modality) -> Iterator[Input]:
    """What the encoder that a stage starts from declares."""
    while isinstance(encoder.config, RoundStage):
        encoder = dict(encoder.inputs)["encoders"]
    if isinstance(encoder.config, InitStage):
        yield _declared(encoder.config.models, modality)
    if isinstance(encoder.config, GivenStage):
        yield from _given(encoder.config.given, modality)


def _given(given: Given, modality: Modality) -> Iterator[Input]:
    """What encoders from elsewhere declare; nothing where they are not here."""
    if given.run is not None:
        run = Path(given.run)
        if (run / CARD).is_file():
            yield _declared(read_stated(run)["models"], modality)
    elif modality == "video" and given.video:
        yield given.video.model.input
    elif modality == "audio" and given.audio:
        yield given.audio.model.input


def _declared(models: Models, modality: Modality) -> Input:
    return models.video.input if modality == "video" else models.audio.input


def _check(data: str, store: Prepared, declared: Input) -> None:
    settings = store.label.settings
    if isinstance(declared, AudioInput):
        if declared.rate > settings.sound_rate:
            mend = f"--sound-rate {declared.rate}"
            raise _refusal(data, store, f"sound of {settings.sound_rate} Hz", f"{declared.rate} Hz", mend)
        return
    small = declared.short_side[1] > settings.short_side
    slow = declared.rate > settings.rate
    if not (small or slow):
        return
    pictures = store.items(["width", "height", "rate"])
    if small and (pictures[["width", "height"]].min(axis=1) >= settings.short_side).any():
        wanted = f"up to {declared.short_side[1]} pixels"
        mend = f"--short-side {declared.short_side[1] + declared.short_side[1] % 2}"  # stores have even sides
        raise _refusal(data, store, f"a short side of {settings.short_side} pixels", wanted, mend)
    if slow and (pictures["rate"] >= settings.rate).any():
        wanted, mend = f"{declared.rate:g} frames per second", f"--rate {declared.rate:g}"
        raise _refusal(data, store, f"{settings.rate:g} frames per second", wanted, mend)


def _refusal(data: str, store: Prepared, held: str, wanted: str, mend: str) -> UserError:
    return UserError(
        f"store {store.where} of {data} holds {held}, an encoder takes {wanted}; prepare another with {mend}, "
        f"lower the encoder's input, or read the original files with --data-root"
    )
