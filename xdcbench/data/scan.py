"""Lists the items of a dataset with its adapter, and checks the list."""

import logging
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.data import datasets
from xdcbench.data.scanning.classes import keep_classes
from xdcbench.data.scanning.items import LABELS, MISSING, SPLIT, SUFFIXES, Scan
from xdcbench.data.scanning.lists import ABSENT
from xdcbench.data.scanning.names import explanation
from xdcbench.errors import UserError
from xdcbench.utils.code import NO_CODE, Consent, load_code, load_own
from xdcbench.utils.mapped_table import are_distinct, places

log = logging.getLogger("xdcbench")


def scan(root: Path, dataset: Dataset, consent: Consent = NO_CODE) -> Scan:
    """Run a dataset's adapter and check what it returns.

    ``dataset.adapter`` names a module of xdcbench.data.datasets with a function ``scan(root, dataset)``, or
    ``module:function``.

    Raises:
        UserError: there is no such adapter or folder, no item, a declared split is missing or empty, an id
            occurs twice, a group has items in both parts of a split, or ``multi_label`` is not as the items are;
            ``keep_classes`` refuses a name.
    """
    adapter = _adapter(dataset, consent)
    if not root.is_dir():
        raise UserError(f"{dataset.title}: no folder {root}; put the dataset there or set its `root`")
    try:
        result = adapter(root, dataset)
    except (TypeError, ValueError, KeyError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{dataset.title}: adapter {dataset.adapter!r} cannot read {root} ({reason})"
        ) from error
    if dataset.classes:
        result = keep_classes(result, dataset)
    _check(result, root, dataset)
    _explain(result, dataset)
    return result


def _adapter(dataset: Dataset, consent: Consent) -> Callable[[Path, Dataset], Scan]:
    name = dataset.adapter
    adapter: Callable[[Path, Dataset], Scan]
    if ":" not in name:
        known = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__))
        if name not in known:
            raise UserError(f"no adapter `{name}`; use one of {', '.join(known)}, or `module:function`")
        adapter = load_own(f"{datasets.__name__}.{name}:scan")
        return adapter
    try:
        adapter = load_code(name, consent, f"{dataset.title}: its adapter")
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"adapter `{name}`: {error}; it must name an importable module:function") from error
    return adapter


def _check(scan: Scan, root: Path, dataset: Dataset) -> None:
    items, title = scan.items, dataset.title
    if not (items["bytes"] != MISSING).any():
        raise UserError(f"{title}: {_nothing_here(scan, root, dataset)}")
    if (LABELS in items) != dataset.multi_label:
        found = "several classes" if LABELS in items else "one class"
        raise UserError(
            f"{title}: adapter `{dataset.adapter}` gives each item {found}; "
            f"set `multi_label: {str(LABELS in items).lower()}` for this dataset"
        )
    if not are_distinct(items["id"]):
        twice = items[items["id"].duplicated(keep=False)].sort_values(["id", "path"])
        both = ", ".join(twice["path"].head(2))
        raise UserError(f"{title}: id `{twice['id'].iloc[0]}` occurs twice ({both}); remove one of the files")
    for name in dataset.splits:
        _check_split(items, name, root, title)


def _nothing_here(scan: Scan, root: Path, dataset: Dataset) -> str:
    """That there is no file, and what is there in place of one."""
    lists = f" that {', '.join(p.name for p in scan.sources)} names" if scan.sources else ""
    why = explanation(scan.missing, scan.extra, guess=True, kind=SUFFIXES[dataset.media])
    if not why and scan.extra:
        expected = f"expected `{scan.missing[0]}`, " if scan.missing else ""
        found = f"found only {len(scan.extra)} others, such as `{scan.extra[0]}`"
        why = f"{expected}{found}. Try: set its `root` or `media`"
    mend = f": {why}" if why else "; set its `root` or fill it"
    return f"no {dataset.media} file{lists} below {root}{mend}"


def _check_split(items: pd.DataFrame, name: str, root: Path, title: str) -> None:
    if SPLIT + name not in items:
        declared = ", ".join(c.removeprefix(SPLIT) for c in map(str, items) if c.startswith(SPLIT))
        raise UserError(f"{title}: split `{name}` is not in the dataset, which has {declared}")
    part = items[SPLIT + name]
    if not ((items["bytes"] != MISSING) & (part != "")).any():
        raise UserError(f"{title}: split `{name}` has no file below {root}; mend `splits` or add files")
    train, test = (items.loc[part == side, "group"] for side in ("train", "test"))
    leaking = test[places(test, train) != ABSENT]
    if len(leaking):
        raise UserError(
            f"{title}: group `{leaking.min()}` is in train and test of split `{name}`; mend its lists"
        )


def _explain(scan: Scan, dataset: Dataset) -> None:
    """Warn of listed files that may be there under another name."""
    missing = scan.missing
    if why := explanation(missing, scan.extra, guess=False, kind=SUFFIXES[dataset.media]):
        log.warning(
            "%s: %d of %d listed files are missing; %s", dataset.title, len(missing), len(scan.items), why
        )
