"""The workflow file that users copy: its commands and options exist."""

from pathlib import Path

import yaml

from tests.integration.helpers import xdcbench

ROOT = Path(__file__).parents[2]


def test_commands_of_the_workflow_exist() -> None:
    content = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    commands = [step["run"].split() for step in steps if step.get("run", "").startswith("xdcbench ")]
    assert commands
    for _, command, *words in commands:
        known = xdcbench(command, "--help").stdout
        assert all(word in known for word in words if word.startswith("--"))
    assert "-c constraints.txt" in " ".join(step.get("run", "") for step in steps)
