"""Ten kills at random moments of a round, from its first file to its last, and the weights of an undisturbed one."""

import random
import subprocess
import time
from itertools import count
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.integration.helpers import PICO, command, one_thread, records

pytestmark = pytest.mark.nightly
KILLS = 10


def test_ten_kills_end_with_equal_weights(tmp_path: Path) -> None:
    def words(out: Path) -> list[str]:
        set_ = "pretrain.schedule.epochs=20"
        options = ["--device", "cpu", "--checkpoint-seconds", 0, "--filter", "xdc/*/round*", "--set", set_]
        return command("run", "--suite", PICO, "--results", out, *options)

    whole, rng, kills = tmp_path / "whole", random.Random(0), 0
    begun = time.monotonic()
    subprocess.run(words(whole), env=one_thread(), check=True)
    seconds = time.monotonic() - begun
    for attempt in count():
        # How far a process gets before it is killed is the machine's affair: a run that ends early is compared,
        # and the kills that are left meet the next one.
        out = tmp_path / str(attempt)
        while kills < KILLS:
            process = subprocess.Popen(words(out), env=one_thread(), stderr=subprocess.DEVNULL)
            try:
                assert process.wait(rng.uniform(2.0, 2.0 + seconds / 4)) == 0
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        subprocess.run(words(out), env=one_thread(), check=True)
        compare(out, whole)
        if kills == KILLS:
            break


def compare(out: Path, whole: Path) -> None:
    assert records(out) == records(whole)
    weights = sorted(path.relative_to(whole) for path in whole.glob("runs/round-*/*.safetensors"))
    assert len(weights) >= 8
    for path in weights:
        mine = load_file(out / path)
        assert all((mine[name] == tensor).all() for name, tensor in load_file(whole / path).items()), path
    assert not any(path.is_dir() for path in out.glob("runs/.building/*"))
