"""What the processes of the tests do with a path; imports little, since each process does so anew."""

import os
import signal
import time
from pathlib import Path
from typing import Any


def act(path: str) -> str:
    """Does what the file's name says."""
    name = Path(path).name
    if name.startswith("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("exit"):
        os._exit(3)
    if name.startswith("raise"):
        raise ValueError(name)
    if name.startswith("hang"):
        time.sleep(60)
    return name.upper()


def look(path: str) -> dict[str, Any]:
    """Length of a file's text; leaves a mark beside it each time that it looks."""
    with Path(path + ".seen").open("a") as seen:
        seen.write("x")
    text = Path(path).read_text()
    if text == "die" or (text == "die once" and Path(path + ".seen").stat().st_size == 1):
        os._exit(1)
    if text == "hang":
        time.sleep(60)
    return {"error": "bad"} if text == "bad" else {"letters": len(text)}


def slow(path: str) -> dict[str, Any]:
    time.sleep(0.05)
    return look(path)
