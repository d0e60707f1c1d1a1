"""Secrets of addresses, passwords, keys, tokens and signatures, taken out of whatever is shown or kept."""

import re
import sys
import traceback
from types import TracebackType
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "***"

SHORTEST = 4
"""Characters of a secret that is looked for outside addresses; shorter ones are parts of too many words."""

_ADDRESS = re.compile(
    r"""(?P<scheme>\b[a-z][a-z0-9+.-]*://)
        (?P<user>[^\s/?#]*:(?!\d+(?:[/?#]|$))[^\s"<>]*@|[^\s/?#]*@)?
        (?P<place>[^\s?#'"<>]*)
        (?P<query>[?#][^\s'"<>]*)?""",
    re.IGNORECASE | re.VERBOSE,
)
"""An address: of a name and password all up to the last @, since passwords hold slashes unasked."""

_NAMED = re.compile(
    r"""(?P<name>(?<![\w-])(?:[\w-]*[_-])?(?:
        x-(?:amz|goog|ms)-[a-z-]*(?:signature|credential|token|key)
        | secret(?:_?access)?_?key | (?:access|account|shared)[_-]?key(?:_?id)? | api[_-]?key | key-pair-id
        | (?:(?:access|security|session|auth|refresh|id|sas)[_-]?)?token
        | sig(?:nature)? | pass(?:word|wd) | pwd | secret
        )["']?\s?(?:=|:|%3D)\s?["']?)
        [^\s&'",;)}\]]+""",
    re.IGNORECASE | re.VERBOSE,
)
_HEADER = re.compile(r"""(authorization["']?\s*[:=]\s*["']?\w+\s+|\bbearer\s+)[^\s'",;)]+""", re.IGNORECASE)
_FORMED = re.compile(r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[opsu]_\w{30,}|github_pat_\w{30,}|hf_\w{30,})\b")
"""Keys of Amazon, GitHub and Hugging Face, known by their form wherever they stand."""

_QUERY = re.compile(r"(?<=[\w/.-])\?[\w.~%-]+=[^\s'\"<>]+")


def redact(text: str, address: str = "") -> str:
    """``text`` without secrets: of addresses, scheme, host and path stay.

    The password and values of ``address`` are also looked for by themselves.
    """
    text = _ADDRESS.sub(_plain, text)
    for pattern in (_HEADER, _NAMED):
        text = pattern.sub(lambda found: found[1] + HIDDEN, text)
    text = _FORMED.sub(HIDDEN, text)
    text = _QUERY.sub(f"?{HIDDEN}", text)
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def hide_in_tracebacks() -> None:
    """Have the traceback that ends this process go without secrets."""

    def shown(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, at))))

    sys.excepthook = shown


def _plain(found: re.Match[str]) -> str:
    user, query = found["user"], found["query"]
    hidden = f"{query[0]}{HIDDEN}" if query and len(query) > 1 else query or ""
    return found["scheme"] + (f"{HIDDEN}@" if user else "") + found["place"] + hidden


def _secrets(address: str) -> set[str]:
    """Parts of an address that nobody may see, as they are written and as they are meant."""
    found = _ADDRESS.search(address)
    if found is None:
        return set()
    user = (found["user"] or "")[:-1]
    parts = {user, user.partition(":")[2]}
    parts |= {value for _, value in parse_qsl(urlsplit(found[0]).query)} if found["query"] else set()
    parts |= {pair.partition("=")[2] for pair in (found["query"] or "")[1:].split("&")}
    return {secret for part in parts for secret in (part, unquote(part)) if len(secret) >= SHORTEST}
