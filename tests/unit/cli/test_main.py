import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from xdcbench.cli import main
from xdcbench.pipeline import catalog, gpu_commands
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest

COMMANDS = ("run", "check", "compare", "table", "list", "show", "doctor")
HEAVY = ("torch", "torchvision", "torchaudio", "pandas", "sklearn", "scipy", "av", "pyarrow", "omegaconf")


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def xdcbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["xdcbench", *words])
        code = 0
        try:
            main.main()
        except SystemExit as exit_:
            assert exit_.code is None or isinstance(exit_.code, int)
            code = exit_.code or 0
        return Said(code, *capsys.readouterr())

    return call


def refused(said: Said) -> str:
    """The one line on standard error that a mistake is told in."""
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("xdcbench: ")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")
    return said.err


# -------------------------------------------------------------------------------------------- help


def test_help_names_every_command(xdcbench: Command) -> None:
    said = xdcbench("--help")
    assert said.code == 0
    assert all(name in said.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, xdcbench: Command) -> None:
    said = xdcbench(name, "--help")
    assert said.code == 0
    assert f"xdcbench {name} [OPTIONS]" in said.out
    assert said.err == ""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "xdcbench", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & set(HEAVY)


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (["run", "--suite", "smoke", "--filter", ""], "--filter"),
        (["run", "--suite", "smoke", "--methods="], "--methods"),
        (["run", "--suite", "smoke", "--scratch", "", "--dry-run"], "--scratch"),
        (["table", "", "--format", "md"], "table"),
        ([""], "xdcbench"),
    ],
)
def test_an_empty_value_is_that_of_an_unset_variable(
    xdcbench: Command, words: list[str], before: str
) -> None:
    said = refused(xdcbench(*words))
    assert said == f"xdcbench: the word after {before} is empty. Try: give it a value, or leave it out\n"


def test_a_setting_may_be_empty(xdcbench: Command) -> None:
    said = refused(xdcbench("run", "--suite", "smoke", "--set=encoders.mine.video.source=", "--dry-run"))
    assert "encoders.mine.video.source" in said and "word after" not in said


# -------------------------------------------------------------------------------------------- list


@pytest.mark.parametrize("part", ["methods", "suites", "datasets", "evaluations", "tables"])
def test_list_names_all_of_a_part(part: catalog.Part, xdcbench: Command) -> None:
    said = xdcbench("list", part)
    assert said.code == 0
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        path.stem for path in catalog.folder_of(part).glob("*.yaml")
    )
    assert all(len(line.split()) > 1 for line in lines)


def test_list_weights_says_what_they_are_their_scores_and_files(xdcbench: Command) -> None:
    lines = xdcbench("list", "weights").out.splitlines()
    said = {line.split()[0]: line for line in lines}
    address = "https://github.com/HumamAlwassel/XDC/releases/download/model_weights"
    for name, title, ucf101, hmdb51, digits in [
        ("r2plus1d_18_xdc_ig65m_kinetics", "XDC pretrained on IG-Kinetics", 95.5, 68.9, "f24f6ffb"),
        ("r2plus1d_18_xdc_ig65m_random", "XDC pretrained on IG-Random", 94.6, 66.5, "189d23f4"),
        ("r2plus1d_18_xdc_audioset", "XDC pretrained on AudioSet", 93.0, 63.7, "f29ffe8f"),
        ("r2plus1d_18_fs_kinetics", "fully supervised on Kinetics", 94.2, 65.1, "622bdad9"),
        ("r2plus1d_18_fs_imagenet", "fully supervised on ImageNet", 84.0, 48.1, "ff446670"),
    ]:
        shown = (
            f" {title}; ucf101 {ucf101}, hmdb51 {hmdb51}; video; MIT; {address}/{name}-{digits}.pth; not here"
        )
        assert said[name].endswith(shown)


def test_list_weights_says_license_and_whether_a_hash_is_known_and_the_file_is_here(
    xdcbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDCBENCH_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "gdt_K400.pth").write_bytes(b"")
    lines = {line.split()[0]: line for line in xdcbench("list", "weights").out.splitlines()}
    assert lines["gdt_k400"].endswith("; https://dl.fbaipublicfiles.com/GDT/gdt_K400.pth; unpinned; here")
    assert "; video and audio; CC BY-NC 4.0" in lines["gdt_k400"]
    assert "; no direct address: pcl_r2p1d_res_ssl.pt from https://" in lines["severe_pcl"]


# --------------------------------------------------------------------------------------------- run


