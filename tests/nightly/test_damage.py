"""The whole matrix: every file of complete runs, damaged in every way, under every command."""

import shutil
from pathlib import Path

import pytest
from tabulate import tabulate

from tests.integration.damage import DAMAGES, FILES, FP32, call, case, commands, judged, rerun, run
from tests.integration.helpers import PICO, own_reference
from xdcbench.pipeline.launch import Request, plan_launch
from xdcbench.results.regression.reference import write_reference

pytestmark = pytest.mark.nightly

CHANGING = ("prune", "run --policy never")
"""Commands that change a folder, each on a copy of its own; ``run`` and ``check`` are others."""


def test_no_damage_passes_and_none_stops_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)  # where no reference is written
    base, reference = tmp_path / "base", tmp_path / "reference.json"
    assert run(base).code == 0
    request = Request(suite=str(PICO), results=base, device="cpu", overrides=FP32[1:])
    write_reference(reference, own_reference(plan_launch(request)))
    settings = ("--suite", PICO, *FP32, "--num-workers", 0, "--baseline", reference)
    fixed = ("--tiers", "inputs,features", "--update", "--reason", "a test")
    assert call("check", *settings, "--results", base, *fixed).code == 0
    checking = ("check", *settings, "--tiers", "inputs,features,trained", "--results")
    rows = []
    for what, pattern in FILES.items():
        for damage, do in DAMAGES.items():
            found = {}

            def judge(*names: str, what: str = pattern, do=do, found: dict[str, str] = found) -> None:  # type: ignore[no-untyped-def]
                out, path = case(base, what, do, tmp_path / "case")
                words = commands(out, tmp_path / "case" / "to")
                for name in names:
                    if name == "run":
                        found[name] = rerun(base, out, path)
                    elif name == "check":
                        said = call(*checking, out)
                        found[name] = "" if said.code == 0 else f"code {said.code}: {said.text[-300:]}"
                    else:
                        found[name] = judged(name, call(*words[name]), path, out)
                shutil.rmtree(tmp_path / "case")

            names = list(commands(base, tmp_path))
            judge(*(name for name in names if name not in CHANGING))
            for name in ("run", "check", *CHANGING):
                judge(name)
            rows.append([what, damage, *(f"FAIL {why}" if why else "PASS" for why in found.values())])
            print(*rows[-1], sep="\t", flush=True)  # noqa: T201
    print(tabulate(rows, ["file", "damage", *found]))  # noqa: T201
    assert not [row for row in rows if any(cell.startswith("FAIL") for cell in row)]
