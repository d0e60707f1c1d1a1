"""The help of each command ends with examples that the command line takes and that the documents show."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.conftest import ROOT
from xdcbench.cli.main import app

DOCUMENTS = "\n".join(
    path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
)
GROUP: Any = get_command(app)


def commands(group: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command with its name, groups included."""
    yield " ".join(names), group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *names, name)


EXAMPLES = {
    name: [line.strip() for line in (command.epilog or "").split("\n")[2:]]
    for name, command in commands(GROUP, "xdcbench")
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_ends_with_two_or_three_short_examples_of_the_command(name: str) -> None:
    assert 2 <= len(EXAMPLES[name]) <= 3
    assert all(example.startswith(name) for example in EXAMPLES[name])
    assert all(len(example) <= 78 for example in EXAMPLES[name]), "a terminal of 80 columns breaks it"


@pytest.mark.parametrize("names", [[], ["data"], ["bench"]])
def test_the_list_of_commands_cuts_no_line(names: list[str]) -> None:
    """Where the terminal has 80 columns."""
    said = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "80"}).output
    listed = said.split("\nCommands:\n")[1].split("\n\n")[0]
    assert listed.strip() and "..." not in listed


@pytest.mark.parametrize("example", sorted({e for several in EXAMPLES.values() for e in several}))
def test_an_example_parses_and_is_in_the_documents(example: str) -> None:
    command, words = GROUP, shlex.split(example)[1:]
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(example, words)
    assert re.search(rf"(?m)(^|`){re.escape(example)}(`|\s+#|\s*$)", DOCUMENTS)
