"""Examples at the end of a command's help."""


def examples(*commands: str) -> str:
    """Return an epilog that shows each command on a line of its own; without the mark, click joins lines."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])
