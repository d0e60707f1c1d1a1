"""The encoders of a run as a folder that others can use: weights, what they are, programs, a model card."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from xdcbench.errors import UserError
from xdcbench.evaluation.record_fields import architecture
from xdcbench.export.model_card import card_text, data_of, scores_of
from xdcbench.export.torch_export import TOLERANCE, differences, takes, write_program
from xdcbench.models.encoders import Encoder, EncoderMetadata, load_encoder_metadata, load_encoders
from xdcbench.models.pretrained.exported import (
    MANIFEST,
    METADATA_FILE,
    Export,
    Exported,
    Program,
    is_export,
    read_export,
)
from xdcbench.models.pretrained.external import ExternalEncoder
from xdcbench.models.pretrained.origins import OWN
from xdcbench.results.find_run import find_runs as find_named
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.documents import write_json
from xdcbench.utils.io import file_hash
from xdcbench.utils.progress import log
from xdcbench.utils.provenance import versions

HOLDERS = ("init", "round", "pretrained")
"""Kinds of stage that leave encoders."""


def export_lines(name: str, out: Path, to: Path | None, consent: Consent = NO_CODE) -> Iterator[str]:
    """Export the encoders that a name stands for, one folder each, and say what was written.

    ``name`` is a run's key or the beginning of it, METHOD or METHOD@PRETRAINING_DATA; ``out`` the results folder;
    ``to`` the folder to write, ``exports/<key>`` in ``out`` by default.

    Raises:
        UserError: there is no such run, it has no encoders (any more), or the folder holds something else.
    """
    store = RunStore.existing(out)
    runs = find_runs(name, store)
    if to is not None and len(runs) > 1:
        keys = ", ".join(run.name for run in runs)
        raise UserError(
            f"{name!r} names {len(runs)} runs, {keys}, and --output {to} one folder; name one, or leave out --output"
        )
    for run in runs:
        target = to or out / "exports" / run.name
        export = export_run(run, target.absolute(), store, consent)
        yield f"{export.name} ({run.name})"
        yield from (f"file    {path}" for path in sorted(target.iterdir()))
        yield f"measure it again with --set encoders.NAME.run={target}"


def find_runs(name: str, store: RunStore) -> list[Path]:
    """Runs whose encoders ``name`` stands for: of a method the last round of each seed and setting.

    A UserError where none or several match, or what matches has no encoders.
    """
    method, at, data = name.partition("@")
    by_run, followed = {}, set()
    for key in store.keys():  # noqa: SIM118 - a store is no mapping
        about = read_facts(store.path(key))
        if about["kind"] in HOLDERS:
            by_run[key] = load_encoder_metadata(store.path(key))
        if about["kind"] == "round" and about["config"]["round"] > 1:
            followed.add(about["inputs"]["encoders"])
    last = [
        store.path(key)
        for key, of in by_run.items()
        if of.method == method and data in ("", of.pretrain_data) and key not in followed
    ]
    if not last and at:
        known = ", ".join(sorted({f"{of.method}@{of.pretrain_data}" for of in by_run.values()}))
        raise UserError(
            f"{name!r} names no encoders in {store.root}; give one of {known or 'its runs'}, or a run's key"
        )
    runs = last or [store.resolve(key) for key in find_named(name, store)]
    for run in runs:
        _require_encoders(run, store)
    return runs


def export_run(run: Path, target: Path, store: RunStore, consent: Consent = NO_CODE) -> Export:
    """Write the encoders of a run to ``target``, whole or not at all; an earlier export of the same is replaced.

    Weights and ``encoders.json`` are the run's, byte by byte, so that a suite that measures the export has
    the keys of one that measures the run.

    Raises:
        UserError: the folder holds something else, or a program does not give the encoder's features.
    """
    about, metadata = read_facts(run), load_encoder_metadata(run)
    _refuse_another(target, run, metadata)
    building = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        building.mkdir(parents=True)
        for name in (METADATA_FILE, *(f"{modality}.safetensors" for modality in metadata.encoders)):
            shutil.copyfile(run / name, building / name)
        export = _described(about, metadata, building, consent)
        write_json(building / MANIFEST, export.model_dump(mode="json"))
        text = card_text(
            export, data=data_of(about, metadata, store), scores=scores_of(run.name, store), about=about
        )
        (building / "README.md").write_text(text, encoding="utf-8")
        old = building.with_name(f"{building.name}.old")
        if target.exists():
            target.rename(old)
        building.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot write {target} ({error.strerror or error}); give another folder with --output"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return export


def _described(about: RunFacts, metadata: EncoderMetadata, building: Path, consent: Consent) -> Export:
    """The manifest of a folder that holds weights and metadata; programs are added to the folder."""
    load = partial(load_encoders, building, metadata.encoders, device=torch.device("cpu"), consent=consent)
    # Two copies: one to trace, one placed as the suite runs it, by which the program is judged.
    encoders = {m: e.eval() for m, e in load().items()}
    untraced = {m: why for m, encoder in encoders.items() if (why := _traced(encoder, building / f"{m}.pt2"))}
    traced = {m: encoder.eval() for m, encoder in load().items() if m not in untraced}
    apart = differences(traced, building) if traced else {}
    for modality, difference in apart.items():
        if not difference <= TOLERANCE:
            raise UserError(
                f"{about['key']}: the {modality} program differs from its encoder by {difference:.1e}, more than "
                f"{TOLERANCE:.0e}; it computes what torch.export cannot keep"
            )
    programs = {
        m: Program(file=f"{m}.pt2", takes=takes(encoders[m].input), difference=difference)
        for m, difference in apart.items()
    }
    described = {
        m: Exported(
            architecture=architecture(metadata, m),
            source=metadata.sources.get(m, OWN[m == "audio"]),
            features=encoder.features,
            parameters=sum(p.numel() for p in encoder.parameters()),
            input=encoder.input,
            weights=f"{m}.safetensors",
            program=programs.get(m),
            untraced=untraced.get(m, ""),
        )
        for m, encoder in encoders.items()
    }
    shared = Export.model_fields.keys() & EncoderMetadata.model_fields.keys() - {"encoders"}
    return Export(
        run=about["key"],
        encoders=described,
        sha256={path.name: file_hash(path) for path in sorted(building.iterdir())},
        exported_with=versions(),
        name=about["name"],
        suite=about["suite"],
        versions=about["versions"],
        commit=about["commit"],
        **{field: getattr(metadata, field) for field in shared},
    )


def _traced(encoder: Encoder, path: Path) -> str:
    """Write the program of an encoder; why there is none, which only others' code may give cause to."""
    try:
        write_program(encoder, path)
    except Exception as error:
        if not isinstance(encoder, ExternalEncoder):
            raise
        path.unlink(missing_ok=True)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        said = "no %s: torch.export cannot trace this encoder (%s); its weights are exported"
        log.warning(said, path.name, reason)
        return reason
    return ""


