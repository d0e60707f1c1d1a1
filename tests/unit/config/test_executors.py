from pathlib import Path
from typing import get_args

import pytest

from xdcbench.config.executors import RESOLVED, DeviceClass, Resources, load_executor
from xdcbench.errors import UserError


def test_every_class_of_device_has_a_precision() -> None:
    assert RESOLVED.keys() == set(get_args(DeviceClass))


def test_a_file_of_the_users_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("device_class: volta\ndefault: {partition: gpu}\nstages: {round: {gpus: 4}}\n")
    settings, file = load_executor(str(path))
    shipped, _ = load_executor("slurm")
    assert file == path
    assert (settings.precision, settings.has_gpus) == ("fp16", True)
    assert settings.default == Resources(partition="gpu", nodes=1)
    assert settings.stages == {"round": Resources(gpus=4)}
    assert settings.max_hours == shipped.max_hours


def test_resources_are_laid_over_others() -> None:
    over = Resources(gpus=0, sbatch=("--exclusive",)).over(Resources(gpus=2, cores=8, sbatch=("--nice",)))
    assert over == Resources(gpus=0, cores=8, sbatch=("--exclusive",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("device_class: amper", r"'device_class' = 'amper': input should be 'cpu'"),
        ("stages: {rounds: {gpus: 1}}", "unknown kind of stage 'rounds'; did you mean 'round'"),
        ("default: {memry: 3}", "'memry'; did you mean 'memory'"),
        ("default: {hours: 0}", "'default.hours' = 0"),
        ("default: {sbatch: [constraint=a100]}", "'constraint=a100' is no option of sbatch"),
        ("default: {sbatch: [--job-name=mine]}", "'--job-name=mine' would change what each job's script"),
        ("default: {sbatch: [--array 0-3]}", "'--array 0-3' would change"),
        ("default: {sbatch: [-omine.txt]}", "'-omine.txt' would change"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        load_executor(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("option", ["--wait-all-nodes=1", "--no-requeue", "-C a100"])
def test_other_options_are_taken(option: str) -> None:
    assert Resources(sbatch=(option,)).sbatch == (option,)


def test_an_unknown_executor_is_told() -> None:
    with pytest.raises(UserError, match="unknown executor 'slrum'; did you mean 'slurm'"):
        load_executor("slrum")
