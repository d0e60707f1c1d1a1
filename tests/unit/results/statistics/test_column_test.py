"""The best number of a column is tested as `compare --all-pairs` tests it."""

from pathlib import Path

import pytest

from tests.unit.results.statistics.made_runs import Measure, rights
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.column_test import cell_p, column_ps
from xdcbench.results.statistics.compare import compare


def test_p_of_seeds_and_of_splits_are_those_of_compare(out: Path, measure: Measure) -> None:
    cells = {}
    for name, share in (("xdc", 0.8), ("sdc", 0.5)):
        cells[name, "ucf101"] = [
            measure(
                name,
                rights(share, 10 * len(name) + s + (50 if name == "xdc" else 0)),
                pretrain_seed=s,
                seed=s,
            )
            for s in range(6)
        ]
        cells[name, "hmdb51"] = [
            measure(name, rights(share, s + (9 if name == "xdc" else 0)), split=str(s), dataset="hmdb51")
            for s in (1, 2)
        ]
    for block in compare(["xdc", "sdc"], [out]):
        whole = block.comparisons[0].whole
        assert whole is not None
        p = cell_p(cells["xdc", block.dataset], cells["sdc", block.dataset], [RunStore(out)])
        assert p == whole.p


def test_the_family_is_that_of_all_pairs(out: Path, measure: Measure) -> None:
    """Never below Holm's p over all pairs, and equal to it where the tested pairs have the least p values."""
    names = ("xdc", "cdc", "sdc", "mdc")
    shares = (1.0, 0.5, 0.5, 0.5)
    cells = [
        [measure(name, rights(share, i))] for i, (name, share) in enumerate(zip(names, shares, strict=True))
    ]
    (block,) = compare(names, [out], all_pairs=True)
    wanted = [one.duels[0].p_holm for one in block.comparisons if one.a == "xdc"]
    found = column_ps(cells[0], cells[1:], lambda a, b: cell_p(a, b, [RunStore(out)]))
    assert found == pytest.approx(wanted)


def test_what_cannot_be_paired_has_no_p(out: Path, measure: Measure) -> None:
    store = RunStore(out)
    one, other = measure("xdc", rights(0.9, 1)), measure("sdc", rights(0.4, 2))
    assert cell_p([one], [other], [store]) is not None
    assert cell_p([one], [other.model_copy(update={"fingerprint": "other"})], [store]) is None
    assert cell_p([one], [other.model_copy(update={"split": "2"})], [store]) is None
    of = {"metric": "nmi_class"}
    assert cell_p([one.model_copy(update=of)], [other.model_copy(update=of)], [store]) is None
    (store.path(other.run) / "predictions.parquet").unlink()
    assert cell_p([one], [other], [store]) is None
    assert column_ps([one], [[other]], lambda a, b: cell_p(a, b, [store])) == [None]
