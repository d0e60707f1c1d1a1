"""Runs by what people call them: a key, the beginning of its hash, the name of a stage, or a method."""

import difflib
from collections.abc import Iterator

from xdcbench.errors import UserError
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import RunStore, keys_named


def find_runs(name: str, store: RunStore) -> list[str]:
    """Keys of the runs that a name stands for, several only of a method that was pretrained several times.

    A method, or METHOD@PRETRAINING_DATA, stands for the last round of each of its pretrainings, or its
    initialization; the name of a stage (``xdc/kinetics400/seed0/round2``) for its run.

    Raises:
        UserError: nothing matches, and the message says what is near; or a key's beginning fits several runs.
    """
    there = [*store.there(), *failed_keys(store)]
    if name in there:
        return [name]
    facts = dict(_facts(store))
    if named := [key for key, of in facts.items() if of["name"] == name]:
        return named
    if pretrained := _last_of(name, facts):
        return pretrained
    if keys_named(name, there):
        return [store.resolve(name).name]
    if own := sorted(of["name"] for of in facts.values() if of["name"].startswith(f"{name}/")):
        raise UserError(
            f"{name!r} has no pretraining in {store.root}. Try: the name of a stage, such as {own[0]!r}"
        )
    known = _names_of(facts)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "`xdcbench runs` lists its runs"
    raise UserError(f"{name!r} matches no run in {store.root}; {hint}")


def names_of_runs(store: RunStore) -> list[str]:
    """What runs can be called: methods, then names of stages, then keys."""
    return _names_of(dict(_facts(store)))


def _names_of(facts: dict[str, RunFacts]) -> list[str]:
    """As `names_of_runs`, of runs that have been read."""
    names = {of["name"] for of in facts.values()}
    return [*sorted(_methods(facts)), *sorted(names), *facts]


def failed_keys(store: RunStore) -> list[str]:
    """Keys of runs of which attempts failed."""
    failed = store.runs / ".failed"
    return sorted(path.name for path in failed.iterdir()) if failed.is_dir() else []


def _facts(store: RunStore) -> Iterator[tuple[str, RunFacts]]:
    for key in store.keys():  # noqa: SIM118 - a store is no mapping
        yield key, read_facts(store.path(key))


def _last_of(name: str, facts: dict[str, RunFacts]) -> list[str]:
    """Keys of the last rounds of a method."""
    method, _, data = name.partition("@")
    own = {key: of for key, of in facts.items() if of["kind"] == "round" and of["config"]["method"] == method}
    followed = {of["inputs"]["encoders"] for of in own.values()}
    return sorted(key for key in own.keys() - followed if data in ("", own[key]["name"].split("/")[1]))


def _methods(facts: dict[str, RunFacts]) -> set[str]:
    return {str(of["config"]["method"]) for of in facts.values() if of["kind"] == "round"}
