import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score
from typer.testing import CliRunner

from tests.unit.reports.results.made_results import ARABIC, EVIL, write
from xdcbench.cli.main import app
from xdcbench.config.table import Chart as Axis
from xdcbench.errors import UserError
from xdcbench.reports.gather import gather
from xdcbench.reports.leaderboard.page import leaderboard_data
from xdcbench.reports.results.page import page_data, write_report
from xdcbench.reports.results.tables import figures
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.grid import Cell, Grid, Group, Row
from xdcbench.utils.manifest import write_manifest


class Seen(HTMLParser):
    """Ids, links and tags as a parser other than the template engine sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(of["id"])] if "id" in of else []
        self.links += [str(of["href"])[1:]] if str(of.get("href", "")).startswith("#") else []
        self.links += str(of.get("data-runs", "")).split()

    def handle_data(self, data: str) -> None:
        self.text += data


def page(folder: Path, beside: Path | None = None) -> str:
    out = folder.parent / "page.html"
    list(write_report([folder], beside, out))
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "results")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "earlier", right={"xdc": (100, 110), "sdc": (90,)})


@pytest.mark.parametrize("compared", [False, True])
def test_the_same_records_give_the_same_bytes(
    tmp_path: Path, folder: Path, beside: Path, compared: bool
) -> None:
    other = beside if compared else None
    first, second = (Path(shutil.copytree(folder, tmp_path / name / "results")) for name in "ab")
    for place in (first, second):  # a message about it must not name the place
        (place / "runs" / "linear_probe-000000000000" / "predictions.parquet").unlink()
    assert page(first, other) == page(second, other)
    assert str(tmp_path) not in page(first, other)


def test_every_link_leads_somewhere_and_every_id_is_one(folder: Path, beside: Path) -> None:
    seen = Seen(page(folder, beside))
    assert len(seen.ids) == len(set(seen.ids))
    assert set(seen.links) <= set(seen.ids)
    assert {f"run-{key}" for key in RunStore(folder, write=False).keys()} <= set(seen.ids)  # noqa: SIM118
    assert any(link.startswith("beside-linear_probe") for link in seen.links)


def test_every_measured_cell_links_to_all_its_runs(folder: Path) -> None:
    (probes,) = (table for table in page_data(gather([folder]))["tables"] if table["name"] == "probes")
    (group,) = probes["groups"]
    cells = {row["labels"][0]: row["cells"][0] for row in group["rows"]}
    assert cells["XDC"]["value"] == f"{(75.0 + 78.0) / 2:.1f}"
    assert cells["XDC"]["runs"] == ("linear_probe-000000000000", "linear_probe-000000000001")
    assert cells["XDC"]["spread"] == "± 2.1"
    low, high = map(float, cells["SDC"]["interval"].strip("[]").split(", "))
    truth = 100 * accuracy_score([1] * 200, [1] * 90 + [0] * 110)
    assert low < truth == float(cells["SDC"]["value"]) < high
    assert cells["XDC"]["rank"] == "best" and cells["SDC"]["rank"] == ""


def test_names_are_text_whatever_they_hold(folder: Path, beside: Path) -> None:
    seen = Seen(page(folder, beside))
    assert "img" not in seen.tags and "b" not in seen.tags
    assert EVIL in seen.text and ARABIC in seen.text
    assert "<b>out of memory</b>" in seen.text


def test_a_table_with_an_axis_is_drawn_in_lines_by_name() -> None:
    def row(k: str, value: float | None, **more: object) -> Row:
        return Row(("XDC", k), "", (Cell(value=value, status="measured", unit="%", **more),))

    measured = (row("128", 60.0, interval=(50.0, 70.0)), row("64", 40.0, spread=2.0), row("128/64", 99.0))
    printed = (replace(row("256", 80.0), cells=(Cell(value=80.0, status="unverified", unit="%"),)),)
    grid = Grid(
        "k",
        ("method", "hyperparameters.k"),
        ("UCF101",),
        (Group("measured", measured), Group("published", printed)),
        (),
    )
    assert figures(grid) == []
    (chart,) = figures(replace(grid, chart=Axis(x="hyperparameters.k", title="clusters k", log=True)))
    ours, paper = chart.legend
    assert [(p.x, p.y, p.low, p.high) for p in ours.points] == [(64, 40, 38, 42), (128, 60, 50, 70)]
    assert [(p.x, p.y) for p in paper.points] == [(256, 80)]
    assert (ours.name, paper.name) == ("XDC", "XDC, published")
    assert ours.style == paper.style and paper.dashed and not ours.dashed


def test_pretraining_has_its_curves_and_its_clusters(folder: Path) -> None:
    (chain,) = page_data(gather([folder]))["pretrainings"]
    charts = {chart.title: chart for chart in chain["charts"]}
    assert set(charts) == {
        *("Loss", "Accuracy on its labels", "Cluster size, least to most"),
        *("NMI with class", "NMI with round before", "Purity"),
    }
    loss, held_out = charts["Loss"].legend
    assert [point.x for point in loss.points] == list(range(1, 9)), "rounds follow each other"
    assert held_out.faint and not loss.faint
    assert [point.y for point in loss.points[:7]] == [4.0 / (n * e) for n in (1, 2) for e in range(1, 5)][:7]
    assert len(charts["Loss"].breaks) == 1
    assert [point.y for point in charts["NMI with class"].legend[0].points] == [0.3, 0.6]
    assert len(charts["NMI with round before"].legend[0].points) == 1
    size = charts["Cluster size, least to most"].legend[0].points[0]
    assert (size.low, size.y, size.high) == (1.0, 2.5, 5.0)
    assert chain["table"][0]["clusters_empty"] == "0" and chain["table"][0]["clusters_size_median"] == "2.5"


def test_data_is_counted_and_what_failed_is_named(folder: Path) -> None:
    data = page_data(gather([folder]))
    (one,) = data["datasets"]
    assert (one["expected"], one["found"], one["decoded"], len(one["failed"])) == (8, 7, 6, 1)
    assert [(item["id"], item["reason"]) for item in one["failed"]] == [(EVIL, "no video")]
    assert one["missing"] == [ARABIC]
    assert len(data["short_runs"]) == len(data["runs"]) - 2, (
        "all but the index and the start went without one"
    )
    assert "not found" in page(folder)


def test_time_is_that_of_all_processes(tmp_path: Path) -> None:
    folder = write(tmp_path / "results")
    path = folder / "runs" / "round-000000000002" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"world_size": 4, "commit": "other"}))
    write_manifest(path.parent)
    data = page_data(gather([folder]))
    first = data["stages"][0]
    assert (first["kind"], first["total"], first["devices"]) == ("round", "2 min 30 s", "4 × cpu, cpu")
    assert first["share"] == pytest.approx(150 / (150 + 2 * (len(data["runs"]) - 2)))
    environments = data["environments"]
    assert environments["columns"] == [len(data["runs"]) - 1, 1]
    assert [row["name"] for row in environments["rows"] if row["differs"]] == ["commit"]


def test_a_failed_attempt_is_told_until_the_run_is_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "results")
    (attempt,) = gather([folder]).attempts
    assert (attempt.times, attempt.error) == (1, "RuntimeError: <b>out of memory</b>")
    shutil.copytree(folder / "runs" / "init-000000000000", folder / "runs" / attempt.key)
    write_manifest(folder / "runs" / attempt.key)
    assert gather([folder]).attempts == ()


def test_several_folders_are_read_as_one(folder: Path, beside: Path) -> None:
    both = gather([folder, beside])
    assert both.name == "results + earlier"
    assert len(both.runs) == len(gather([folder]).runs), "a key counts once"
    assert both.runs["linear_probe-000000000000"].records[0].value == 75.0


def test_a_folder_without_runs_has_a_page(tmp_path: Path) -> None:
    RunStore(tmp_path / "empty")
    text = Seen(page(tmp_path / "empty")).text
    assert "There is no complete run here yet." in text
    assert "There is no number for a table." in text


def test_runs_without_metrics_or_records_are_listed(tmp_path: Path) -> None:
    folder = write(tmp_path / "results")
    for name in ("metrics.jsonl", "records.json", "failed.json"):
        (folder / "runs" / "round-000000000002" / name).unlink()
    write_manifest(folder / "runs" / "round-000000000002")
    (chain,) = page_data(gather([folder]))["pretrainings"]
    assert [len(c.legend[0].points) for c in chain["charts"] if c.x_title == "epoch"] == [4, 4]
    shutil.rmtree(folder / "runs" / "round-000000000001")
    (chain,) = page_data(gather([folder]))["pretrainings"]
    assert chain["charts"] == [] and "No metrics were kept." in page(folder)


def test_numbers_of_a_dataset_that_no_table_knows_are_on_the_page(tmp_path: Path) -> None:
    folder = write(tmp_path / "results")
    run = folder / "runs" / "linear_probe-000000000000"
    text = (run / "records.json").read_text()
    (run / "records.json").write_text(text.replace('"dataset": "kinetics400"', '"dataset": "mine"'))
    write_manifest(run)
    assert [table["name"] for table in page_data(gather([folder]))["tables"]][-1] == "dataset-mine"
    assert "Results on mine (%)" in Seen(page(folder)).text


def test_datasets_are_called_by_their_titles(tmp_path: Path) -> None:
    own, title = {"dataset": "mine", "pretrain_data": "mine"}, "My <i>clips</i> & more"
    folder = write(tmp_path / "results", right={"xdc": (150,), "sdc": (90,)}, **own)
    run = folder / "runs" / "index-00000000000a"
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps(facts | {"config": {"name": "mine", "dataset": {"title": title}}})
    )
    write_manifest(run)
    data = page_data(gather([folder]), gather([write(tmp_path / "old", right={"xdc": (90,)}, **own)]))
    assert [group["dataset"] for group in data["board"]["groups"]] == [title]
    assert {row["data"] for row in data["board"]["rows"]} == {title}
    assert data["tables"][-1]["title"] == f"Results on {title} (%)"
    assert [(row["data"], row["what"]) for row in data["moved"]["rows"]] == [
        (title, f"linear_probe on {title}")
    ]
    assert data["moved"]["only"][0]["names"] == [f"sdc@{title}: linear_probe on {title}, top1"]
    (panel,) = (p for p in leaderboard_data(gather([folder]))["panels"] if p["name"] == f"XDC, {title}")
    assert panel["what"].endswith(f" on {title}")
    assert title in Seen(page(folder)).text and "<i>" not in page(folder)


def test_predictions_that_are_gone_cost_intervals_alone(tmp_path: Path) -> None:
    folder = write(tmp_path / "results", right={"xdc": (150,), "sdc": (90,)})
    (folder / "runs" / "linear_probe-000000000000" / "predictions.parquet").unlink()
    write_manifest(folder / "runs" / "linear_probe-000000000000")
    data = page_data(gather([folder]))
    (probes,) = (table for table in data["tables"] if table["name"] == "probes")
    intervals = {row["labels"][0]: row["cells"][0]["interval"] for row in probes["groups"][0]["rows"]}
    assert intervals["XDC"] == "" and re.fullmatch(r"\[.+, .+\]", intervals["SDC"])
    assert len(data["lacking"]) == 1 and "predictions.parquet is missing" in data["lacking"][0]


@pytest.mark.parametrize(
    "name", ["records.json", "run.json", "metrics.jsonl", "failed.json", "manifest.json"]
)
def test_a_damaged_run_is_named_on_the_page_and_left_out(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "results")
    path = folder / "runs" / "round-000000000002" / name
    path.write_bytes(bytes(path.stat().st_size))
    here = gather([folder])
    assert path.parent.name not in here.runs and len(here.runs) == 7
    assert here.damaged == {path.parent.name: f"{name} is not what was written"}
    text = Seen(page(folder)).text
    assert "1 run is damaged" in text and f"{path.parent.name}: {name} is not what was written" in text
    assert "damaged" not in Seen(page(write(tmp_path / "other"))).text


def test_a_run_that_is_damaged_in_one_folder_is_read_from_another(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    (one / "runs" / "round-000000000002" / "records.json").unlink()
    both = gather([one, two])
    assert both.runs["round-000000000002"].folder == two / "runs" / "round-000000000002"
    assert both.damaged == {} and both.records == gather([two]).records


def test_newer_folders_and_records_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "results")
    records = folder / "runs" / "linear_probe-000000000000" / "records.json"
    rows = json.loads(records.read_text())
    records.write_text(json.dumps([row | {"schema_version": 99} for row in rows]))
    write_manifest(records.parent)
    with pytest.raises(UserError, match=r"records.json has records of schema 99.*upgrade"):
        gather([folder])
    (folder / "results.json").write_text('{"schema_version": 99}')
    with pytest.raises(UserError, match="newer xdcbench"):
        gather([folder])


def test_mistakes_name_the_place_and_the_mend(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a results folder\. Try: run a suite"):
        list(write_report([tmp_path / "nowhere"], None, tmp_path))
    with pytest.raises(UserError, match=r"nowhere is not a results folder"):
        list(write_report([folder], tmp_path / "nowhere", tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/index.html: .*give another with --output"):
        list(write_report([folder], None, tmp_path / "file"))


def test_command(folder: Path, beside: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "results"))
    told = CliRunner().invoke(app, ["report", "--results", str(own), "--baseline", str(beside)])
    assert told.exit_code == 0, told.output
    assert "What moved" in (own / "report" / "index.html").read_text()
    assert "8 runs, 30 numbers" in told.output
    assert page(own) == page(folder), "the page in a folder is not part of its results"


def test_out_is_a_file_or_a_folder(tmp_path: Path, folder: Path) -> None:
    (line,) = write_report([folder], None, tmp_path / "deep" / "r.html")
    assert "r.html" in line and (tmp_path / "deep" / "r.html").is_file()
    list(write_report([folder], None, tmp_path / "deep"))
    assert (tmp_path / "deep" / "index.html").read_text() == (tmp_path / "deep" / "r.html").read_text()


def test_pages_of_clusters_are_linked_by_their_titles(tmp_path: Path) -> None:
    folder = write(tmp_path / "results")
    first, second = "round-000000000001", "round-000000000002"
    for name in (second, f"{first}--{second}", "mine"):
        (folder / "clusters" / name).mkdir(parents=True)
        (folder / "clusters" / name / "index.html").write_text("")
    data = page_data(gather([folder]), page=folder / "report" / "index.html")
    assert {one["title"]: one["link"] for one in data["galleries"]} == {
        "mine": "../clusters/mine/index.html",
        "XDC, round 2 (xdc/kinetics400/seed0)": f"../clusters/{second}/index.html",
        "XDC, round 1 (xdc/kinetics400/seed0), beside XDC, round 2 (xdc/kinetics400/seed0)": (
            f"../clusters/{first}--{second}/index.html"
        ),
    }
    (chain,) = data["pretrainings"]
    assert [round["page"] for round in chain["rounds"]] == [None, f"../clusters/{second}/index.html"]
