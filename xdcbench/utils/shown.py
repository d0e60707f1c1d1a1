"""Text from data as people may safely see it."""

import logging
import re
import traceback

from xdcbench.utils.secrets import redact

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """One line of text with every character that acts on a screen or cannot be written made visible, as in Python.

    These are control characters (C0 with newline and tab, DEL, C1), separators of lines and paragraphs, marks and
    overrides of the direction of writing, and lone surrogates, which stand for bytes that are no UTF-8. All scripts
    stay as they are. Stored names are never changed, only what is shown of them.
    """
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def safe_text(text: str) -> str:
    """One line of text as it is shown to people: without secrets (`redact`), every character `printable`."""
    return printable(redact(text))


class SafeFilter(logging.Filter):
    """Makes every message of a handler one line of `safe_text`; of a traceback after it, secrets go alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let all records through."""
        record.msg, record.args = safe_text(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
