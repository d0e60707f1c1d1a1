"""Stages that other commands are making in the same results folder: who makes them, and how far they are."""

import logging
import time
from dataclasses import dataclass

from xdcbench.results.run_store import RunStore
from xdcbench.utils.format import duration

PAUSE = 1.0
"""Seconds after which a stage that another command was making is looked at again."""

TELL_EVERY = 30.0
"""Seconds between two lines on a stage that is waited for."""

TAIL = 4096
"""Bytes at the end of a log in which its last line is looked for."""

log = logging.getLogger("xdcbench")


@dataclass
class Held:
    """A stage that another command is making: its name, who makes it, and moments on the monotonic clock."""

    name: str
    owner: str
    since: float
    seen: float
    told: float


class Elsewhere:
    """What other commands are making, by key."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}

    def note(self, key: str, name: str, owner: str) -> None:
        """Note that a stage was just seen to be made by another command; the log says so once."""
        now, owner = time.monotonic(), owner or "another command"
        before = self.held.get(key)
        if before is None:
            log.info("%s: %s is making it; what is free comes first", name, owner)
        since, told = (before.since, before.told) if before else (now, float("-inf"))
        self.held[key] = Held(name, owner, since, now, told)

    def forget(self, key: str) -> None:
        """Note that a stage is settled."""
        self.held.pop(key, None)

    def lately(self, key: str) -> bool:
        """Whether a stage was seen to be made by another command a moment ago."""
        return key in self.held and time.monotonic() - self.held[key].seen < PAUSE

    def wait(self, store: RunStore) -> None:
        """Wait a moment, with nothing else to do; the log says from time to time for what."""
        for key, held in self.held.items():
            if time.monotonic() - held.told >= TELL_EVERY:
                held.told = time.monotonic()
                waited, line = duration(held.told - held.since), last_line(store, key)
                log.info("waiting for %s, which %s is making (%s): %s", held.name, held.owner, waited, line)
        time.sleep(PAUSE)


def last_line(store: RunStore, key: str) -> str:
    """What the log of a run in work says last, without its time; "no line yet" where there is none."""
    try:
        with (store.work(key) / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    return lines[-1].split(" ", 3)[-1] if lines else "no line yet"
