"""Tell the records of CSV apart where a quote is broken, by the lines that only it has spoiled.

A quoted value may hold line breaks, so that a quote that never ends swallows what follows it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

#: So many characters a record has at most, as for DuckDB.
_LONGEST: Final = 2_097_152
#: With so many columns a line of as many values is a record, not text of a record before it.
_TELLING: Final = 4


class Grammar:
    """How records look: DuckDB knows quotes at the start of a value only.

    Parameters
    ----------
    delimiter : str
    columns : int
        How many values a record has.
    """

    def __init__(self, delimiter: str, columns: int) -> None:
        between = re.escape(delimiter)
        begun = r' *"[^"]*(?:""[^"]*)*'
        value = rf'(?:{begun}" *|(?! *")(?:(?!{between})[^\n])*)'
        self._whole = re.compile(rf"{value}(?:{between}{value}){{{columns - 1}}}")
        self._open = re.compile(rf"(?:{value}{between})*{begun}")
        self._is_telling = columns >= _TELLING

    def is_open(self, text: str) -> bool:
        """Whether a quoted value begins that does not end."""
        return '"' in text and self._open.fullmatch(text) is not None

    def is_whole(self, text: str) -> bool:
        """Whether it is one record."""
        return self._whole.fullmatch(text) is not None

    def is_another(self, line: str) -> bool:
        """Whether a line within a quoted value is more likely a record of its own."""
        return self._is_telling and '"' not in line and self.is_whole(line)


def split(lines: Iterable[str], grammar: Grammar) -> Iterator[tuple[str, bool]]:
    r"""Yield every line, and whether it begins a quote that does not end.

    Parameters
    ----------
    lines : iterable of str
        Without the header.
    grammar : Grammar

    >>> lines = ['1,"a', 'b"', '2,"a', '3,b', '4,"a', 'b"']
    >>> [line for line, is_broken in split(lines, Grammar(",", 2)) if is_broken]
    ['2,"a']
    """
    waiting: deque[str] = deque()
    rest = iter(lines)
    while (line := _next(waiting, rest)) is not None:
        if not grammar.is_open(_text([line])):
            yield line, False
            continue
        taken = [line]
        is_whole = _close(taken, waiting, rest, grammar)
        yield line, not is_whole
        if is_whole:
            yield from ((one, False) for one in taken[1:])
        else:
            waiting.extendleft(reversed(taken[1:]))


def _next(waiting: deque[str], rest: Iterator[str]) -> str | None:
    return waiting.popleft() if waiting else next(rest, None)


def _text(lines: list[str]) -> str:
    return "\n".join(line.rstrip("\r\n") for line in lines)


def _close(taken: list[str], waiting: deque[str], rest: Iterator[str], grammar: Grammar) -> bool:
    """Take lines until the quote ends; return whether they are one record then."""
    size = len(taken[0])
    while size < _LONGEST and (line := _next(waiting, rest)) is not None:
        taken.append(line)
        size += len(line)
        if '"' in line:
            text = _text(taken)
            if grammar.is_whole(text):
                return True
            if not grammar.is_open(text):
                return False
        elif grammar.is_another(_text([line])):
            return False
    return False


def set_aside(path: Path, target: Path, grammar: Grammar, header: int) -> list[tuple[int, str]]:
    """Copy a file without the lines whose quote does not end, and return those by their number.

    Parameters
    ----------
    path, target : Path
        In UTF-8; bytes that are not stay as they are.
    grammar : Grammar
    header : int
        How many lines stand above the first record.
    """
    broken = []
    with (
        path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as source,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as copy,
    ):
        above = ((next(source, ""), False) for _ in range(header))
        for number, (line, is_broken) in enumerate(chain(above, split(source, grammar)), start=1):
            if is_broken:
                content = line.rstrip("\r\n").encode(errors="surrogateescape")
                broken.append((number, content.decode(errors="replace")))
            else:
                copy.write(line)
    return broken
