"""Every kind of stage has a version and code that takes what the executor gives."""

import inspect

import pytest

from xdcbench.config.keys import VERSIONS
from xdcbench.pipeline.registry import STAGES


def test_every_kind_has_a_version_and_code() -> None:
    assert STAGES.keys() == VERSIONS.keys()


@pytest.mark.parametrize("kind", STAGES)
def test_code_of_a_stage_takes_what_the_executor_gives(kind: str) -> None:
    function = STAGES[kind].load()
    assert list(inspect.signature(function).parameters) == ["config", "inputs", "work", "context"]
    assert function.__module__.startswith("xdcbench.")
