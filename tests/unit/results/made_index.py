"""The run of an index, written by hand."""

from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest


def write_index(store: RunStore, key: str, name: str, title: str) -> None:
    """A run of an index, with what its ``run.json`` says of its dataset."""
    run = store.path(key)
    run.mkdir()
    facts = {"key": key, "kind": "index", "version": 3, "name": f"index/{name}", "suite": "s", "science": {}}
    facts |= {"config": {"name": name, "dataset": {"title": title}}, "inputs": {}, "seconds": 1.0}
    facts |= {"device": "cpu", "world_size": 1, "versions": {}, "commit": ""}
    write_json(run / "run.json", facts)
    write_manifest(run)
