"""Each file that ``new`` writes loads and is what its comments say; none is overwritten."""

import re
import runpy
from pathlib import Path

import pytest
import torch
import yaml

from xdcbench.cli.new import TEMPLATES, new, write_new
from xdcbench.config.load import load_dataset, load_suite, read, validate
from xdcbench.config.paths import find
from xdcbench.config.pretraining import Method
from xdcbench.errors import UserError
from xdcbench.pipeline.launch import Request, plan_launch

NAMES = ["mine", "my own", "v1.5", "été", "1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of_a_suite(path: Path) -> dict[str, object]:
    """What the comments of a file show to be put into a suite."""
    shown = re.findall(r"(?m)^#   (.*)$", path.read_text())
    tree = yaml.safe_load("\n".join(shown))
    assert isinstance(tree, dict)
    return tree


def planned(**changes: object) -> list[str]:
    """Names of the stages of the suite that ``new`` writes, with other lines; data lies in this folder."""
    suite = write_new("suite", "suite", Path())
    suite.write_text(yaml.safe_dump(read(suite) | changes))
    launch = plan_launch(
        Request(suite=str(suite), data_root=Path(), trust_code=True, device="cpu"), write=False
    )
    return [stage.name for stage in launch.plan.stages]


def test_each_template_begins_with_its_command() -> None:
    assert {path.stem for path in TEMPLATES.iterdir() if path.is_file()} == {
        "suite",
        "dataset",
        "method",
        "encoder",
    }
    for path in TEMPLATES.glob("*.*"):
        assert re.match(r"# (PYTHONPATH=FOLDER )?xdcbench (run|data) .*(FILE|NAME)", path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_suite(name: str) -> None:
    suite = load_suite(str(write_new("suite", name, Path())))
    assert suite.name == name and suite.world
    launch = plan_launch(Request(suite=f"{name}.yaml", device="cpu"), write=False)
    assert {stage.name.split("/")[0] for stage in launch.plan.stages} >= {"scratch", "xdc", "mfcc"}


@pytest.mark.parametrize("name", NAMES)
def test_dataset(name: str) -> None:
    dataset = load_dataset(str(write_new("dataset", name, Path())))
    assert (dataset.title, dataset.folder, dataset.adapter) == (name, name, "folders")
    for of in ("x/1.wav", "x/2.wav", "y/1.wav", "y/2.wav"):
        (Path(name) / of).parent.mkdir(parents=True, exist_ok=True)
        (Path(name) / of).touch()
    found = planned(world=None, pretraining=[], **lines_of_a_suite(Path(f"{name}.yaml")))
    assert f"mfcc/seed0/audio_svm/{name}/main" in found


@pytest.mark.parametrize("name", NAMES)
def test_method(name: str) -> None:
    path = write_new("method", name, Path())
    assert validate(Method, read(find(Path(), str(path), what="method")), where="").title == name
    assert f"{name}/kinetics400/seed0/round1" in planned(**lines_of_a_suite(path))


def test_encoder() -> None:
    path = write_new("encoder", "my_own", Path())
    encoder = runpy.run_path(str(path))["Encoder"]()
    declared = encoder.input
    clips = torch.zeros(2, 3, declared.frames, declared.size, declared.size)
    assert encoder(clips).shape == (2, encoder.features)
    (shown,) = lines_of_a_suite(path).values()
    assert shown == {"my_own": {"video": {"source": "my_own:Encoder"}}}


def test_the_words_of_a_template_may_be_a_name() -> None:
    assert load_dataset(str(write_new("dataset", "FILE", Path()))).title == "FILE"


def test_another_folder_is_made_and_a_suffix_is_not_doubled(here: Path) -> None:
    assert write_new("suite", "mine.yaml", Path("a/b")) == Path("a/b/mine.yaml")
    assert (here / "a/b/mine.yaml").is_file()


def test_nothing_is_overwritten(here: Path) -> None:
    for kind, name in (("suite", "mine.yaml"), ("encoder", "mine.py")):
        (here / name).write_text("own")
        with pytest.raises(UserError, match=f"^{name} is there and is not overwritten. Try: another name"):
            write_new(kind, "mine", Path())  # type: ignore[arg-type]
        assert (here / name).read_text() == "own"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("suite", "a/b", "new suite 'a/b': it holds '/'. Try: letters, digits and _"),
        ("method", "", "it is empty. Try: letters"),
        ("dataset", "con", "Windows keeps it for a device. Try: letters"),
        ("encoder", "my own", "Python cannot import it. Try: letters, digits and _ alone"),
        ("encoder", "class", "Python cannot import it"),
        ("encoder", "torch", "Python has a module of this name. Try: another name"),
        ("encoder", "__main__", "Python has a module of this name"),
    ],
)
def test_names_that_do_not_fit(here: Path, kind: str, name: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        write_new(kind, name, Path())  # type: ignore[arg-type]
    assert not list(here.iterdir())


def test_a_folder_that_cannot_be_made(here: Path) -> None:
    (here / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write file/mine.yaml: .*; give another folder with --output"
    ):
        write_new("suite", "mine", Path("file"))


def test_the_command_names_the_file_and_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    new("encoder", "my_own", Path("in here"))
    assert capsys.readouterr().out == (
        "wrote  in here/my_own.py\n"
        "try    PYTHONPATH='in here' xdcbench run --suite smoke --set "
        "encoders.my_own.video.source=my_own:Encoder --filter 'my_own/*'\n"
    )
