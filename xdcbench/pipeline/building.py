"""Building one stage: it is held, built, and published as a run; a failure is kept with its log."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from xdcbench.config.keys import VERSIONS, science
from xdcbench.data.context import Context, elapsed
from xdcbench.errors import MediaChangedError, MediaError, UserError
from xdcbench.pipeline.costs.disk import require_space
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.registry import STAGES
from xdcbench.results.run_store import RunStore
from xdcbench.utils.disk import FULL
from xdcbench.utils.distributed import barrier, is_main_process, on_main_process, world_size
from xdcbench.utils.documents import write_json
from xdcbench.utils.locks import LockedError
from xdcbench.utils.processes import announce, cause
from xdcbench.utils.provenance import commit, versions
from xdcbench.utils.secrets import redact
from xdcbench.utils.shown import SafeFilter, printable, safe_text
from xdcbench.utils.signals import defer_signals

Stamp = tuple[int, int] | None

log = logging.getLogger("xdcbench")


class Built(NamedTuple):
    """What became of a stage that was to be built, why, and the seconds that it took.

    ``held`` is one that another command is making; ``detail`` says which, where that is known.
    """

    status: Literal["done", "kept", "failed", "held"]
    detail: str = ""
    seconds: float = 0.0


def run_stage(
    stage: Stage,
    store: RunStore,
    context: Context,
    *,
    anew: bool = False,
    replaces: Stamp = None,
) -> Built:
    """Build one stage and publish it; what it had done before an interruption is used unless ``anew``.

    One that another command is building is left to it. A whole run that is there is kept, unless it is the one that
    ``replaces`` names (``RunStore.stamp``).

    Of several processes, all work on a shared stage, and a failure in it ends them all; on any other
    stage the leading one works.

    Raises:
        UserError: nothing can be written to the results folder.
    """
    context = replace(context, begun=time.monotonic())
    build = partial(_held, stage, store, context, anew=anew, replaces=replaces)
    built = build() if STAGES[stage.kind].shared else on_main_process(build)
    barrier()
    return built._replace(seconds=elapsed(context))


def _held(stage: Stage, store: RunStore, context: Context, *, anew: bool, replaces: Stamp) -> Built:
    decide = on_main_process if STAGES[stage.kind].shared else _call
    with ExitStack() as stack:
        there = decide(partial(_hold, stage, store, replaces, stack))
        if there:
            return there
        return _build(stage, store, context, anew=anew)


def _call(make: Callable[[], Built | None]) -> Built | None:
    return make()


def _hold(stage: Stage, store: RunStore, replaces: Stamp, stack: ExitStack) -> Built | None:
    """Hold the run for as long as the stack is open; or say why there is nothing to build."""
    try:
        stack.enter_context(store.held(stage.key, wait=False))
    except LockedError as error:
        return Built("held", str(error))
    return Built("kept") if _overtaken(stage, store, replaces) else None


def _build(stage: Stage, store: RunStore, context: Context, *, anew: bool) -> Built:
    work = store.begin(stage.key, anew=anew) if is_main_process() else store.work(stage.key)
    if STAGES[stage.kind].shared:
        barrier()  # the main process has made the folder
    try:
        with logging_to(work / "log.txt") if is_main_process() else nullcontext():
            if is_main_process():
                require_space(stage, store, checkpoints=context.keep_checkpoints)
            inputs = {name: store.path(source.key) for name, source in stage.inputs}
            STAGES[stage.kind].load()(stage.config, inputs, work, context)
        if is_main_process():
            write_json(work / "run.json", run_manifest(stage, context))
            store.publish(stage.key, work)
    except (UserError, MediaError) as error:
        if isinstance(error, MediaChangedError):
            from xdcbench.data.fingerprints import forget_scans  # with pandas, which takes half a second

            forget_scans(context.cache)
        return _failed(stage, store, text=printable(str(error)), line=str(error))
    except Exception as error:
        text, line = traceback.format_exc(), f"{type(error).__name__}: {error}".splitlines()[0]
        with defer_signals():  # torchrun asks this process to end when another is gone
            if isinstance(error, OSError) and error.errno in FULL:
                line = f"no space left in {store.root}: {line}; free some, and run the same command to resume"
            elif isinstance(error, RuntimeError):  # an exchange that failed, if another process is gone
                line = cause() or line
            return _failed(stage, store, text=f"{line}\n\n{text}", line=line)
    return Built("done")


def _overtaken(stage: Stage, store: RunStore, replaces: Stamp) -> bool:
    """Whether another command has made the run since this one looked; to be asked while the run is held."""
    stamp = store.stamp(stage.key)
    if stamp is None or stamp == replaces or not store.whole(stage.key, thorough=True):
        return False
    log.info("%s: another command has made it; it is kept", stage.name)
    return True


def _failed(stage: Stage, store: RunStore, *, text: str, line: str) -> Built:
    text, line = redact(text), safe_text(line)
    announce(line)
    try:
        attempt = str(store.fail(stage.key, "\n".join(map(printable, text.split("\n")))))
    except OSError as error:
        attempt = f"not kept: {error.strerror}"
    log.error("%s failed: %s", stage.name, line)
    if world_size() > 1 and STAGES[stage.kind].shared:
        raise SystemExit(1)  # the others wait for this process; torchrun ends them
    return Built("failed", f"{line} (log: {attempt})")


def run_manifest(stage: Stage, context: Context) -> dict[str, object]:
    """What a run directory says of itself."""
    return {
        "key": stage.key,
        "kind": stage.kind,
        "version": VERSIONS[stage.kind],
        "name": stage.name,
        "suite": context.suite,
        "science": science(stage.config),
        "config": stage.config.model_dump(mode="json"),
        "inputs": {name: source.key for name, source in stage.inputs},
        "seconds": elapsed(context),
        "device": context.device,
        "world_size": world_size(),
        "versions": versions(),
        "commit": commit(),
    }


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what is logged to ``path`` as well."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.addFilter(SafeFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
