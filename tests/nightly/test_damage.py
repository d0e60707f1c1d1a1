"""The whole matrix: every file of complete runs, damaged in every way, under every command."""

import shutil
from pathlib import Path

import pytest
from tabulate import tabulate

from tests.integration.damage import DAMAGES, FILES, FP32, call, case, commands, judged, rerun, run
from tests.integration.helpers import PICO

pytestmark = pytest.mark.nightly


def test_no_damage_passes_and_none_stops_a_command(tmp_path: Path) -> None:
    base, reference = tmp_path / "base", tmp_path / "reference.json"
    assert run(base).code == 0
    checking = ("check", "--suite", PICO, *FP32, "--reference", reference, "--out")
    assert call(*checking, base, "--update").code == 0
    rows = []
    for what, pattern in FILES.items():
        for damage, do in DAMAGES.items():
            found = {}
            for name in ("run", "check", *commands(base, tmp_path)):
                out, path = case(base, pattern, do, tmp_path / "case")
                if name == "run":
                    found[name] = rerun(base, out, path)
                elif name == "check":
                    said = call(*checking, out)
                    found[name] = "" if said.code == 0 else f"code {said.code}: {said.text[-300:]}"
                else:
                    words = commands(base, tmp_path / "case")[name]
                    said = call(*(out if word == base else word for word in words))
                    found[name] = judged(name, said, path, out)
                shutil.rmtree(tmp_path / "case")
            rows.append([what, damage, *(f"FAIL {why}" if why else "PASS" for why in found.values())])
    print(tabulate(rows, ["file", "damage", "run", "check", *commands(base, tmp_path)]))  # noqa: T201
    assert not [row for row in rows if any(cell.startswith("FAIL") for cell in row)]