def _require_encoders(run: Path, store: RunStore) -> None:
    if run.parent.name == ".failed":
        raise UserError(f"{run.name} failed and left no encoders; `xdcbench show {run.name}` says why")
    store.require(run.name)
    about = read_facts(run)
    if about["kind"] not in HOLDERS:
        inputs = about["inputs"]
        if "features" in inputs and store.complete(inputs["features"]):
            inputs = read_facts(store.path(inputs["features"]))["inputs"]
        hint = f"; export {inputs['encoders']}, whose encoders it read" if "encoders" in inputs else ""
        raise UserError(f"{run.name} is a run of {about['kind']!r}, which leaves no encoders{hint}")
    gone = [m for m in load_encoder_metadata(run).encoders if not (run / f"{m}.safetensors").is_file()]
    if gone:
        raise UserError(
            f"{run.name}: its {' and '.join(gone)} weights were pruned; export a later round, or make it again with "
            f"`xdcbench run --policy always --filter '{about['name']}'` and its suite"
        )


def _refuse_another(target: Path, run: Path, metadata: EncoderMetadata) -> None:
    """Only an earlier export of the same encoders may be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not is_export(target):
        raise UserError(f"{target} is there and no export; give another folder with --output")
    there = read_export(target)
    own = {f"{m}.safetensors": file_hash(run / f"{m}.safetensors") for m in metadata.encoders}
    if there.run != run.name or any(there.sha256.get(name) != digest for name, digest in own.items()):
        raise UserError(
            f"{target} holds other encoders, of {there.run} ({there.name}); remove it, or give another "
            "folder with --output"
        )
