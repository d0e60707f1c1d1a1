"""Everything that ships as data loads, and fits together."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from xdcbench.config import load_dataset, load_suite, load_table, read, validate
from xdcbench.plan import make_plan
from xdcbench.results.published import load_published
from xdcbench.results.tables import build
from xdcbench.schema import Evaluation, Method, Models, Pretrain, Suite
from xdcbench.stages import EvaluationStage, IndexStage, Source

ROOT = Path(__file__).parents[2]
LOADERS: dict[str, Callable[[Path], object]] = {
    "suites": lambda path: load_suite(path.stem),
    "datasets": lambda path: load_dataset(path.stem),
    "tables": lambda path: load_table(path.stem),
    "evaluations": lambda path: TypeAdapter[object](Evaluation).validate_python(read(path)),
    "methods": lambda path: validate(Method, read(path), where=str(path)),
    "models": lambda path: validate(Models, read(path), where=str(path)),
    "pretrain": lambda path: validate(Pretrain, read(path), where=str(path)),
}
SHIPPED = [p for part in ("configs", "tables", "baselines/methods") for p in (ROOT / part).rglob("*.y*ml")]
SUITES = sorted(path.stem for path in SHIPPED if path.parent.name == "suites")
Sources = Callable[[Suite], Mapping[str, Source]]


@pytest.mark.parametrize("path", sorted(SHIPPED), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shipped_file_says_what_it_is_and_loads(path: Path) -> None:
    assert path.suffix == ".yaml"
    assert path.read_text().startswith("# ")
    assert LOADERS[path.parent.name](path) is not None


def test_every_part_ships_something() -> None:
    assert {path.parent.name for path in SHIPPED} == LOADERS.keys()


@pytest.mark.parametrize("name", SUITES)
def test_header_of_a_suite_names_its_command_hardware_and_time(name: str) -> None:
    lines = (ROOT / "configs" / "suites" / f"{name}.yaml").read_text().splitlines()
    header = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    assert re.match(rf"xdcbench run --suite {name}\b", header[0])
    said = " ".join(header)
    assert re.search(r"Hardware: [^.]*(CPU|GPU).*GiB\.", said)
    assert re.search(r"Time: [^.]*minutes", said)


@pytest.mark.parametrize("name", SUITES)
def test_suite_expands_and_uses_all_that_it_composes(name: str, everything_here: Sources) -> None:
    suite = load_suite(name)
    plan = make_plan(suite, everything_here(suite))
    assert not any(stage.reason for stage in plan.stages)
    kinds = {stage.kind for stage in plan.stages}
    assert ("world" in kinds) == (suite.world is not None)
    configs = [stage.config for stage in plan.stages]
    measured = {config.name for config in configs if isinstance(config, EvaluationStage)}
    assert measured == {measure.evaluation for measure in suite.measure} == set(suite.evaluations)
    assert {c.name for c in configs if isinstance(c, IndexStage)} == set(suite.datasets)


@pytest.mark.parametrize("name", SUITES)
def test_tables_of_a_suite_have_a_column_for_what_it_measures(name: str) -> None:
    suite = load_suite(name)
    columns = [column for table in suite.tables for column in load_table(table).columns]
    shown = {(column.evaluation, column.dataset) for column in columns}
    measured = {(measure.evaluation, measure.dataset) for measure in suite.measure}
    assert measured <= shown


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED if p.parent.name == "tables"))
def test_table_finds_its_published_rows(name: str) -> None:
    table = load_table(name)
    grid = build(table, [], load_published(ROOT / "baselines" / "published.csv"), titles={})
    assert any(group.rows for group in grid.groups) == bool(table.published)


def test_real_suites_name_only_data_sets_of_the_library() -> None:
    library = {path.stem for path in SHIPPED if path.parent.name == "datasets"}
    for name in SUITES:
        assert set(load_suite(name).datasets) <= library
