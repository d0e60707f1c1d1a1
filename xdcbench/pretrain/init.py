"""The start of every method: a pair of randomly initialised encoders; by itself, the scratch baseline."""

from pathlib import Path

from xdcbench.context import Context
from xdcbench.models.encoders import Card, save_encoders
from xdcbench.models.weights import build_encoder
from xdcbench.stages import InitStage, recipe


def run(config: InitStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: draw both encoders from the seed; all methods of one seed start from the same pair."""
    encoders = {
        "video": build_encoder(config.models.video, seed=config.seed),
        "audio": build_encoder(config.models.audio, seed=config.seed),
    }
    save_encoders(work, encoders, Card(seed=config.seed, recipe=recipe(config), models=config.models))  # type: ignore[arg-type]
