"""Which stages must run, by policy."""

from typing import Literal

from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.plan import Plan
from xdcbench.results.run_store import RunStore

Policy = Literal["missing", "always", "never"]


def needed_keys(plan: Plan, store: RunStore, policy: Policy, *, thorough: bool = False) -> set[str]:
    """Keys of the stages that must run: results that are missing, what is damaged, and missing inputs of those.

    ``thorough`` hashes the inputs that are there.
    """
    if policy == "never":
        return set()
    if policy == "always":
        return {stage.key for stage in plan.stages}
    needed: set[str] = set()
    for stage in reversed(plan.stages):
        lacking = stage.key in plan.targets and not store.complete(stage.key)
        if stage.key in needed or lacking or store.damage(stage.key):
            needed.add(stage.key)
            # A pruned run counts as a result, but not as an input.
            needed.update(s.key for s in stage.read if not store.whole(s.key, thorough=thorough))
    return needed


def missing_stages(plan: Plan, store: RunStore) -> list[Stage]:
    """Stages that must run and can, in the order of the plan."""
    needed = needed_keys(plan, store, "missing")
    return [stage for stage in plan.stages if stage.key in needed and not stage.reason]