def stages_of(text: str) -> tuple[list[str], list[str]]:
    """The lines of a dry run up to the sum of stages, and those from there on."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if " stages: " in line)
    return lines[:at], lines[at:]


def test_dry_run_prints_the_plan_and_makes_nothing(xdcbench: Command, tmp_path: Path) -> None:
    said = xdcbench("run", "--suite", "smoke", "--dry-run", "--device", "cpu")
    assert said.code == 0
    lines, costs = stages_of(said.out)
    assert all(line.startswith("to do") for line in lines)
    assert costs[0] == f"{len(lines)} stages: {len(lines)} to do"
    assert len(costs) > 1 and any("PFLOP" in line for line in costs[1:])
    assert any(line.endswith(" xdc/kinetics400/seed0/round2") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_dry_run_of_a_part(xdcbench: Command) -> None:
    words = ("--filter", "xdc/*/round1", "--seeds", "4", "--methods", "xdc, sdc", "--device", "cpu")
    said = xdcbench("run", "--suite", "smoke", "--dry-run", *words)
    names = {line.split()[-1] for line in stages_of(said.out)[0]}
    assert names == {"world", "index/kinetics400", "init/seed4", "xdc/kinetics400/seed4/round1"}


def test_policy_never_runs_nothing(xdcbench: Command) -> None:
    said = xdcbench("run", "--suite", "smoke", "--policy", "never", "--device", "cpu")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("smoke: ")
    assert said.out.splitlines()[-1].endswith(" missing")
    assert RunStore(Path("results"), write=False).keys() == []


SMOKE = ("run", "--suite", "smoke", "--dry-run", "--device", "cpu")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--suite", "smok"), "did you mean 'smoke'"),
        (("run", "--suite", "nowhere.yaml"), "no file 'nowhere.yaml' for a suite"),
        ((*SMOKE, "--set", "pretrain.rounds"), "key=value"),
        ((*SMOKE, "--set", "pretrain.ruonds=2"), "did you mean 'rounds'"),
        ((*SMOKE, "--set", "pretrain.rounds=two"), "'pretrain.rounds' = 'two'"),
        ((*SMOKE, "--set", "tables=[table9]"), "unknown table 'table9'"),
        ((*SMOKE, "--methods", "xdx"), "did you mean 'xdc'"),
        ((*SMOKE, "--seeds", "0,one"), "--seeds '0,one': 'one' is no whole number"),
        ((*SMOKE, "--seeds", "-1"), "'-1' is no whole number"),
        ((*SMOKE, "--seeds", "²"), "'²' is no whole number"),
        ((*SMOKE, "--filter", "no/such"), "unknown stage for --filter"),
        ((*SMOKE, "--stage", "round-000000000000"), "unknown stage for --filter or --stage"),
        ((*SMOKE[:4], "--device", "abacus"), "'abacus' is no device"),
        ((*SMOKE[:3], "--device", "cpu", "--results", "file"), "cannot write results to file"),
        (("run", "--suite", "real-small", "--data-root", "nowhere"), "--data-root nowhere is no folder"),
        (("check", "--suite", "smok"), "did you mean 'smoke'"),
        (("run", "--suite", "real-small", "--shards", "nowhere"), "no shards.json there"),
        (("check", "--suite", "mini", "--baseline", "no.json"), "no reference no.json"),
        (("table", "--results", "."), "is not a results folder"),
        (("table",), "results is not a results folder"),
        (("table", "tabel1", "--results", "kept"), "did you mean 'table1'"),
        (("show", "abc"), "results is not a results folder"),
        (("run", "--suite", f"{'x' * 300}.yaml"), "x... is too long a path. Try: a shorter one"),
        ((*SMOKE, "--results", "x" * 300), "x... is too long a path. Try: a shorter one"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(
    words: tuple[str, ...], said: str, xdcbench: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    RunStore(tmp_path / "kept")
    assert said in refused(xdcbench(*words))


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "--suite", "smoke", "--policy", "often"),
        ("run", "--suite", "smoke", "--num-workers", "-1"),
        ("run", "--suite", "smoke", "--rounds", "3"),
        ("list", "dogs"),
        ("table", "--format", "doc"),
        ("shwo",),
    ],
)
def test_words_that_no_command_takes_exit_2_without_a_traceback(
    words: tuple[str, ...], xdcbench: Command
) -> None:
    said = xdcbench(*words)
    assert said.code == 2
    assert "Usage: " in said.err
    assert "Traceback" not in said.err


def test_broken_suite_is_named(xdcbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: [1")
    assert "mine.yaml is not readable YAML" in refused(xdcbench("run", "--suite", "mine.yaml"))


@pytest.mark.parametrize("words", [(), ("--methods", "xdc"), ("--require-all",)])
def test_real_suite_without_data_names_the_option(words: tuple[str, ...], xdcbench: Command) -> None:
    said = xdcbench("run", "--suite", "real-small", "--device", "cpu", *words)
    text = refused(said)
    assert "data is not available" in text
    assert "--data-root" in text


def test_data_root_comes_from_the_environment(xdcbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDCBENCH_DATA_ROOT", "elsewhere")
    text = refused(xdcbench("run", "--suite", "real-small", "--device", "cpu"))
    assert "elsewhere is no folder" in text


def test_interruption_is_told(xdcbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xdcbench.pipeline.launch.plan_launch", interrupted)
    said = xdcbench("run", "--suite", "smoke")
    assert said.code == 130
    assert said.err == "xdcbench: interrupted; run the same command to resume\n"


# ------------------------------------------------------------------------------------ show and table


def test_show_and_table_of_a_run(xdcbench: Command, make_record: Callable[..., Record]) -> None:
    record = make_record(value=91.25)
    run = RunStore(Path("results")).path(record.run)
    run.mkdir()
    write_records(run, [record])
    facts = {
        "kind": "linear_probe",
        "version": 1,
        "suite": "mini",
        "seconds": 1,
        "device": "cpu",
        "commit": "",
        "config": {},
        "world_size": 1,
        "versions": {},
    }
    write_json(run / "run.json", facts | {"name": "probe", "key": record.run, "inputs": {}, "science": {}})
    write_manifest(run)
    said = xdcbench("show", record.run)
    assert said.code == 0
    assert "inputs     none" in said.out
    assert "91.250%" in said.out
    said = xdcbench("table", "probes", "--format", "md", "--output", "tables")
    assert said.code == 0
    assert "| XDC" in said.out
    assert Path("tables/probes.html").is_file()


def test_show_of_a_run_without_its_manifest_is_told(xdcbench: Command) -> None:
    RunStore(Path("results")).path("round-abc").mkdir()
    said = xdcbench("show", "abc")
    assert (said.code, said.out) == (
        0,
        "damaged    manifest.json is missing. Try: `xdcbench run --suite SUITE --stage round-abc`, where SUITE is the "
        "suite that it belongs to\n",
    )


def test_doctor_names_every_dataset(xdcbench: Command) -> None:
    said = xdcbench("doctor")
    assert said.code == 0
    for name, _ in catalog.rows("datasets"):
        assert f"no place given for {name}" in said.out


def test_doctor_states_what_a_run_takes_by_default(
    xdcbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdcbench.pipeline.defaults.available_cores", lambda: 12)
    monkeypatch.setattr("xdcbench.pipeline.defaults.available_memory", lambda: 40 * 10**9)
    said = xdcbench("doctor").out
    assert (
        "--num-workers 10, --jobs 4 in a synthetic world on a CPU, --decoded-bytes 10000000000 (10 GB)"
        in said
    )


# ---------------------------------------------------------------------------------------- mistakes


def test_mistakes_are_told_without_heavy_imports(tmp_path: Path) -> None:
    """In a process of its own, where nothing has been imported yet."""
    mistakes = [
        "run --suite nope",
        "run --suite smoke --set rounds=3",
        "run --suite smoke --methods nope",
        "check --suite nope",
        "validate-encoder nope",
        "data verify nope",
        "data stats nope",
        "export nope",
        "table nope",
        "show nope",
        "clusters nope",
        "report",
        "publish nope --output new",
        "verify-submission nope",
    ]
    heavy = [name for name in HEAVY if name != "omegaconf"]
    program = f"""
