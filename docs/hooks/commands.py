"""The page of all commands, from the command line itself."""

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from xdcbench.cli.main import app

TYPES = {"str": "TEXT", "int": "N", "float": "X", "int range": "N", "float range": "X", "path": "PATH"}
INTRODUCTION = """\
# Commands

Each command prints the same text with `--help`. [Design](../explanation/design.md#the-results-folder)
lists exit codes.
"""


def commands_page() -> str:
    """Every command with its arguments, options, defaults and examples, in Markdown."""
    return INTRODUCTION + "".join(section(name, command) for name, command in commands(get_command(app)))


def commands(group: Any, name: str = "xdcbench") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name, sorted."""
    for word, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def section(name: str, command: Any) -> str:
    """One command."""
    context = command.make_context(name, [], resilient_parsing=True)
    parameters = [parameter for parameter in command.get_params(context) if parameter.name != "help"]
    arguments = " ".join(placeholder(p, context) for p in parameters if p.param_type_name == "argument")
    rows = "".join(row(parameter, context) for parameter in parameters)
    usage = " ".join(filter(None, (name, arguments, "[OPTIONS]")))
    return (
        f"\n## {name.removeprefix('xdcbench ')}\n\n{command.help.strip()}\n\n```text\n{usage}\n```\n"
        f"\n| argument or option | default | meaning |\n|---|---|---|\n{rows}"
        f"\n```bash\n{examples(command)}\n```\n"
    )


def row(parameter: Any, context: Any) -> str:
    """One line of a command's table."""
    is_argument = parameter.param_type_name == "argument"
    shown = "" if is_argument else ", ".join(parameter.opts)
    if is_argument or not parameter.is_flag:
        shown = f"{shown} {placeholder(parameter, context)}".strip()
    meaning = cell(parameter.help or "")
    if envvar := parameter.envvar:
        meaning += f" Environment: `{envvar}`."
    required = " Required." if parameter.required else ""
    return f"| `{cell(shown)}` | {default(parameter)} | {meaning}{required} |\n"


def placeholder(parameter: Any, context: Any) -> str:
    """What stands for the value: its name in the help, the choices, or the type."""
    shown = str(parameter.metavar or parameter.display_type(context).strip("<>"))
    return TYPES.get(shown, shown)


def default(parameter: Any) -> str:
    """The default of an option; empty where there is none, or where the text says it."""
    value = parameter.default
    return "" if value is None or value is False or value == "" else f"`{value}`"


def examples(command: Any) -> str:
    """The commands at the end of a command's help."""
    return "\n".join(line.strip() for line in command.epilog.split("\n")[2:])


def cell(text: str) -> str:
    """Text of a table's cell."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|")
