"""Sequences whose values are made as they are asked for, so that millions of them take no memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

T = TypeVar("T", covariant=True)


@dataclass(frozen=True)
class LazySequence(Sequence[T]):
    """``length`` values; ``make`` gives that at a position, the same at every call."""

    length: int
    make: Callable[[int], T]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> list[T]: ...

    def __getitem__(self, at: int | slice) -> T | list[T]:
        """The value at a position, or those of a slice."""
        where = range(self.length)[at]
        return [self.make(position) for position in where] if isinstance(where, range) else self.make(where)
