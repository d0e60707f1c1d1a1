"""The world that a folder holds, read back."""

from pathlib import Path

import pytest

from xdcbench.config.data import Factors, World
from xdcbench.data.synthetic import write_world
from xdcbench.data.synthetic.read import read_world
from xdcbench.errors import UserError


def test_a_world_is_read_as_it_was_written(tmp_path: Path) -> None:
    world = World(classes=2, esc50_per_fold=1, factors=Factors(hue=0.5, noise=0))
    write_world(world, tmp_path)
    assert read_world(tmp_path) == world


@pytest.mark.parametrize("text", ["", "[]", '{"world": 3}', '{"world": {"classes": 99}}', "{"])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "world.json").write_text(text)
    with pytest.raises(UserError, match=r"world\.json"):
        read_world(tmp_path)
