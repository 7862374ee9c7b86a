"""Traces a night in MLflow once it is over; a failing MLflow never stops a night."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import nba
from nba.jobs.progress import Progress, Step
from nba.stores.night_traces import TracedStep, log_night
from nba.wiring import Wiring


@contextmanager
def traced(wiring: Wiring, as_of: datetime, progress: Progress) -> Iterator[None]:
    """Log the steps of a night as a trace, whether it fails or not.

    Parameters
    ----------
    wiring : Wiring
        With `trace_nights: false` nothing is logged.
    as_of : datetime
    progress : Progress
        Knows the steps; a night that had nothing to do but bring in what landed is not logged.
    """
    progress.steps.clear()
    try:
        yield
    finally:
        steps = [_traced(step) for step in progress.steps]
        if wiring.settings.trace_nights and (len(steps) > 1 or any(step.error for step in steps)):
            _log(wiring, as_of, steps, progress)


def _traced(step: Step) -> TracedStep:
    return TracedStep(step.name, step.started, step.ended, step.facts(), step.error)


def _log(wiring: Wiring, as_of: datetime, steps: list[TracedStep], progress: Progress) -> None:
    day = as_of.date().isoformat()
    tags = {"as_of": day, "nba": nba.__version__, "run": progress.run_id}
    try:
        log_night(wiring.project.tracking_uri, day, steps, tags)
    except Exception as error:  # whatever goes wrong in a tracker is no matter of the night
        progress(f"WARN the night is not traced in MLflow: {' '.join(str(error).split())[:200]}")
