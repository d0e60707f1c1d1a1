"""Everything that ships as data loads, and fits together."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from xdcbench.config.evaluation import Evaluation, Finetune
from xdcbench.config.executors import load_executor
from xdcbench.config.load import load_dataset, load_suite, load_table, read, validate
from xdcbench.config.models import Models
from xdcbench.config.pretraining import Method, Pretrain
from xdcbench.config.released import registry
from xdcbench.config.stages import EvaluationStage, IndexStage, RoundStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.models.pretrained.origins import Origin
from xdcbench.pipeline.plan import make_plan
from xdcbench.results.published import load_published
from xdcbench.results.tables.build import build

ROOT = Path(__file__).parents[3]
LOADERS: dict[str, Callable[[Path], object]] = {
    "suites": lambda path: load_suite(path.stem),
    "worlds": lambda path: load_suite("full", world=path.stem),
    "datasets": lambda path: load_dataset(path.stem),
    "tables": lambda path: load_table(path.stem),
    "evaluations": lambda path: TypeAdapter[object](Evaluation).validate_python(read(path)),
    "methods": lambda path: validate(Method, read(path), where=str(path)),
    "released": lambda path: [registry()[name] for name in read(path)["weights"]],
    "models": lambda path: validate(Models, read(path), where=str(path)),
    "executors": lambda path: load_executor(path.stem),
    "pretrain": lambda path: validate(Pretrain, read(path), where=str(path)),
}
SHIPPED_IN = ("configs", "tables", "baselines/methods", "baselines/released")
SHIPPED = [p for part in SHIPPED_IN for p in (ROOT / part).rglob("*.y*ml")]
SUITES = sorted(path.stem for path in SHIPPED if path.parent.name == "suites")
REAL = ["full", *(f"table{number}" for number in range(1, 8))]
"""Suites of the paper's tables."""
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
    assert re.search(r"Time: [^.]*(minutes?|hours)", said)


@pytest.mark.parametrize("name", [*REAL, "audioset_eval"])
def test_header_of_a_suite_states_the_clips_of_its_pretraining(name: str, everything_here: Sources) -> None:
    """And hours that follow from them at the rate that it assumes."""
    text = (ROOT / "configs" / "suites" / f"{name}.yaml").read_text()
    stated = re.search(
        r"Time: ([\d,]+) hours .* assumed ([\d,]+) clips a second.*\n# Pretraining: ([\d,]+)", text
    )
    assert stated
    hours, rate, millions = (float(number.replace(",", "")) for number in stated.groups())
    suite = load_suite(name)
    rounds = [s.config for s in make_plan(suite, everything_here(suite)).stages if s.kind == "round"]
    settings = [config.pretrain for config in rounds if isinstance(config, RoundStage)]
    assert millions == sum(s.schedule.epochs * (s.clips_per_epoch or 0) for s in settings) / 1e6
    assert hours == pytest.approx(millions * 1e6 / rate / 3600, abs=1)


@pytest.mark.parametrize(("name", "encoders"), [("released", 5), ("peers", 34)])
def test_header_of_released_encoders_states_the_hours_of_their_clips(name: str, encoders: int) -> None:
    """Clips of 12 epochs of training and 10 of each test item, of the official counts, for each video encoder."""
    text = (ROOT / "configs" / "suites" / f"{name}.yaml").read_text()
    stated = re.search(r"Time: (\d+) hours .* assumed (\d+) clips", text)
    assert stated
    suite = load_suite(name)
    clips = 0
    for measure in suite.evaluate:
        settings = suite.evaluations[measure.evaluation]
        if not isinstance(settings, Finetune):
            continue
        counts = [suite.datasets[measure.dataset].counts[split] for split in measure.splits]
        clips += sum(settings.schedule.epochs * c["train"] + settings.num_clips * c["test"] for c in counts)
    assert sum(given.video is not None for given in suite.encoders.values()) == encoders
    assert float(stated[1]) == pytest.approx(encoders * clips / float(stated[2]) / 3600, abs=0.5)


