"""The command of a stage: the command line makes of it the request that it was made of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from xdcbench.cli.options import takes
from xdcbench.cli.suite_options import RunOptions
from xdcbench.config.executors import Resources
from xdcbench.pipeline.command import run_words, stage_request
from xdcbench.pipeline.launch import Request

EVERYTHING = Request(
    suite="my suites/a.yaml",
    synthetic="small",
    overrides=("pretrain.k=3", "datasets.esc50.root=/a b"),
    methods=("sdc", "xdc"),
    filter="xdc/*",
    seeds=(1, 2),
    data_root=Path("/data"),
    shards=("/shards", "s3://bucket/x"),
    scratch="$TMPDIR/x",
    cache_bytes=0,
    decoded_bytes=5,
    results=Path("/results $HOME"),
    device="cuda",
    num_workers=0,
    jobs=1,
    auto_precision="bf16",
    checkpoint_seconds=5.0,
    keep_checkpoints=3,
    micro_batch_size=8,
    compile=True,
    trust_code=True,
    accept_license=True,
    fingerprint="content",
)


def parsed(words: list[str]) -> Request:
    """The request that the command line makes of words after `run`."""
    found: list[Any] = []
    app = typer.Typer()
    app.command()(takes(RunOptions)(lambda options: found.append(options)))
    get_command(app)(words, standalone_mode=False)
    request: Request = found[0].run_request()
    return request


@pytest.mark.parametrize("request_", [EVERYTHING, Request(suite="smoke", data_root=None)])
def test_words_are_read_back(request_: Request) -> None:
    head, *words = run_words(request_, request_.auto_precision)
    assert head == "run"
    assert parsed(words) == request_


def test_no_field_of_a_request_is_forgotten() -> None:
    """But for what `run` cannot be given, and the stage, which follows."""
    usual = Request(suite="")
    same = {name for name, value in vars(EVERYTHING).items() if value == getattr(usual, name)}
    assert same == {"stage", "precision"}


def test_a_stage_runs_on_what_it_asks_for() -> None:
    asked = Request(suite="smoke", jobs=3)
    alone = stage_request(asked, Resources(gpus=0, processes=1, cores=4))
    assert (alone.device, alone.num_workers, alone.jobs) == ("cpu", None, 1)
    shared = stage_request(asked, Resources(gpus=2, processes=2, cores=16))
    assert (shared.device, shared.num_workers) == ("cuda", 7)
    assert (
        stage_request(replace(asked, num_workers=3), Resources(gpus=2, processes=2, cores=16)).num_workers
        == 3
    )
