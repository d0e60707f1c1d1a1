"""What counts as being asked to end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASKED = (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)

AT_ONCE = """
import os, sys, time
from xdcbench.utils.signals import exit_on_signal
exit_on_signal()
os.kill(os.getpid(), int(sys.argv[1]))
time.sleep(0.1)
print("went on")
"""

DEFERRED = """
import os, sys
from xdcbench.utils.signals import defer_signals, exit_on_signal
exit_on_signal()
with defer_signals() as asked:
    os.kill(os.getpid(), int(sys.argv[1]))
    print("saved" if asked() else "went on", flush=True)
"""


def end(code: str, number: signal.Signals, *, ignored: bool = False) -> tuple[int, str]:
    before = signal.signal(number, signal.SIG_IGN) if ignored else signal.getsignal(number)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(int(number))],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            restore_signals=False,
        )
    finally:
        signal.signal(number, before)
    assert not done.stderr
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("number", ASKED)
def test_asked_to_end_a_process_ends_with_the_code_to_be_started_again(number: signal.Signals) -> None:
    assert end(AT_ONCE, number) == (75, "")
    assert end(DEFERRED, number) == (75, "saved")


@pytest.mark.parametrize("number", ASKED)
def test_what_was_ignored_from_the_start_stays_so(number: signal.Signals) -> None:
    """As ``nohup`` starts its command."""
    assert end(AT_ONCE, number, ignored=True) == (0, "went on")
    assert end(DEFERRED, number, ignored=True) == (0, "went on")


LATER = """
import os, sys, threading
from xdcbench.utils.signals import exit_on_signal, signals_later
exit_on_signal()
threading.Thread(target=threading.Event().wait, daemon=True).start()
try:
    with signals_later():
        os.kill(os.getpid(), int(sys.argv[1]))
        print("noted", flush=True)
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", ASKED)
def test_a_request_to_end_waits_for_the_end_of_a_block(number: signal.Signals) -> None:
    assert end(LATER, number) == (75, "noted")


def test_an_interruption_waits_for_the_end_of_a_block() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        assert end(LATER, signal.SIGINT) == (0, "noted\ninterrupted")
    finally:
        signal.signal(signal.SIGINT, before)
    assert end(LATER, signal.SIGINT, ignored=True) == (0, "noted\nwent on")