@pytest.mark.parametrize("name", [*(name for name in REAL if name != "full"), "released"])
def test_header_of_a_suite_states_scores_as_published(name: str) -> None:
    """Every decimal number of a table's header is one of that table's published numbers."""
    text = (ROOT / "configs" / "suites" / f"{name}.yaml").read_text()
    header = [line for line in text.splitlines() if line.startswith("#")]
    rows = load_published(ROOT / "baselines" / "published.csv")
    first = next(number for number, line in enumerate(header) if "Score to expect" in line)
    said = re.findall(r"\b\d+\.\d(?![\d])", " ".join(header[first:]))
    (table,) = load_suite(name).tables
    own = {row.value for row in rows if str(row.table) == table.removeprefix("table")}
    assert len(said) > 5
    assert {float(number) for number in said} - {0.01, 0.08} <= own


@pytest.mark.parametrize("name", [*REAL, "audioset_eval"])
def test_suite_is_the_same_in_the_synthetic_world_but_for_sizes(name: str, everything_here: Sources) -> None:
    def shape(suite: Suite) -> set[str]:
        named = {
            re.sub(r"/k=\d+|/round\d+", "", s.name) for s in make_plan(suite, everything_here(suite)).stages
        }
        return named - {"world"}

    real, synthetic = load_suite(name), load_suite(name, world="small")
    assert shape(synthetic) == shape(real)
    assert synthetic.tables == real.tables
    assert synthetic.world is not None and real.world is None


@pytest.mark.parametrize("name", ["kinetics_sounds", "severe"])
def test_suite_of_a_small_world_measures_what_the_world_holds(name: str, everything_here: Sources) -> None:
    suite = load_suite(name, world="small")
    plan = make_plan(suite, everything_here(suite))
    indices = {s.config.name for s in plan.stages if isinstance(s.config, IndexStage)}
    assert indices <= {"kinetics400", "kinetics_sounds", "ucf101", "ucf101_1000"}
    assert len(indices) >= 2 and suite.tables == (name,)


@pytest.mark.parametrize("name", SUITES)
def test_suite_expands_and_uses_all_that_it_composes(name: str, everything_here: Sources) -> None:
    suite = load_suite(name)
    plan = make_plan(
        suite,
        everything_here(suite),
        origins={name: Origin(tuple(of.by_modality)) for name, of in suite.encoders.items()},
    )
    assert not any(stage.reason for stage in plan.stages)
    kinds = {stage.kind for stage in plan.stages}
    assert ("world" in kinds) == (suite.world is not None)
    configs = [stage.config for stage in plan.stages]
    measured = {config.name for config in configs if isinstance(config, EvaluationStage)}
    asked = {measure.evaluation for part in suite.leaves for measure in part.evaluate}
    assert measured == asked == set(suite.evaluations)
    assert {c.name for c in configs if isinstance(c, IndexStage)} == set(suite.datasets)


@pytest.mark.parametrize("name", SUITES)
def test_tables_of_a_suite_have_a_column_for_what_it_measures(name: str) -> None:
    suite = load_suite(name)
    columns = [column for table in suite.tables for column in load_table(table).columns]
    shown = {(column.evaluation, column.dataset) for column in columns}
    measured = {(m.evaluation, m.dataset) for part in suite.leaves for m in part.evaluate}
    assert measured <= shown


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED if p.parent.name == "tables"))
def test_table_finds_its_published_rows(name: str) -> None:
    table = load_table(name)
    grid = build(table, [], load_published(ROOT / "baselines" / "published.csv"))
    assert any(group.rows for group in grid.groups) == bool(table.published)


def test_suites_name_only_datasets_of_the_library() -> None:
    """Or others of their labels, which lie in the same folder."""
    library = [load_dataset(path.stem) for path in SHIPPED if path.parent.name == "datasets"]
    places = {(dataset.folder, dataset.adapter) for dataset in library}
    for name in SUITES:
        assert {(d.folder, d.adapter) for d in load_suite(name).datasets.values()} <= places
