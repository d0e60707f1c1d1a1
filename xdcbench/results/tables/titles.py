"""Names of datasets as tables and pages show them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from xdcbench.config.load import read
from xdcbench.config.paths import folder
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.texts import flat

AS_PUBLISHED = {
    "flickr": "Flickr-SoundNet",
    "howto100m": "HowTo100M",
    "ig_kinetics": "IG-Kinetics",
    "ig_kinetics+kinetics400": "IG-Kinetics, Kinetics-400",
    "ig_random": "IG-Random",
    "youtube8m": "YouTube-8M",
}
"""Titles of pretraining data of published numbers that the library does not have, or has by another title."""


def dataset_titles(stated: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Display name of each dataset: as ``stated``, by name, else of the library or of published numbers.

    Several datasets of one title have their names behind it. One that is stated by different titles has the library's,
    or none.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for name, title in stated:
        found[name].add(flat(title) or name)
    agreed = {name: title for name, (title, *others) in found.items() if not others}
    return _told_apart({**_library(), **agreed})


def titles_in(stores: Sequence[RunStore]) -> dict[str, str]:
    """As `dataset_titles`, with the titles of the datasets that results folders have indexed."""
    indices = ((s, [key for key in s.there() if key.startswith("index-")]) for s in stores)
    return dataset_titles(
        stated_titles(read_facts(store.path(key)) for store, keys in indices for key in store.keys(keys))
    )


def stated_titles(indices: Iterable[RunFacts]) -> Iterator[tuple[str, str]]:
    """Name and title of the dataset of each index, as its run says."""
    for facts in indices:
        config = facts["config"]
        if "name" in config and "title" in config.get("dataset", {}):
            yield config["name"], config["dataset"]["title"]


def _told_apart(titles: dict[str, str]) -> dict[str, str]:
    held = Counter(titles.values())
    made = {name: f"{title} ({name})" if held[title] > 1 else title for name, title in titles.items()}
    return made if made == titles else _told_apart(made)


@cache
def _library() -> Mapping[str, str]:
    library = {path.stem: read(path) for path in sorted((folder("configs") / "datasets").glob("*.yaml"))}
    return {name: str(tree.get("title") or name) for name, tree in library.items()} | AS_PUBLISHED
