"""Pages that the build makes from the code, and from files at the root of the project."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.hooks.commands import commands_page
from docs.hooks.record import record_page
from docs.hooks.samples import sample_files
from docs.hooks.settings import settings_page
from docs.hooks.suites import suites_page

ROOT = Path(__file__).parents[2]
FROM_ROOT = {"reference/changes.md": "CHANGELOG.md", "reference/contributing.md": "CONTRIBUTING.md"}


REMOTE = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
)
"""What a page would load from a network."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; MkDocs calls this with the files of docs/."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/suites.md": suites_page(),
        "reference/record.md": record_page(),
        **{uri: from_root(name) for uri, name in FROM_ROOT.items()},
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    for file in sample_files(config):
        files.append(file)
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Show a bar in a table's code as a bar: on GitHub it needs a backslash, which MkDocs would print."""
    return html.replace(r"\|", "|")


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Fail where a page loads something from a network."""
    if found := REMOTE.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[1]}. Try: a file below docs/assets")
    return output


def from_root(name: str) -> str:
    """A Markdown file of the project's root, with links as a page below reference/ has them."""
    text = (ROOT / name).read_text()
    text = text.replace("](docs/", "](../")
    for uri, other in FROM_ROOT.items():
        text = text.replace(f"]({other})", f"]({Path(uri).name})")
    return text
