"""What ``new`` writes runs as it is, and together."""

import os
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.helpers import one_thread, records, xdcbench


@pytest.mark.slow
def test_a_new_suite_runs_with_a_new_method_and_encoder(tmp_path: Path) -> None:
    env = one_thread() | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    for kind, name in (("suite", "mine"), ("method", "my_method"), ("encoder", "my_encoder")):
        assert xdcbench("new", kind, name, cwd=tmp_path, env=env).returncode == 0
    done = xdcbench("run", "--suite", "mine.yaml", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "Results on ESC-50 (%)" in done.stdout and "MFCC statistics" in done.stdout
    suite = tmp_path / "mine.yaml"
    text = suite.read_text().replace("# methods:", "methods:").replace("[xdc]", "[xdc, my_method]")
    suite.write_text(text)
    source = "encoders.my_encoder.video.source=my_encoder:Encoder"
    done = xdcbench("run", "--suite", "mine.yaml", "--set", source, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    measured = {row["method"] for rows in records(tmp_path / "results").values() for row in rows}
    assert measured == {"scratch", "xdc", "mfcc", "my_method", "my_encoder"}
