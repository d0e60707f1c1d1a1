"""Asking again, after a pause, for what a file system or a server refuses."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def retry(
    attempt: Callable[[], T],
    *,
    pauses: Iterable[float],
    final: Callable[[Exception], bool],
    told: Callable[[Exception, float], object] = lambda error, pause: None,
) -> T:
    """Return what ``attempt`` returns, tried again after each pause; its last error is raised as it is.

    Args:
        attempt: raises where it is refused.
        pauses: seconds before the second attempt and each later one.
        final: whether trying again does not mend an error.
        told: gets each error that is tried again, and the seconds until then.
    """
    for pause in pauses:
        try:
            return attempt()
        except Exception as error:
            if final(error):
                raise
            told(error, pause)
        time.sleep(pause)
    return attempt()
