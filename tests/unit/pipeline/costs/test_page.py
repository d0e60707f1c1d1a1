"""docs/explanation/costs.md against the code: its table of the paper's rows is made anew from the suites."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from xdcbench.config.stages import IndexStage
from xdcbench.pipeline.costs.sizes import Sizes, sizes_of
from xdcbench.pipeline.costs.work import Work, Works, total
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.results.run_store import RunStore

PAGE = Path(__file__).parents[4] / "docs" / "explanation" / "costs.md"
TABLES = [f"table{n}" for n in range(1, 8)]
PUBLISHED = {
    "kinetics400": {"official": {"train": 240_000, "test": 19_906}},
    "ig_random": {"all": {"train": 65_000_000}},
    "ig_kinetics": {"all": {"train": 65_000_000}},
}
"""Sizes as published, of the sets whose configuration counts none."""

FLOPS = 0.05 * 312e12
"""Assumed: 5 % of the peak of an A100 in dense bf16."""


def published(index: Stage) -> Sizes | None:
    config = index.config
    assert isinstance(config, IndexStage)
    dataset = config.dataset.model_copy(update={"counts": PUBLISHED.get(config.name, config.dataset.counts)})
    return sizes_of(replace(index, config=config.model_copy(update={"dataset": dataset})), NOWHERE)


NOWHERE = RunStore(Path("nowhere"), write=False)


def rows(table: str) -> Iterator[tuple[str, Work, Work]]:
    """Each pretrained or random pair of encoders of a table: its name, the work of making and of measuring it."""
    plan = plan_launch(
        Request(suite=table, results=NOWHERE.root, device="cpu", precision="bf16"), write=False
    ).plan
    works = Works(published)
    named: dict[str, list[Stage]] = {}
    for stage in plan.stages:
        if stage.kind not in ("index", "init"):
            named.setdefault(stage.name.partition("/seed")[0], []).append(stage)
    for name, stages in named.items():
        made = [s for s in stages if s.kind == "round"]
        rest = [s for s in stages if s.kind != "round"]
        yield name, total(map(works.of, made)), total(map(works.of, rest))


def line(table: str, name: str, made: Work, measured: Work) -> str:
    work = made + measured
    assert not work.unknown
    clips = [max(work.clips[f"{do} video"], work.clips[f"{do} audio"]) for do in ("read", "encode", "train")]
    flop, tested = sum(work.flop.values()), sum(measured.flop.values())
    cells = [
        table.removeprefix("table"),
        name,
        *(f"{n / 1e6:,.2f}" for n in clips),
        f"{flop / 1e15:,.0f}",
        f"{tested / 1e15:,.2f}",
        f"{flop / FLOPS / 3600:,.1f}",
        f"{work.written / 1e9:,.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_a_table_costs_what_the_page_says(table: str) -> None:
    number = table.removeprefix("table")
    stated = [text for text in PAGE.read_text().splitlines() if text.startswith(f"| {number} | ")]
    found = [line(table, *row) for row in rows(table)]
    assert stated == found, "docs/explanation/costs.md should say:\n" + "\n".join(found)
