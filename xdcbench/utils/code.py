"""The gate: the one place where a name becomes code that runs, and the consent that a name from a file needs."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any

from xdcbench.errors import UserError
from xdcbench.utils.documents import read_setting


@dataclass(frozen=True)
class Consent:
    """The code that the user lets run, each as ``module:object``; none unless it is said.

    Attributes:
        everything: whatever files name (``--trust-code``).
        typed: what was named on the command line (``--set``).
    """

    everything: bool = False
    typed: frozenset[str] = frozenset()

    @classmethod
    def given(cls, *, trust: bool, settings: Iterable[str]) -> "Consent":
        """What a command line lets run, its ``--set`` given as ``a.b=value`` strings.

        Raises:
            UserError: one of them has no readable value.
        """
        typed = (text for setting in settings if "=" in setting for text in _texts(read_setting(setting)))
        return cls(trust, frozenset(text for text in typed if ":" in text))

    def require(self, name: str, where: str, *, key: str = "") -> None:
        """Refuse code that the user has not let run.

        Args:
            name: ``module:object``.
            key: with which ``--set`` may name it, where there is one.

        Raises:
            UserError: it was neither typed nor trusted.
        """
        if not self.everything and name not in self.typed:
            told = f"{where}: {key} runs" if key else f"{where} runs"
            typed = f", or name it yourself with --set {key}={name}" if key else ""
            raise UserError(f"{told} code, {name!r}; read it, then give --trust-code{typed}")


NO_CODE = Consent()


def load_code(name: str, consent: Consent, where: str) -> Any:
    """The object that ``module:object`` names; its module is imported.

    Raises:
        UserError: the user has not let it run.
        Exception: whatever importing it raises.
    """
    consent.require(name, where)
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def find_code(name: str, consent: Consent, where: str) -> Path | None:
    """The file of the module of ``module:object``, None where there is none; packages above it are imported.

    Raises:
        UserError: the user has not let it run.
        ImportError, ValueError: a package above it cannot be imported, or it is no name of a module.
    """
    consent.require(name, where)
    module, _, attribute = name.partition(":")
    spec = util.find_spec(module) if module and attribute else None
    return Path(spec.origin) if spec and spec.origin else None


def is_module(name: str) -> bool:
    """Whether Python finds a module of this name, without a dot; nothing is imported."""
    return name in sys.modules or util.find_spec(name) is not None


def load_own(target: str) -> Any:
    """The object that ``module:object`` names in a table of this package's code, never in a file."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
