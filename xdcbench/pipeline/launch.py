"""From what a user asks for to a plan that can be executed here."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xdcbench.config.consistency import check, pretrain_of, settings_of
from xdcbench.config.load import load_suite
from xdcbench.config.stages import ShardsStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import PREPARED, Context, Source
from xdcbench.data.decoded import DecodedItems
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import Origin, find_origin, must_be_built
from xdcbench.pipeline.defaults import default_decoded_bytes, default_num_workers, jobs_of
from xdcbench.pipeline.earlier import find_earlier, forget_stale
from xdcbench.pipeline.plan import Plan, make_plan
from xdcbench.results.run_store import RunStore
from xdcbench.utils.cache_folder import cache_folder
from xdcbench.utils.code import Consent
from xdcbench.utils.distributed import is_main_process
from xdcbench.utils.hardware import cpu_has_bf16, has_gpu_driver
from xdcbench.utils.precision import Precision

if TYPE_CHECKING:
    from xdcbench.data.shards.reader import ShardReader

log = logging.getLogger("xdcbench")


@dataclass(frozen=True)
class Request:
    """What ``xdcbench run`` and ``check`` take from the command line."""

    suite: str
    synthetic: str = ""
    overrides: Sequence[str] = ()
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    filter: str = ""
    stage: str = ""
    data_root: Path | None = None
    shards: Sequence[str] = ()
    scratch: str | None = None
    cache_bytes: int | None = None
    decoded_bytes: int | None = None
    results: Path = Path("results")
    device: str = "auto"
    num_workers: int | None = None
    jobs: int | None = None
    precision: Precision | None = None
    auto_precision: Precision | None = None
    checkpoint_seconds: float = 60.0
    keep_checkpoints: int = 2
    micro_batch_size: int | None = None
    compile: bool = False
    trust_code: bool = False
    accept_license: bool = False
    fingerprint: Literal["size", "content"] = "size"

    @property
    def consent(self) -> Consent:
        """The code of others that the user lets run."""
        return Consent.given(trust=self.trust_code, settings=self.overrides)

    def load(self) -> Suite:
        """The suite as it is asked for.

        Raises:
            UserError: as `load_suite`.
        """
        return load_suite(
            self.suite,
            world=self.synthetic,
            overrides=self.overrides,
            methods=self.methods,
            seeds=self.seeds,
            consent=self.consent,
        )


@dataclass(frozen=True)
class Launch:
    """A plan with the folder and the context to execute it in.

    ``whole`` is the plan of the whole suite, ``selected`` what ``--filter`` leaves of it. ``plan`` is what is executed:
    the same, or the stage of ``--stage``. ``auto_precision`` is what ``auto`` was resolved to, None where no stage says
    ``auto``.
    """

    plan: Plan
    store: RunStore
    context: Context
    whole: Plan
    selected: Plan
    jobs: int = 1
    auto_precision: Precision | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the whole suite's stages."""
        return tuple(stage.key for stage in self.whole.stages)


def plan_launch(request: Request, *, write: bool = True) -> Launch:
    """Load the suite, find its data, resolve the device, expand the plan; ``write`` allows to make the results folder.

    Raises:
        UserError: anything in the request that does not fit.
    """
    suite = asked_suite(request)
    store = RunStore(request.results, write=write)
    device, resolved = resolve_precisions(suite, request)
    shards = open_shards_of(suite, request)
    sources = find_sources(suite, request, store, shards, write=write)
    origins = find_origins(suite, request.consent)
    whole = make_plan(
        suite,
        sources,
        origins=origins,
        earlier=find_earlier(suite, store),
        precision=lambda asked: request.precision or resolved.get(asked, asked),
    )
    if shards:
        from xdcbench.pipeline.shards_fit import check_fit

        check_fit(whole.stages, shards, origins)
    selected = whole.only(request.filter) if request.filter else whole
    plan = whole.only(request.stage) if request.stage else selected
    jobs = jobs_of(suite, device, request.jobs)
    context = make_context(request, plan, store, device, shards, jobs)
    if request.scratch is not None and not (shards or context.prepared):
        log.warning("--scratch: %s reads no prepared shards, and none are copied", suite.name)
    if write and is_main_process():
        forget_stale(whole, sources, store)
    return Launch(plan, store, context, whole, selected, jobs, resolved.get("auto"))


def asked_suite(request: Request) -> Suite:
    """The suite of a request, with its settings laid over it.

    Raises:
        UserError: a setting does not fit, or ``--data-root`` is no folder.
    """
    suite = request.load()
    for part in suite.leaves:
        check(part)
    if suite.world and request.data_root:
        log.warning("%s writes a synthetic world: nothing is read from %s", suite.name, request.data_root)
    elif request.data_root and not request.data_root.is_dir():
        raise UserError(f"--data-root {request.data_root} is no folder; give the one that holds the datasets")
    return suite


