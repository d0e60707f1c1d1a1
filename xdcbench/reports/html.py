"""Pages that open from a disk: one HTML file with its style and scripts inside, and nothing from a network."""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xdcbench.utils.shown import printable

ASSETS = Path(__file__).parent / "assets"
"""Templates, styles and scripts of all pages; ``base.*`` are in every page."""


def render(page: str, data: Mapping[str, object], *, parts: Sequence[str] = ()) -> str:
    """One page: the template ``<page>.html``, with the styles and scripts of ``base``, ``parts`` and ``<page>`` inline.

    ``parts`` are what several pages share, such as ``board``. All text of ``data`` is made `visible` and escaped; what
    the template needs and ``data`` lacks is an error. The page's policy forbids every request but for media beside the
    file or inside it, and every script but the ones that are put in here, known by their hashes. The same data gives
    the same document.
    """
    names = (*parts, page)
    base_script, page_script = _asset("base.js"), "".join(_asset(f"{name}.js") for name in names)
    known = {
        "policy": _policy(base_script, page_script),
        "style": Markup("".join(_asset(f"{name}.css") for name in ("base", *names))),
        "base_script": Markup(base_script),
        "page_script": Markup(page_script),
    }
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{page}.html").render(**data, **known)


def download(text: str, media_type: str) -> str:
    """A link that holds a text, for the browser to save without a network."""
    content = base64.b64encode(text.encode()).decode()
    return f"data:{media_type};charset=utf-8;base64,{content}"


def relative_link(target: Path, page: Path) -> str:
    """A link from one page to another that holds wherever the folder of both is moved."""
    return quote(Path(os.path.relpath(target.resolve(), page.resolve().parent)).as_posix())


def _visible(value: object) -> object:
    """Text as it may be seen; what is HTML has been through this already, or is this package's own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    """Text of a style or script; a page need have none of its own."""
    path = ASSETS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _policy(*scripts: str) -> str:
    """Content security policy, which a browser enforces, of a page with these inline scripts."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in digests),
        "style-src": "'unsafe-inline'",
        "img-src": "'self' file: data:",
        "media-src": "'self' file: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
