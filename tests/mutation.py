"""Mutation testing: mutmut on a seeded sample of the mutants of each module; lists those that no test kills.

``tox -e mutation`` runs it from the project's root; pyproject.toml says which modules and tests.
docs/explanation/testing.md has the survivors of the last run, each judged.
"""

import argparse
import ast
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MUTANTS = Path("mutants")
"""Where mutmut writes the mutated sources, what tests reach them, and what became of each mutant."""
KILLED = {1, 3, 24, 36, 152, 255, -9, -11, -24}
"""Exit codes of a mutant on which a test failed, or that died or ran out of time (``mutmut.stats``)."""
FIRST = "xdcbench.clustering.metrics.x_nmi__mutmut_1"
"""Asked for alone, since mutmut writes all mutants as it runs any."""


class _Wordless(ast.NodeTransformer):
    """Leaves out what an exception says."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
        return node


def shapes(source: str) -> dict[str, str]:
    """Body of each function and method by mutmut's name, as a tree without the words of its exceptions."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    return {f.name: "\n".join(ast.dump(_Wordless().visit(line)) for line in f.body) for f in functions}


def mutants() -> dict[str, list[str]]:
    """Names of the mutants by module; those that only change the words of an exception are left out."""
    found = {}
    for meta in sorted(MUTANTS.rglob("*.py.meta")):
        trees = shapes(meta.with_suffix("").read_text(encoding="utf-8"))
        names = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        short = {name: name.rpartition(".")[2] for name in names}
        found[str(meta.relative_to(MUTANTS).with_suffix(""))] = [
            name
            for name, own in short.items()
            if trees[own] != trees[own.rpartition("__mutmut_")[0] + "__mutmut_orig"]
        ]
    return {module: names for module, names in found.items() if names}


def sample(of: dict[str, list[str]], count: int, seed: int) -> list[str]:
    """Up to ``count`` mutants of each module; the first are the same for any count."""
    drawn: list[str] = []
    for module, names in of.items():
        drawn += random.Random(f"{seed}/{module}").sample(sorted(names), len(names))[:count]
    return drawn


def mutmut(*words: str) -> None:
    """Run mutmut's command line.

    Raises:
        subprocess.CalledProcessError: it fails, as where a test fails without a mutant.
    """
    subprocess.run([sys.executable, "-m", "mutmut", *words], check=True)


def survivors(names: list[str]) -> Iterator[str]:
    """Those of ``names`` that no test killed, or that no test reaches."""
    codes: dict[str, int | None] = {}
    for meta in MUTANTS.rglob("*.py.meta"):
        codes |= json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
    return (name for name in names if codes[name] not in KILLED)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40, help="mutants of each module at most")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", default="", help="modules whose path has this in it")
    chosen = parser.parse_args()
    mutmut("run", "--max-children", "1", FIRST)
    modules = {module: names for module, names in mutants().items() if chosen.only in module}
    drawn = sample(modules, chosen.count, chosen.seed)
    mutmut("run", "--max-children", "1", *drawn)
    alive = list(survivors(drawn))
    for name in alive:
        mutmut("show", name)
    print(f"{len(drawn)} of {sum(map(len, modules.values()))} mutants drawn, {len(alive)} survive")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
