"""The stage that writes a synthetic world; its run directory is the data root of the suite."""

from pathlib import Path

from xdcbench.config.stages import WorldStage
from xdcbench.data.context import Context
from xdcbench.data.synthetic import write_world
from xdcbench.utils.progress import track


def run(config: WorldStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: write every file of the world that is not there yet."""
    with track("writing the synthetic world", 0) as tick:

        def progress(done: int, total: int) -> None:
            tick.total = total
            tick(done - tick.done)

        write_world(config.world, work, progress=progress)
