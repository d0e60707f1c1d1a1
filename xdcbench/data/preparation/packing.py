"""Staged originals packed into a shard, in the order in which they are added."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xdcbench.data.preparation.staging import Facts, members
from xdcbench.data.preparation.tar import END, space, write_shard
from xdcbench.data.scanning.items import LABELS, Scan
from xdcbench.data.shards.layout import KINDS, NO_SHARD, Shard, member_name


class ShardBatch:
    """What goes into the next shard: staged originals, and each item's ``.json``, made from the scan."""

    def __init__(self, staging: Path, scan: Scan) -> None:
        self.staging, self.classes = staging, scan.classes
        columns = ["id", "label", *([LABELS] if LABELS in scan.items else [])]
        self.items = scan.items.drop_duplicates("path").set_index("path")[columns]
        self.clear()

    def clear(self) -> None:
        """Begin the next shard."""
        self.facts: list[Facts] = []
        self.bytes = len(END)

    @property
    def empty(self) -> bool:
        """Whether a shard of it would hold nothing."""
        return self.bytes == len(END)

    def add(self, facts: Facts) -> None:
        """Add an original, also one that has no member."""
        self.facts.append(facts)
        self.bytes += self.size(facts)

    def size(self, facts: Facts) -> int:
        """Bytes that an original takes in a shard."""
        if not facts["members"]:
            return 0
        return space(len(self._description(facts))) + sum(
            space(size) for _, size, _ in facts["members"].values()
        )

    def write(self, path: Path) -> Shard:
        """Write the shard; OSError where that cannot be done."""
        shard, offsets = write_shard(path, self._contents())
        places = iter(offsets)
        for facts in self.facts:
            facts["offsets"] = {kind: next(places) for kind in facts["members"]}
            if facts["members"]:
                next(places)  # of the description
        return shard

    def rows(self, shard: int = NO_SHARD) -> list[dict[str, Any]]:
        """Rows of `catalog.ROW`, hashes in hex, of what was added; ``shard`` is the position of theirs."""
        return [_row(facts, shard if facts["members"] else NO_SHARD) for facts in self.facts]

    def _contents(self) -> Iterator[tuple[str, Path | bytes]]:
        for facts in self.facts:
            yield from members(self.staging, facts)
            if facts["members"]:
                yield member_name(facts["number"], "json"), self._description(facts)

    def _description(self, facts: Facts) -> bytes:
        """The item as other readers of the shard may want it; its labels are those at the time of preparing."""
        item: Any = self.items.loc[facts["path"]]
        label = int(item["label"])
        said = {
            "id": item["id"],
            "label": label,
            "class": self.classes[label] if label >= 0 else None,
            **({"labels": [int(i) for i in item[LABELS]]} if LABELS in item else {}),
            "duration": facts["duration"],
            **{f"{kind}_start": 0.0 for kind in facts["members"]},
            **{name: facts[name] for name in ("width", "height", "fps") if facts[name]},
        }
        return json.dumps(said).encode()


def _row(facts: Facts, shard: int) -> dict[str, Any]:
    row = {name: value for name, value in facts.items() if name not in ("members", "offsets")}
    for kind in KINDS:
        _, size, sha256 = facts["members"].get(kind, ("", 0, None))
        offset = facts.get("offsets", {}).get(kind, 0)
        row |= {f"{kind}_offset": offset, f"{kind}_size": size, f"{kind}_sha256": sha256}
    return row | {"shard": shard}
