"""The documents: links lead somewhere, every page is in the navigation, and generated pages hold what the code has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from docs.hooks.commands import commands, commands_page
from docs.hooks.record import record_page
from docs.hooks.settings import SECTIONS, configs, settings_page
from docs.hooks.suites import suites_page
from tests.conftest import ROOT
from xdcbench.cli.main import app
from xdcbench.config.load import load_suite
from xdcbench.results.records import Record

DOCS = ROOT / "docs"
GENERATED = {
    f"reference/{name}.md" for name in ("commands", "settings", "suites", "record", "changes", "contributing")
}
SAMPLES = {"samples/report/index.html"}
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    DOCS.rglob("*.md")
)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_to_files(page: Path) -> None:
    for target in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
        if "://" in target:
            continue
        path = (page.parent / target).resolve()
        made = path.is_relative_to(DOCS) and path.relative_to(DOCS).as_posix() in GENERATED | SAMPLES
        assert path.exists() or made, f"{target} leads nowhere"


def in_navigation(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from in_navigation(part)


def test_every_page_is_in_the_navigation_once() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | GENERATED
    assert sorted(in_navigation(SITE["nav"])) == sorted(pages)


@pytest.mark.parametrize("part", ["tutorial", "how-to", "reference", "explanation"])
def test_the_index_of_a_part_lists_its_pages(part: str) -> None:
    pages = {path.name for path in (DOCS / part).glob("*.md")} | {
        Path(uri).name for uri in GENERATED if uri.startswith(part)
    }
    assert pages - {"index.md"} <= set(LINK.findall((DOCS / part / "index.md").read_text()))


def test_the_sample_pages_come_from_a_suite_that_needs_no_data() -> None:
    suite = load_suite(str(DOCS / "hooks" / "sample.yaml"))
    assert suite.world is not None and {"sdc", "xdc"} <= suite.methods.keys()


def test_the_site_asks_no_network_for_fonts_or_scripts() -> None:
    """``offline`` else adds a script of another host; the build's own pages are looked through by hand."""
    assert SITE["theme"]["font"] is False
    assert all((DOCS / script).is_file() for script in SITE["extra"]["polyfills"])


def test_every_command_and_option_is_on_the_page() -> None:
    page = commands_page()
    sections = dict(zip(*[iter(re.split(r"(?m)^## (.*)$", page)[1:])] * 2, strict=True))
    known = dict(commands(get_command(app)))
    assert {f"xdcbench {name}" for name in sections} == known.keys()
    for name, command in known.items():
        shown = re.findall(r"(?m)^\| `(--[\w-]+)", sections[name.removeprefix("xdcbench ")])
        assert shown == [p.opts[0] for p in command.params if p.opts[0].startswith("--") and p.name != "help"]


def test_an_option_is_shown_with_its_default_and_meaning() -> None:
    assert "| `--checkpoint-seconds X` | `60.0` | Minimum time between two checkpoints. |" in commands_page()


def test_every_setting_is_explained_on_the_page() -> None:
    page = settings_page()
    sections = dict(zip(*[iter(re.split(r"(?m)^### (.*)$", page)[1:])] * 2, strict=True))
    models = {model.__name__: model for module in SECTIONS.values() for model in configs(module)}
    assert sections.keys() == models.keys()
    for name, model in models.items():
        rows = re.findall(r"(?m)^\| `(\w+)` \|.* \| (.*) \|$", sections[name])
        assert [key for key, _ in rows] == list(model.model_fields)
        assert [key for key, meaning in rows if not meaning] == [], name


def test_a_setting_is_shown_with_type_limits_default_and_place() -> None:
    page = settings_page()
    assert "| `lr` | number (> 0) | `0.01` | per `batch_size` clips, after warm-up |" in page
    assert "In a suite: `pretrain.schedule`" in page


def test_links_within_the_settings_lead_to_models() -> None:
    page = settings_page()
    headings = {heading.lower() for heading in re.findall(r"(?m)^### (.*)$", page)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= headings


def test_every_suite_is_on_the_page_with_its_command_hardware_and_links() -> None:
    page = suites_page()
    sections = dict(zip(*[iter(re.split(r"(?m)^## (.*)$", page)[1:])] * 2, strict=True))
    assert list(sections) == sorted(path.stem for path in (ROOT / "configs" / "suites").glob("*.yaml"))
    assert all(f"xdcbench run --suite {name}" in text for name, text in sections.items())
    assert all("**Hardware:**" in text and "**Time:**" in text for text in sections.values())
    assert all((DOCS / "reference" / target).resolve().is_file() for target in LINK.findall(page))


def test_every_field_of_a_record_is_explained() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| .+ \| (.*) \|$", record_page())
    assert [name for name, _ in rows] == list(Record.model_fields)
    assert [name for name, meaning in rows if not meaning] == []


def test_where_to_get_datasets_agrees_with_the_library() -> None:
    page = (DOCS / "how-to" / "get-datasets.md").read_text()
    for path in (ROOT / "configs" / "datasets").glob("*.yaml"):
        dataset = yaml.safe_load(path.read_text())
        if "://" in dataset.get("source", ""):
            assert all(f"{dataset[key]}" in page for key in ("title", "folder", "license", "source")), path
