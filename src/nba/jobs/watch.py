"""Keeps how a night went where the service sees it, and tells who asked to be told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from nba.errors import NbaError
from nba.jobs.alerts import NIGHT_FAILED, alert
from nba.jobs.progress import Progress
from nba.stores.nightly_runs import NightlyRunFailure
from nba.wiring import Wiring


@contextmanager
def watched(wiring: Wiring, as_of: datetime, progress: Progress) -> Iterator[None]:
    """Note the beginning and the end of a night, and alert when it fails.

    Where the operational store does not answer, the failure is that of the night.
    """
    night_id: int | None = None
    try:
        night_id = wiring.plan_store.begin_night(as_of.date())
        yield
    except BaseException as error:
        failure = NightlyRunFailure(progress.failed_step, type(error).__name__, str(error))
        if night_id is not None:
            _note(wiring, night_id, failure)
        facts = {"as_of": as_of.date().isoformat(), "step": failure.step, "error": failure.error}
        alert(wiring.settings.alerts, NIGHT_FAILED, facts)
        raise
    wiring.plan_store.end_night(night_id)


@contextmanager
def failures_noted(
    wiring: Wiring,
    as_of: datetime,
    progress: Progress,
    kind: type[Exception] = Exception,
) -> Iterator[None]:
    """Note a failure as that of the night, and alert; what is done is not yet the night's end.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
    progress : Progress
    kind : type
        Errors of another kind are none of the night's.
    """
    try:
        yield
    except kind:
        with watched(wiring, as_of, progress):
            raise


def _note(wiring: Wiring, night_id: int, failure: NightlyRunFailure) -> None:
    """Note a failure; a store that has gone must not hide what failed first."""
    try:
        wiring.plan_store.end_night(night_id, failure)
    except NbaError:
        return
