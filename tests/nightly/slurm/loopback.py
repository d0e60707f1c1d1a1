"""A Slurm cluster of one node on this machine, below one folder, with ports and keys of its own.

`python -m tests.nightly.slurm.loopback FOLDER` starts it, prints the environment that its programs need, and ends it on
Ctrl-C. Nothing outside the folder is changed. Needs root and what `install.sh` installs.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
ACCOUNTING = ("mariadbd", "mariadb-install-db", "slurmdbd", "sacctmgr")
MAX_ARRAY_SIZE = 4
MAX_SUBMIT = 3
"""Jobs of the user at a time, where the cluster has accounting."""

CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
MaxArraySize={array}
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8192 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=canceled Nodes=ALL MaxTime=INFINITE State=UP PreemptMode=CANCEL
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""
"""Jobs of the partition `urgent` take the place of others: these are queued again, or canceled in `canceled`."""

WITH_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=limits
MinJobAge=2
"""
SLURMDBD = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


def lacking(*more: str) -> str:
    """Why there can be no cluster here, with ``more`` programs than any has; empty where there can."""
    absent = [program for program in (*PROGRAMS, *more) if shutil.which(program) is None]
    if absent:
        return f"no Slurm on this machine: {', '.join(absent)} not installed"
    return "" if os.geteuid() == 0 else "no Slurm on this machine: its daemons need root"


@contextmanager
def cluster(folder: Path, *, accounting: bool = False) -> Iterator[dict[str, str]]:
    """Within, the cluster runs; gives the environment of its programs.

    With ``accounting``, it remembers jobs that have ended, and takes ``MAX_SUBMIT`` at a time.
    """
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    configuration = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    *ports, port = _ports(3)
    text = CONFIGURATION.format(host=host, folder=folder, ports=ports, array=MAX_ARRAY_SIZE)
    configuration.write_text(text + (WITH_ACCOUNTING.format(folder=folder, port=port) if accounting else ""))
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    with ExitStack() as stack:
        stack.enter_context(_daemon(_munged(folder), folder, environment))
        time.sleep(0.5)
        if accounting:
            stack.enter_context(_database(folder, port, environment))
        for name in ("slurmctld", "slurmd"):
            stack.enter_context(_daemon([name, "-D", "-f", str(configuration)], folder, environment))
            time.sleep(0.5)
        _await(environment, "sinfo", "--noheader", "--format=%T", says="idle")
        yield environment


@contextmanager
def _database(folder: Path, port: int, environment: dict[str, str]) -> Iterator[None]:
    """Within, jobs are accounted and the user may submit some; the database hears at a socket in the folder alone."""
    (folder / "slurmdbd.conf").write_text(SLURMDBD.format(folder=folder, port=port))
    (folder / "slurmdbd.conf").chmod(0o600)
    data, heard = folder / "database", folder / "mariadb.socket"
    install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
    with (folder / "mariadb-install.out").open("wb") as out:
        root = "--auth-root-authentication-method=normal"
        subprocess.run([*install, root], check=True, stdout=out, stderr=out)
    known = environment | {"MYSQL_UNIX_PORT": str(heard)}
    words = ["--no-defaults", "--user=root", f"--datadir={data}", f"--socket={heard}", "--skip-networking"]
    with _daemon(["mariadbd", *words], folder, known):
        _await(known, "mariadb", "--no-defaults", "--user=root", "--batch", "-N", "-e", "select 1", says="1")
        with _daemon(["slurmdbd", "-D"], folder, known):
            _await(known, "sacctmgr", "--noheader", "list", "cluster", says="")
            limit = ["modify", "user", "root", "set", f"maxsubmitjobs={MAX_SUBMIT}"]
            for asked in (["add", "cluster", "loopback"], limit):
                subprocess.run(
                    ["sacctmgr", "--immediate", *asked], check=True, stdout=subprocess.DEVNULL, env=known
                )
            yield


def _munged(folder: Path) -> list[str]:
    return [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munge.pid",
        f"--seed-file={folder}/munge.seed",
        f"--log-file={folder}/munge.log",
    ]


@contextmanager
def _daemon(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(environment: dict[str, str], *command: str, says: str) -> None:
    """Wait until a daemon answers a command as it does once it is ready."""
    deadline, said = time.monotonic() + 60, ""
    while time.monotonic() < deadline:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        said = done.stdout.strip() or done.stderr.strip()
        if said == says:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{command[0]} did not say {says!r}: {said}")


def _ports(count: int) -> list[int]:
    """Ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    where = Path(sys.argv[1]).absolute()
    where.mkdir(parents=True, exist_ok=True)
    with cluster(where) as known:
        sys.stdout.write(f"export SLURM_CONF={known['SLURM_CONF']}\n")
        sys.stdout.flush()
        while True:
            time.sleep(60)
