"""Progress of long work, on standard error so that output stays clean.

On a terminal each step is a bar; elsewhere, and where logs are JSON, each step is one log line
with the run's id.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from nba.logs import for_machines, log, new_id
from nba.memory import begin_peak, cpu_seconds, peak_mb

#: What is measured of every step.
MEASURED: Final = ("seconds", "cpu_seconds", "peak_mb", "rows_per_second")
#: What a step counts its rows by, the first that it reports.
_ROWS: Final = ("rows", "customers", "timing", "eligible", "actions")


def to_stderr(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Step:
    """One step in progress; what it reports is kept in the manifest.

    `started` and `ended` are nanoseconds since 1970, `error` says why it failed.
    """

    name: str
    report: dict[str, Any] = field(default_factory=dict)
    left: str = ""
    started: int = 0
    ended: int = 0
    error: str = ""

    def facts(self) -> dict[str, Any]:
        """Return what is short enough for one line: counts, versions, seconds."""
        return {
            key: value
            for key, value in self.report.items()
            if isinstance(value, int | float | str) and len(str(value)) <= 40
        }


class Progress:
    """Shows the steps of one run as log lines.

    Call it with a text to say something between steps.
    """

    def __init__(self) -> None:
        self.run_id = new_id()
        #: The step that failed; empty while none has.
        self.failed_step = ""
        #: The steps that are over, in order.
        self.steps: list[Step] = []

    def __call__(self, line: str) -> None:
        """Show one line."""
        if for_machines():
            log().info(line, run=self.run_id)
        else:
            to_stderr(line)

    @contextmanager
    def step(self, name: str, left: str = "") -> Iterator[Step]:
        """Show a step, measure its time and memory, and show what it reported or how it failed.

        Parameters
        ----------
        name : str
        left : str
            How long the step and what follows it will take, for people.
        """
        started, current = time.perf_counter(), Step(name, left=left, started=time.time_ns())
        worked = cpu_seconds()
        begin_peak()
        with self._shown(current):
            try:
                yield current
            except BaseException as error:
                self.failed_step = name
                current.error = type(error).__name__
                self._over(current)
                self._failed(current, time.perf_counter() - started, error)
                raise
            current.report["seconds"] = round(time.perf_counter() - started, 2)
            current.report["cpu_seconds"] = round(cpu_seconds() - worked, 2)
            current.report["peak_mb"] = peak_mb()
            counts = (current.report.get(name) for name in _ROWS)
            rows = next((count for count in counts if isinstance(count, int) and count), 0)
            if rows:
                pace = rows / max(current.report["seconds"], 0.01)
                current.report["rows_per_second"] = round(pace)
        self._over(current)
        self._done(current)

    def _over(self, current: Step) -> None:
        current.ended = time.time_ns()
        self.steps.append(current)

    def _shown(self, current: Step) -> AbstractContextManager[None]:
        """Return the context in which a step runs."""
        if current.left:
            self(f"{current.name}: {current.left}")
        return nullcontext()

    def _done(self, current: Step) -> None:
        log().info("step", step=current.name, **current.facts(), run=self.run_id)

    def _failed(self, current: Step, seconds: float, error: BaseException) -> None:
        log().error(
            "step failed",
            step=current.name,
            seconds=round(seconds, 2),
            error=type(error).__name__,
            run=self.run_id,
        )


class Bars(Progress):
    """Shows each step as a bar on a terminal; the finished bar says what came of it."""

    @contextmanager
    def _shown(self, current: Step) -> Iterator[None]:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        with RichProgress(*columns, console=Console(stderr=True)) as display:
            task = display.add_task(current.name, total=None, facts=current.left)
            yield
            facts = current.facts()
            for name in MEASURED[:-1]:
                facts.pop(name, None)
            pace = facts.pop(MEASURED[-1], None)
            parts = [f"{key} {value}" for key, value in facts.items()]
            shown = ", ".join(parts + ([f"{pace:,} rows/s"] if pace is not None else []))
            display.update(task, total=1, completed=1, facts=shown)

    def _done(self, current: Step) -> None:
        """Add nothing: the bar has said it."""


class _Silent(Progress):
    """Shows nothing: for runs inside an experiment."""

    def __call__(self, line: str) -> None:
        """Drop one line."""

    def _done(self, current: Step) -> None:
        """Drop what a step reported."""


#: For runs inside an experiment.
silent = _Silent()


def shown() -> Progress:
    """Return the progress that suits where standard error goes: bars on a terminal, else lines."""
    return Bars() if sys.stderr.isatty() and not for_machines() else Progress()
