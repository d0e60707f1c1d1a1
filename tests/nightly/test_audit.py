"""No version of constraints.txt has a known vulnerability."""

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import NO_ADVISORIES, ROOT

pytestmark = pytest.mark.nightly

UNREACHABLE = re.compile("ConnectionError|ConnectTimeout|ReadTimeout|Connection(Refused|Reset)|ServiceError")
"""What pip-audit ends with where its service cannot be reached."""


def test_no_pinned_version_has_a_known_vulnerability() -> None:
    """Asks OSV, never a package registry, about the versions that are pinned; installs nothing."""
    words = (
        "-r",
        "constraints.txt",
        "--no-deps",
        "--disable-pip",
        "-s",
        "osv",
        "-f",
        "json",
        "--timeout",
        "10",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *words, "--progress-spinner", "off"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if not done.stdout and UNREACHABLE.search(done.stderr):
        pytest.skip(NO_ADVISORIES)
    assert done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout)["dependencies"]
    assert len(found) == sum(bool(re.match(r"\w", line)) for line in (ROOT / "constraints.txt").open())
    assert not [package["name"] for package in found if "skip_reason" in package]
    known = [
        f"{package['name']} {package['version']}: {flaw['id']}, right in {', '.join(flaw['fix_versions']) or 'none'}"
        for package in found
        for flaw in package.get("vulns", [])
    ]
    assert not known, "\n".join(known)
