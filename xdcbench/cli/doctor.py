"""What this machine has: versions, devices, decoders, data."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import torch

from xdcbench.config.load import load_dataset
from xdcbench.data.sources import Lookup, find_source
from xdcbench.errors import UserError
from xdcbench.pipeline.catalog import rows
from xdcbench.pipeline.defaults import default_decoded_bytes, default_jobs, default_num_workers
from xdcbench.utils.cores import available_cores
from xdcbench.utils.format import short
from xdcbench.utils.provenance import versions
from xdcbench.utils.runtime import has_bf16

CODECS = [
    "h264",
    "hevc",
    "vp9",
    "av1",
    "mpeg4",
    "mpeg1video",
    "mjpeg",
    "aac",
    "mp2",
    "mp3",
    "vorbis",
    "opus",
    "flac",
]


def lines(data_root: Path | None) -> Iterator[str]:
    """Everything worth knowing before a run, a line each."""
    yield f"system       {platform.system()} {platform.machine()}, {available_cores()} of {os.cpu_count()} cores"
    yield "versions     " + ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "devices      " + "; ".join(_devices())
    yield (
        f"defaults     --num-workers {default_num_workers()}, --jobs {default_jobs()} in a synthetic world on a CPU, "
        f"--decoded-bytes {default_decoded_bytes()} ({short(default_decoded_bytes(), 'B')})"
    )
    libraries = {name: ".".join(map(str, numbers)) for name, numbers in av.library_versions.items()}
    yield f"ffmpeg       libavcodec {libraries['libavcodec']}, libavformat {libraries['libavformat']}"
    lacking = [name for name in CODECS if name not in av.codecs_available]
    yield "decoders     " + (f"lacking {', '.join(lacking)}" if lacking else "all that the datasets need")
    yield f"disk         {short(shutil.disk_usage(Path.cwd()).free, 'B')} free here"
    names = [name for name, _ in rows("datasets")]
    width = max(map(len, names))
    yield from (f"data         {name:<{width}}  {_data(name, data_root)}" for name in names)


def _devices() -> Iterator[str]:
    cpu = torch.device("cpu")
    threads = torch.get_num_threads()
    yield f"cpu ({threads} thread{'' if threads == 1 else 's'}, {'bf16' if has_bf16(cpu) else 'fp32 only'})"
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory
        precision = "bf16" if has_bf16(torch.device("cuda", i)) else "fp32 only"
        yield f"cuda:{i} {torch.cuda.get_device_name(i)} ({short(memory, 'B')}, {precision})"


def _data(name: str, data_root: Path | None) -> str:
    try:
        source = find_source(name, load_dataset(name), Lookup(data_root))
    except UserError as error:
        return f"not usable: {error}"
    return f"here, fingerprint {source.fingerprint[:12]}" if source.fingerprint else source.unavailable
