"""The command that runs one stage of a request in a process of its own, here or on another machine."""

from collections.abc import Iterator
from dataclasses import replace

from xdcbench.config.executors import Resources
from xdcbench.pipeline.launch import Request
from xdcbench.utils.precision import Precision

VALUES = (
    ("suite", "--suite"),
    ("filter", "--filter"),
    ("synthetic", "--synthetic"),
    ("data_root", "--data-root"),
    ("scratch", "--scratch"),
    ("cache_bytes", "--cache-bytes"),
    ("decoded_bytes", "--decoded-bytes"),
    ("results", "--results"),
    ("device", "--device"),
    ("num_workers", "--num-workers"),
    ("jobs", "--jobs"),
    ("fingerprint", "--fingerprint"),
    ("checkpoint_seconds", "--checkpoint-seconds"),
    ("keep_checkpoints", "--keep-checkpoints"),
    ("micro_batch_size", "--micro-batch-size"),
    ("auto_precision", "--auto-precision"),
)
LISTS = (("methods", "--methods"), ("seeds", "--seeds"))
REPEATED = (("overrides", "--set"), ("shards", "--shards"))
SWITCHES = (
    ("trust_code", "--trust-code"),
    ("accept_license", "--accept-license"),
    ("compile", "--compile"),
)


def run_words(request: Request, auto_precision: Precision | None) -> list[str]:
    """``run`` and the options of a request that are off their default, but for ``--stage``.

    ``auto_precision`` is what ``auto`` means wherever the command runs.
    """
    return ["run", *_words(replace(request, auto_precision=auto_precision))]


def stage_request(request: Request, resources: Resources) -> Request:
    """The request of a job that runs one stage with these resources, all numbers given."""
    processes, cores = resources.processes or 1, resources.cores or 1
    workers = request.num_workers
    if workers is None and processes > 1:
        workers = max(0, cores // processes - 1)
    return replace(request, device="cuda" if resources.gpus else "cpu", num_workers=workers, jobs=1)


def _words(request: Request) -> Iterator[str]:
    usual = Request(suite="")
    changed = {name for name, value in vars(request).items() if value != getattr(usual, name)}
    for name, option in VALUES:
        if name in changed:
            yield from (option, str(getattr(request, name)))
    for name, option in LISTS:
        if name in changed:
            yield from (option, ",".join(map(str, getattr(request, name))))
    for name, option in REPEATED:
        yield from (word for value in getattr(request, name) for word in (option, value))
    yield from (option for name, option in SWITCHES if name in changed)
