"""Names of datasets as tables show them."""

from collections.abc import Mapping
from functools import cache

from xdcbench.config.load import read
from xdcbench.config.paths import folder

AS_PUBLISHED = {
    "flickr": "Flickr-SoundNet",
    "howto100m": "HowTo100M",
    "ig_kinetics": "IG-Kinetics",
    "ig_kinetics+kinetics400": "IG-Kinetics, Kinetics-400",
    "ig_random": "IG-Random",
    "youtube8m": "YouTube-8M",
}
"""Titles of pretraining data of published numbers that the library does not have, or has by another title."""


@cache
def dataset_titles() -> Mapping[str, str]:
    """Display name of each dataset of the library, and of those that published numbers name."""
    library = {path.stem: read(path) for path in sorted((folder("configs") / "datasets").glob("*.yaml"))}
    return {name: str(tree.get("title") or name) for name, tree in library.items()} | AS_PUBLISHED
