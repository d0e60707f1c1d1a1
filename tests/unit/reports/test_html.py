import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from xdcbench.reports import html as base

TOY = """{% extends "base.html" %}
{% block title %}{{ title }}{% endblock %}
{% block main %}<h1 title="{{ title }}">{{ title }}</h1>{% endblock %}"""


@pytest.fixture(scope="module", autouse=True)
def toy(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A page of its own beside the real assets."""
    folder = tmp_path_factory.mktemp("assets")
    for asset in base.ASSETS.iterdir():
        (folder / asset.name).write_text(asset.read_text())
    (folder / "toy.html").write_text(TOY)
    (folder / "toy.js").write_text("document.title;")
    patch = pytest.MonkeyPatch()
    patch.setattr(base, "ASSETS", folder)
    yield
    patch.undo()


class Parsed(HTMLParser):
    """What a parser other than the template engine sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = tag

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        self.inside.setdefault(self.open, []).append(data)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1)


@settings(deadline=None)
@given(
    TEXT | st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;", "{{ 7 }}"])
)
def test_text_stays_text(text: str) -> None:
    page, plain = (Parsed(base.render("toy", {"title": said})) for said in (text, "x"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert "".join(page.inside["h1"]) == text
    assert next(attributes["title"] for tag, attributes in page.tags if tag == "h1") == text


def test_only_own_scripts_may_run() -> None:
    page = Parsed(base.render("toy", {"title": "x"}))
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    scripts = page.inside["script"]
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]


def test_nothing_is_named_that_lies_elsewhere() -> None:
    assert "http:" not in base.render("toy", {"title": "x"})
    assert "https:" not in base.render("toy", {"title": "x"})


def test_missing_data_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        base.render("toy", {})


def test_assets_can_stand_inside_their_tags(toy: None) -> None:
    for asset in base.ASSETS.iterdir():
        if asset.suffix in (".js", ".css"):
            assert "</" not in asset.read_text(), asset.name


def test_assets_are_packaged() -> None:
    import xdcbench.reports

    here = Path(xdcbench.reports.__file__).parent / "assets"
    assert {"base.html", "base.css", "base.js"} <= {path.name for path in here.iterdir()}
