"""Two processes under torchrun do what one does: same labels, same counts, one set of files."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.integration.helpers import PICO, one_thread, records


def test_two_processes_label_as_one(pico: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["-m", "xdcbench", "run", "--suite", PICO, "--out", out, "--device", "cpu"]
    done = subprocess.run([*torchrun, *words], capture_output=True, text=True, env=one_thread(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("26 done") == 1, "one process speaks"
    alone, together = records(pico), records(out)
    assert together.keys() == alone.keys(), "the number of processes is in no key"
    first = min(pico.glob("runs/round-*"), key=lambda path: path.stat().st_mtime).name
    labels = [pd.read_parquet(folder / "runs" / first / "assignments.parquet") for folder in (pico, out)]
    pd.testing.assert_frame_equal(*labels)
    for key, rows in alone.items():
        for one, two in zip(rows, together[key], strict=True):
            counts = ("metric", "items_expected", "items_used", "items_failed")
            assert [one[name] for name in counts] == [two[name] for name in counts]
            assert (one["world_size"], two["world_size"]) == (1, 2)
            if one["metric"].startswith("start_"):
                assert abs(one["value"] - two["value"]) < 0.1
