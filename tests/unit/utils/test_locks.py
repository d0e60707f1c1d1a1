import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xdcbench.errors import UserError
from xdcbench.utils import locks
from xdcbench.utils.locks import LockedError, NoLocksError, is_locked, lock

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL)

STRESS = """
import os, sys
from pathlib import Path
from xdcbench.utils.locks import lock
folder = Path(sys.argv[1])
for _ in range(100):
    with lock(folder / "lock", waiting=""):
        os.close(os.open(folder / "held", os.O_CREAT | os.O_EXCL))
        os.unlink(folder / "held")
"""


def test_one_process_holds_it_at_a_time(tmp_path: Path) -> None:
    """Each makes a file that only one can make, and removes it, a hundred times."""
    processes = [subprocess.Popen([sys.executable, "-c", STRESS, str(tmp_path)]) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["lock"], "a waiter may be opening it at any moment"


def test_it_is_held_together_or_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock(path, shared=True), lock(path, shared=True), pytest.raises(LockedError), lock(path):
        pytest.fail("alone next to others")
    with lock(path):
        for shared in (True, False):
            with pytest.raises(LockedError), lock(path, shared=shared):
                pytest.fail("next to one who is alone")
        assert is_locked(path)
    assert not is_locked(path) and not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_who_waits_says_so_once_and_gets_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="xdcbench")
    held = lock(tmp_path / "lock")
    held.__enter__()
    threading.Timer(0.3, lambda: held.__exit__(None, None, None)).start()
    begun = time.monotonic()
    with lock(tmp_path / "lock", waiting="waiting for it"):
        assert time.monotonic() - begun > 0.2
    assert caplog.messages == ["waiting for it"]


def test_forked_processes_do_not_keep_it(tmp_path: Path) -> None:
    with lock(tmp_path / "lock"):
        read, write = os.pipe()
        if not (child := os.fork()):
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    with lock(tmp_path / "lock"):
        pass
    os.close(write)
    os.waitpid(child, 0)


@pytest.mark.parametrize("number", NO_LOCKS)
@pytest.mark.parametrize("shared", [True, False])
def test_a_file_system_without_locks_is_named_with_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, shared: bool
) -> None:
    def refused(file: int, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    said = rf"the file system of {tmp_path}/lock gives no lock \({os.strerror(number)}\).* {locks.SWITCH}=off"
    with (
        pytest.raises(NoLocksError, match=said) as error,
        lock(tmp_path / "lock", shared=shared, waiting=""),
    ):
        pytest.fail("not locked")
    assert isinstance(error.value, UserError) and "\n" not in str(error.value)
    monkeypatch.setenv(locks.SWITCH, "off")
    with lock(tmp_path / "lock", shared=shared):
        pass


def test_a_lock_that_fails_while_it_is_waited_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an NFS server that is out of locks."""

    def refused(file: int, kind: int) -> None:
        number = errno.EAGAIN if kind & fcntl.LOCK_NB else errno.ENOLCK
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(NoLocksError, match="No locks available"), lock(tmp_path / "lock", waiting=""):
        pytest.fail("not locked")


def test_the_descriptor_is_for_reading_and_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFSv4 refuses a shared lock on a descriptor that cannot read, one alone on one that cannot write (EBADF)."""
    modes = []
    monkeypatch.setattr(
        fcntl, "flock", lambda file, kind: modes.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE)
    )
    for shared in (True, False):
        with lock(tmp_path / "lock", shared=shared):
            pass
    assert set(modes) == {os.O_RDWR}


def test_what_another_user_made_is_locked_by_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, path = os.open, tmp_path / "lock"
    path.touch()

    def refused(file: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(file, flags, *mode)

    monkeypatch.setattr(os, "open", refused)
    with lock(path), pytest.raises(LockedError), lock(path):
        pytest.fail("two hold it")
    with pytest.raises(PermissionError), lock(tmp_path / "none"):
        pytest.fail("there is nothing to lock")


def test_a_link_is_no_lock_file(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), lock(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_others_are_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock(path, owner="process 7 on a") as left:
        assert left == ""
        with pytest.raises(LockedError, match=r"^process 7 on a$"), lock(path):
            pytest.fail("two hold it")
    assert path.read_bytes() == b"", "it is taken back"
    with lock(path), pytest.raises(LockedError, match=r"^$"), lock(path):
        pytest.fail("two hold it")


def test_what_a_killed_holder_stated_is_told_to_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from xdcbench.utils.locks import lock\n"
        f"with lock(Path({str(tmp_path / 'lock')!r}), owner='process 7 on a'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with lock(tmp_path / "lock", owner="me") as left:
        assert left == "process 7 on a"
    with lock(tmp_path / "lock", owner="me") as left:
        assert left == ""


def test_a_file_of_another_user_on_nfs_is_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS locks a file alone only through a descriptor that may write it."""
    path, opened = tmp_path / "lock", os.open
    path.touch()

    def readable(file: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(file, flags, *mode)

    def refused(file: int, kind: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(os, "open", readable)
    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(UserError, match=rf"another user made it.* Try: chmod a\+w {path}"), lock(path):
        pytest.fail("not locked")
