"""Progress of long work: plain lines, on standard error, so that output stays clean."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


def silent(line: str) -> None:
    """Drop one line of progress."""


@dataclass
class Step:
    """One step in progress; what it reports is kept in the manifest."""

    name: str
    report: dict[str, Any] = field(default_factory=dict)


@contextmanager
def step(name: str, say: Say) -> Iterator[Step]:
    """Announce a step, time it, and say what it reported."""
    started = time.perf_counter()
    current = Step(name)
    yield current
    seconds = round(time.perf_counter() - started, 2)
    facts = ", ".join(f"{key} {value}" for key, value in current.report.items() if _short(value))
    current.report["seconds"] = seconds
    say(f"  {name:<9} {seconds:>6.2f} s  {facts}")


def _short(value: object) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) <= 40