import sys
from xdcbench.cli import main
for words in {mistakes!r}:
    sys.argv = ["xdcbench", *words.split()]
    try:
        main.main()
    except SystemExit as end:
        assert end.code == 2, (words, end.code)
    else:
        raise AssertionError(words)
    there = [name for name in {heavy!r} if name in sys.modules]
    assert not there, (words, there)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert [line[:10] for line in done.stderr.splitlines()] == ["xdcbench: "] * len(mistakes)


@pytest.mark.parametrize(("ended", "code", "made"), [(0, 0, 1), (1, 1, 0), (75, 75, 0)])
def test_run_with_jobs_on_gpus_leaves_stages_to_commands_of_its_own(
    xdcbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int, code: int, made: int
) -> None:
    """What these have not built is built here, unless one of them failed or was asked to end."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(gpu_commands, "gpus_of", lambda device, jobs: ("0", "1"))
    monkeypatch.setattr(gpu_commands, "run_on_each", lambda *words: asked.append(words) or ended)
    words = ("run", "--suite", "smoke", "--filter", "init/*", "--device", "cpu", "--jobs", "2")
    assert xdcbench(*words).code == code
    assert asked == [(("0", "1"), list(words))]
    assert len(list(tmp_path.glob("results/runs/init-*"))) == made
    assert "--policy always takes one GPU" in refused(xdcbench(*words, "--policy", "always"))
