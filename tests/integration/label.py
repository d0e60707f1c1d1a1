"""Label the tiny world's items as a round does, by all processes of torchrun: ``RUNS WORLD WORK BATCH [ITEMS]``.

Small batches give the few items of the tiny world more blocks than there are processes.
"""

import logging
import sys
from pathlib import Path

from tests.unit.tiny import CPU, round_config
from xdcbench.data.index import Index
from xdcbench.models import inference
from xdcbench.models.encoders import clips_for, load_encoders
from xdcbench.pretraining import clustering as clusters
from xdcbench.pretraining.pseudo_labels import make_pseudo_labels
from xdcbench.pretraining.round_context import RoundContext
from xdcbench.utils.processes import start, stop

METHODS = {"xdc": {"k": 2}, "cdc": {"k": 2, "preprocess": "pca_whiten_l2", "pca_dim": 4}}


def label(runs: Path, world: Path, work: Path, batch: int, items: int | None) -> None:
    """Leave what a round's clustering leaves, of XDC and of CDC with a PCA, in folders of ``work``."""
    inference.BATCH = clusters.BLOCK = batch
    index = Index.load(runs / "kinetics400")
    for method, settings in METHODS.items():
        if items is not None and method != "cdc":
            continue  # its audio clusters are more than the items
        config = round_config(method, **settings)
        encoders = load_encoders(runs / "init", config.encoders, device=CPU)
        (work / method).mkdir(parents=True, exist_ok=True)
        rows = index.rows("official", "train")[:items]
        clips = clips_for(index, world / "kinetics400", encoders)
        make_pseudo_labels(
            RoundContext(config, index, rows, encoders, clips, runs / "init", work / method, CPU)
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    start()
    try:
        folders, numbers = map(Path, sys.argv[1:4]), [int(word) for word in sys.argv[4:]]
        label(*folders, numbers[0], numbers[1] if len(numbers) > 1 else None)
    finally:
        stop()
