"""The start of every method: a pair of randomly initialized encoders; by itself, the scratch baseline."""

from pathlib import Path

from xdcbench.config.keys import config_hash
from xdcbench.config.stages import InitStage
from xdcbench.data.context import Context
from xdcbench.models.encoders import EncoderMetadata, save_encoders
from xdcbench.models.weights import build_encoder


def run(config: InitStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: draw both encoders from the seed; all methods of one seed start from the same pair."""
    encoders = {m: build_encoder(model, seed=config.seed) for m, model in config.models.by_modality.items()}
    metadata = EncoderMetadata(seed=config.seed, config_hash=config_hash(config), models=config.models)
    save_encoders(work, encoders, metadata)
