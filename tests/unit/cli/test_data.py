import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from xdcbench.cli.main import app
from xdcbench.config.data import World
from xdcbench.data.synthetic import write_world
from xdcbench.errors import UserError
from xdcbench.pipeline import catalog

COMMANDS = ("list", "verify", "stats", "prepare", "synth", "overlap")
HEAVY = {
    "torch",
    "torchvision",
    "torchaudio",
    "pandas",
    "sklearn",
    "scipy",
    "av",
    "pyarrow",
    "omegaconf",
    "matplotlib",
}
WORLD = World(classes=2, size=16, seconds=1.0, kinetics_train=2, kinetics_val=1)


def xdcbench(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    return root / "kinetics400"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    said = xdcbench(command, "--help")
    assert said.exit_code == 0
    assert f"data {command} [OPTIONS]" in said.output


def test_help_imports_nothing_heavy() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "xdcbench", "data", "verify", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not HEAVY & imported


# ----------------------------------------------------------------------------------------- commands


def test_list_names_every_dataset_and_what_is_here(tmp_path: Path) -> None:
    (tmp_path / "ucf101").mkdir()
    said = xdcbench("list", "--data-root", tmp_path).output
    for name, title in catalog.rows("datasets"):
        assert f"{name}: {title}" in said
    assert f", in {tmp_path / 'ucf101'})" in said
    assert f", not in {tmp_path / 'hmdb51'})" in said
    assert "split 1: train 9537 test 3783" in said


def test_verify_counts_once_and_remembers(kinetics: Path) -> None:
    words = (
        "verify",
        "kinetics400",
        "--root",
        kinetics,
        "--results",
        "out",
        "--num-workers",
        1,
        "--set",
        "max_failed=1",
    )
    said = xdcbench(*words)
    assert said.exit_code == 0, said.output
    assert "6 found, 6 usable" in said.output
    report = json.loads(next(Path("out/data").glob("kinetics400-*/verify.json")).read_text())
    assert report["counts"]["short"] == 6  # a second each
    known = next(Path("out/data").glob("*/items.parquet"))
    before = known.stat().st_mtime_ns
    assert xdcbench(*words).output == said.output
    assert known.stat().st_mtime_ns == before


def test_verified_in_parts_the_report_is_that_of_one_run(kinetics: Path) -> None:
    words = (
        "verify",
        "kinetics400",
        "--root",
        kinetics,
        "--num-workers",
        1,
        "--set",
        "max_failed=1",
        "--results",
    )
    assert xdcbench(*words, "whole").exit_code == 0
    first = xdcbench(*words, "parts", "--part", "1/2")
    assert first.output.startswith("part 1/2 is verified; "), first.output
    assert "report " in xdcbench(*words, "parts", "--part", "2/2").output
    one, other = (next(Path(out, "data").glob("kinetics400-*")) for out in ("whole", "parts"))
    for name in ("verify.json", "items.parquet"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_verify_exits_1_where_too_much_is_missing(kinetics: Path) -> None:
    said = xdcbench(
        "verify", "kinetics400", "--root", kinetics, "--num-workers", 1, "--set", "counts.official.test=100"
    )
    assert said.exit_code == 1
    assert "lacks more than 10%" in said.output


def test_stats_decode_by_themselves_and_go_to_the_same_folder(kinetics: Path) -> None:
    said = xdcbench("stats", "kinetics400", "--root", kinetics, "--results", "out", "--num-workers", 1)
    assert said.exit_code == 0, said.output
    assert "6 items decode" in said.output
    assert "h264 6" in said.output
    folder = next(Path("out/data").iterdir())
    assert {"stats.json", "stats.svg", "stats.png", "items.parquet"} <= {p.name for p in folder.iterdir()}


def test_overlap_writes_the_ids_to_leave_out(kinetics: Path) -> None:
    words = (
        "--root-a",
        kinetics,
        "--root-b",
        kinetics,
        "--part-a",
        "all",
        "--num-workers",
        1,
        "--output",
        "ids.txt",
    )
    said = xdcbench("overlap", "kinetics400", "kinetics400", *words)
    assert said.exit_code == 0, said.output
    tested = {path.stem for path in (kinetics / "val").rglob("*.mp4")}
    assert tested <= set(Path("ids.txt").read_text().splitlines())
    assert len(tested) == 2


def test_synth_goes_on_and_refuses_another_world() -> None:
    words = ("synth", "--output", "world", "--set", "world.esc50_per_fold=1")
    said = xdcbench(*words, "--set", "world.classes=2")
    assert said.exit_code == 0, said.output
    assert "esc50" in said.output
    lost = next(Path("world/esc50/audio").iterdir())
    content = lost.read_bytes()
    lost.unlink()
    assert xdcbench(*words, "--set", "world.classes=2").exit_code == 0
    assert lost.read_bytes() == content
    with pytest.raises(UserError, match="another world"):
        raise xdcbench(*words, "--set", "world.classes=3").exception or AssertionError


# ----------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("verify", "grud", "--root", "."), "did you mean 'grid'"),
        (("verify", "grid", "--root", ".", "--part", "3/2"), "--part '3/2' is no part. Try: I/N"),
        (("prepare", "grid", "--root", ".", "--output", "o", "--part", "0/4"), "--part '0/4' is no part"),
        (("verify", "grid"), "give its folder with --root"),
        (("verify", "grid", "--root", "nowhere"), "no folder nowhere"),
        (("verify", "grid", "--root", ".", "--set", "max_faild=1"), "did you mean 'max_failed'"),
        (("verify", "mine.yaml", "--root", "."), "give --trust-code"),
        (
            ("verify", "kinetics400", "--root", "videos", "--results", "file/out"),
            "give another folder with --results",
        ),
        (("synth", "--output", "world"), "nothing to write"),
        (("synth", "--output", "videos", "--set", "world.kinetics_train=1"), "holds files of no world"),
        (("synth", "--output", "world", "--set", "pretrain.rounds=1"), "named world.<key>"),
        (("synth", "--output", "world", "--set", "world.clases=3"), "did you mean 'classes'"),
        (("overlap", "grid", "grid", "--root-a", ".", "--root-b", ".", "--output", "no/ids"), "no folder no"),
    ],
)
def test_mistakes_are_told(words: tuple[str, ...], message: str) -> None:
    Path("file").write_text("")
    Path("videos/train/class").mkdir(parents=True)
    Path("videos/train/class/a.mp4").write_text("")
    Path("mine.yaml").write_text("{title: T, adapter: 'os:getcwd', folder: f, media: video, splits: [a]}")
    error = xdcbench(*words).exception
    assert isinstance(error, UserError), error
    assert message in str(error)
