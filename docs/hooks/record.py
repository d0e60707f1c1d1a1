"""The page of the record, from its class and the comments on its fields."""

import inspect
import re

from docs.hooks.settings import words
from xdcbench.results.records import SCHEMA_VERSION, Record

FIELD = re.compile(r"^ {4}(\w+): .*?(?:  # (.*))?$", flags=re.M)
INTRODUCTION = f"""\
# Record

A record is one measured number and everything needed to judge it. Records lie in `records.json` of their run, as a
list. [`xdcbench.read_records`](python.md) reads them. [Design](../explanation/design.md#records) says how tables use
them. This is version {SCHEMA_VERSION} of the schema; records of another version are refused.

`hyperparameters` hold `k_<clustering>`, `round`, `pretrain_lr`, `clustering`, `frames`, `size`, `num_clips`, and
strengths of the synthetic world: `appearance` (hue and pitch), `timing` (motion and rhythm), `nuisances`. `outcomes`
hold the selected `c`, the candidates of a `sweep` and the choice, `inner_folds`, `converged`, each sample of a low-shot
probe, and the selected epoch.

| field | type | meaning |
|---|---|---|
"""


def record_page() -> str:
    """Every field of a record, in Markdown."""
    said = dict(FIELD.findall(inspect.getsource(Record)))
    return INTRODUCTION + "".join(
        f"| `{name}` | {words(field.annotation)} | {said[name]} |\n"
        for name, field in Record.model_fields.items()
    )
