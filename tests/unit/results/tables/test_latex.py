"""LaTeX that a user gives; what tables print is in test_render and, compiled, in the nightly tests."""

import pytest

from xdcbench.results.tables.latex import open_latex


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        (r"Ours, 100\% of \emph{all}.", False),
        (r"a \\ b", False),
        (r"\{", False),
        ("", False),
        ("100 % of all", True),
        (r"\emph{all", True),
        ("}{", True),
        ("ends with \\", True),
        (r"\\%", True),
    ],
)
def test_a_caption_that_would_swallow_what_follows(text: str, is_open: bool) -> None:
    assert open_latex(text) == is_open