def make_context(
    request: Request, plan: Plan, store: RunStore, device: str, shards: Mapping[str, "ShardReader"], jobs: int
) -> Context:
    """What the stages of a plan run with; ``jobs`` of them side by side share readers and decoded bytes."""
    decoded = default_decoded_bytes() if request.decoded_bytes is None else request.decoded_bytes
    return Context(
        suite=plan.suite.name,
        device=device,
        num_workers=default_num_workers(jobs) if request.num_workers is None else request.num_workers,
        roots={**roots(plan, request, store), **shards},
        prepared={
            stage.config.name: store.path(stage.key) / PREPARED
            for stage in plan.stages
            if isinstance(stage.config, ShardsStage)
        },
        decoded=DecodedItems(decoded // jobs),
        scratch=request.scratch,
        cache=store.root / "cache",
        checkpoint_seconds=request.checkpoint_seconds,
        keep_checkpoints=request.keep_checkpoints,
        micro_batch_size=request.micro_batch_size,
        compile=request.compile,
        fingerprint=request.fingerprint,
        consent=request.consent,
        accept_license=request.accept_license,
    )


def resolve_precisions(suite: Suite, request: Request) -> tuple[str, dict[Precision, Precision]]:
    """The device's name, and what ``auto`` precision means on it.

    torch is imported only where the answer needs it, so that a finished suite prints its tables at once.
    """
    asked = {
        precision
        for part in suite.leaves
        for precision in (
            *(pretrain_of(part, group).precision for group in part.pretraining),
            *(settings_of(part, measure).precision for measure in part.evaluate),
        )
    }
    stated: dict[Precision, Precision] = {"auto": request.auto_precision} if request.auto_precision else {}
    if request.device == "cpu" and (stated or "auto" not in asked or request.precision):
        return "cpu", stated
    bf16 = cpu_has_bf16()
    if bf16 is not None and (request.device == "cpu" or (request.device == "auto" and not has_gpu_driver())):
        return "cpu", stated or {"auto": "bf16" if bf16 else "fp32"}
    from xdcbench.utils.runtime import pick_device, resolve_precision

    device = pick_device(request.device)
    return str(device), stated or {"auto": resolve_precision("auto", device)}


def open_shards_of(suite: Suite, request: Request) -> dict[str, "ShardReader"]:
    """Prepared shards of the suite's datasets; a suite with a world writes its own files."""
    if suite.world or not request.shards:
        if request.shards:
            log.warning("%s writes a synthetic world: no shards are read", suite.name)
        return {}
    from xdcbench.data.shards.cache import CACHE_BYTES, RANGES, Cache
    from xdcbench.data.sources import find_shards, used_datasets

    limit = CACHE_BYTES if request.cache_bytes is None else request.cache_bytes
    used = dict.fromkeys(name for part in suite.leaves for name in used_datasets(part))
    datasets = {name: suite.datasets[name] for name in used}
    return find_shards(request.shards, datasets, Cache(cache_folder(RANGES), limit))


def find_sources(
    suite: Suite, request: Request, store: RunStore, shards: Mapping[str, "ShardReader"], *, write: bool
) -> Mapping[str, Source]:
    """Place of each real dataset; nothing to find for a suite with a world."""
    if suite.world:
        return {}
    from xdcbench.data.sources import Lookup, find_source, used_datasets

    lookup = Lookup(
        request.data_root,
        cache=store.root / "cache" if write else None,
        verified=store.root / "data",
        mode=request.fingerprint,
        consent=request.consent,
    )
    return {
        name: Source(shards[name].manifest.fingerprint, shards=True)
        if name in shards
        else find_source(name, suite.datasets[name], lookup)
        for name in dict.fromkeys(name for part in suite.leaves for name in used_datasets(part))
    }


def find_origins(suite: Suite, consent: Consent) -> dict[str, Origin]:
    """Place of each of the encoders from elsewhere; others' code is built, and weights are seen to fit.

    Raises:
        UserError: an encoder cannot be built.
    """
    origins = {
        name: find_origin(name, pretrained, consent=consent) for name, pretrained in suite.encoders.items()
    }
    for name, pretrained in suite.encoders.items():
        if not origins[name].unavailable and must_be_built(pretrained):
            from xdcbench.pretraining.pretrained import build_all

            built = build_all(pretrained, consent, where=f"encoders.{name}")
            inputs = {modality: encoder.input for modality, encoder in built.items()}
            origins[name] = replace(origins[name], inputs=inputs)
    return origins


def roots(plan: Plan, request: Request, store: RunStore) -> dict[str, Path]:
    """Folder of each dataset of the plan, in the synthetic world or on the user's disk."""
    world = next((stage for stage in plan.stages if stage.kind == "world"), None)
    if world:
        return {name: store.path(world.key) / d.folder for name, d in plan.suite.datasets.items()}
    from xdcbench.data.sources import root_of

    found = {name: root_of(d, request.data_root) for name, d in plan.suite.datasets.items()}
    return {name: root for name, root in found.items() if root}
