"""Files of complete runs, damaged, and what each command makes of it: the matrix of damages."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from typer.testing import CliRunner

from tests.integration.helpers import PICO, records
from xdcbench.cli.main import app
from xdcbench.errors import MediaError, UserError

FP32 = ("--set", "pretrain.precision=fp32")
"""By which ``run`` and ``check`` have the same keys on every machine."""


def cut(path: Path) -> None:
    """As a full disk or a copy that broke off leaves a file."""
    os.truncate(path, path.stat().st_size // 2)


def zeroed(path: Path) -> None:
    """As a loss of power leaves a file: its size, and no content."""
    path.write_bytes(bytes(path.stat().st_size))


def half_zeroed(path: Path) -> None:
    """As a loss of power may leave a file, too."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))


def rotten(path: Path) -> None:
    """As a bad disk leaves a file: its second half is zero, and size and time say nothing of it."""
    before = path.stat()
    half_zeroed(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def gone(path: Path) -> None:
    path.unlink()


DAMAGES: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {f.__name__: f for f in (cut, zeroed, half_zeroed, gone)}
)

FILES: Mapping[str, str] = MappingProxyType(
    {
        "run.json of a probe": "runs/linear_probe-*/run.json",
        "run.json of a round": "runs/round-*/run.json",
        "records.json of a probe": "runs/linear_probe-*/records.json",
        "records.json of a round": "runs/round-*/records.json",
        "failed.json": "runs/linear_svm-*/failed.json",
        "predictions.parquet": "runs/linear_probe-*/predictions.parquet",
        "scores.npy": "runs/linear_probe-*/scores.npy",
        "features.npy": "runs/features-*/features.npy",
        "audio.safetensors": "runs/round-*/audio.safetensors",
        "encoders.json": "runs/round-*/encoders.json",
        "centroids.safetensors": "runs/round-*/centroids.safetensors",
        "assignments.parquet": "runs/round-*/assignments.parquet",
        "clusters.json": "runs/round-*/clusters.json",
        "metrics.jsonl": "runs/round-*/metrics.jsonl",
        "items.arrow": "runs/index-*/items.arrow",
        "index.json": "runs/index-*/index.json",
        "world's wav": "runs/world-*/esc50/audio/*.wav",
        "manifest.json": "runs/linear_probe-*/manifest.json",
        "results.json": "results.json",
    }
)


class Said(NamedTuple):
    """Exit code of a command, and all that it said."""

    code: int
    text: str


def call(*words: object) -> Said:
    """Run a command in this process, as ``main`` does; what is no user's mistake is raised."""
    log, lines = logging.getLogger("xdcbench"), []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        done = CliRunner().invoke(app, list(map(str, words)))
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    if isinstance(done.exception, UserError | MediaError):
        return Said(2, "\n".join([*lines, done.output, f"xdcbench: {done.exception}"]))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Said(done.exit_code, "\n".join([*lines, done.output]))


def run(out: Path, *words: object) -> Said:
    return call(
        "run", "--suite", PICO, "--results", out, "--device", "cpu", "--num-workers", 0, *FP32, *words
    )


def commands(out: Path, to: Path) -> dict[str, tuple[object, ...]]:
    """Commands over a results folder, by name, that leave their own files in ``to``."""
    shown = min(path.name for path in out.glob("runs/round-*"))
    return {
        "table": ("table", "--results", out, "--intervals", "--output", to / "tables"),
        "report": ("report", "--results", out, "--output", to / "page"),
        "compare": ("compare", "xdc", "scratch", "--results", out),
        "show": ("show", shown, "--results", out),
        "clusters": ("clusters", "xdc", "--results", out, "--output", to / "clusters", "--nearest", 1),
        "export": ("export", "xdc", "--results", out, "--output", to / "export"),
        "prune": ("prune", "--results", out),
        "verify-results": ("verify-results", "--results", out),
        "dry run": ("run", "--suite", PICO, "--results", out, "--device", "cpu", *FP32, "--dry-run"),
        "run --policy never": (
            *("run", "--suite", PICO, "--results", out, "--device", "cpu", *FP32, "--policy", "never"),
        ),
    }


NEEDS_IT = ("show", "clusters", "export", "compare")
"""Commands that a user points at a run; they may end with 2 where it is this one that is damaged."""


def judged(name: str, said: Said, path: Path, out: Path) -> str:
    """Why a command did wrong with ``path`` damaged; empty where it did right."""
    key = path.relative_to(out).parts[1] if path.parent != out else path.name
    if "Traceback" in said.text:
        return "traceback"
    if name == "verify-results":
        return "" if said.code == 1 and key in said.text else f"code {said.code}, does not name {key}"
    allowed = (0, 2) if name in NEEDS_IT else (0,)
    if said.code not in allowed:
        return f"code {said.code}: {said.text.splitlines()[-1:]}"
    if key not in said.text and name not in NEEDS_IT:
        return f"does not name {key}"
    return ""


def content(out: Path) -> dict[str, bytes]:
    """Bytes of what stages read of each other."""
    paths = [
        p
        for pattern in ("features.npy", "*.safetensors", "scores.npy")
        for p in out.glob(f"runs/*/{pattern}")
    ]
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(paths)}


def case(base: Path, pattern: str, damage: Callable[[Path], None], to: Path) -> tuple[Path, Path]:
    """A copy of ``base`` in ``to`` with the first file of ``pattern`` damaged; the folder and the file."""
    out = to / "out"
    shutil.copytree(base, out)
    path = min(out.glob(pattern))
    damage(path)
    return out, path


def rerun(base: Path, out: Path, path: Path) -> str:
    """Why a run over a damaged folder did wrong; empty where it names what is damaged and makes the same again."""
    key = path.relative_to(out).parts[1] if path.parent != out else path.name
    said = run(out)
    if said.code or key not in said.text:
        return f"code {said.code}, names it: {key in said.text}"
    if "26 kept" in said.text and path.parent != out:
        return "all kept"
    if records(out) != records(base) or not content(out).items() <= content(base).items():
        return "other results"
    return "" if call("verify-results", "--results", out).code == 0 else "still damaged"
