"""Reads which world a folder holds."""

from pathlib import Path

from xdcbench.config.data import World
from xdcbench.errors import UserError
from xdcbench.utils.documents import RUN_AGAIN, check, read_json


def read_world(root: Path) -> World:
    """The world that ``write_world`` wrote below ``root``.

    Raises:
        UserError: ``world.json`` is missing, damaged, or describes no world.
    """
    path = root / "world.json"
    label = read_json(path, fix=RUN_AGAIN)
    if not isinstance(label, dict) or not isinstance(label.get("world"), dict):
        raise UserError(f"{path} describes no world. Try: {RUN_AGAIN}")
    world: World = check(World, label["world"], str(path), fix=RUN_AGAIN)
    return world
