"""Examples at the end of a command's help."""


def examples(*commands: str) -> str:
    """Return an epilog that shows each command on a line of its own; typer joins lines without an empty one."""
    return "\n\n".join(["Examples:", *commands])
