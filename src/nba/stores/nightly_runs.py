"""How each run of the nightly job went, where the service and `nba doctor` can see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, insert, select, update

from nba.stores.schema import nights

#: A run that says nothing for so long was broken off.
LONGEST_RUN: Final = timedelta(hours=12)


class NightlyRunState(StrEnum):
    """How a run of the nightly job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class NightlyRunFailure:
    """Why a run failed.

    Parameters
    ----------
    step : str
        The step that failed; empty where none had begun.
    error : str
        The kind of error: a class name, without anything of the data.
    message : str
        What it said; for operators, never for an answer of the service.
    """

    step: str
    error: str
    message: str


@dataclass(frozen=True)
class NightlyRun:
    """One run of the nightly job."""

    as_of: date
    state: NightlyRunState
    began_at: datetime
    ended_at: datetime | None
    failure: NightlyRunFailure | None

    def has_failed(self, now: datetime) -> bool:
        """Return whether the run failed, or began so long ago that it was broken off."""
        if self.state is NightlyRunState.RUNNING:
            return now - self.began_at > LONGEST_RUN
        return self.state is NightlyRunState.FAILED


def begin(connection: Connection, as_of: date, now: datetime) -> int:
    """Note that a run began; return its id."""
    row = {"as_of": as_of, "state": str(NightlyRunState.RUNNING), "began_at": now}
    made = connection.execute(insert(nights), row).inserted_primary_key
    assert made is not None
    return int(made[0])


def end(
    connection: Connection, night_id: int, failure: NightlyRunFailure | None, now: datetime
) -> date:
    """Note how a run ended; return its day.

    Parameters
    ----------
    connection : Connection
    night_id : int
        From `begin`.
    failure : NightlyRunFailure, optional
        None for a run that is done.
    now : datetime
        UTC.
    """
    state = NightlyRunState.DONE if failure is None else NightlyRunState.FAILED
    said = vars(failure) if failure is not None else {}
    connection.execute(
        update(nights)
        .where(nights.c.night_id == night_id)
        .values(state=str(state), ended_at=now, **said)
    )
    day: date = connection.execute(
        select(nights.c.as_of).where(nights.c.night_id == night_id)
    ).scalar_one()
    return day


def last(connection: Connection) -> NightlyRun | None:
    """Return the last run of the newest day, or None."""
    newest = select(nights).order_by(nights.c.as_of.desc(), nights.c.night_id.desc()).limit(1)
    row = connection.execute(newest).first()
    if row is None:
        return None
    state = NightlyRunState(row.state)
    failure = NightlyRunFailure(row.step or "", row.error or "", row.message or "")
    return NightlyRun(
        row.as_of,
        state,
        row.began_at,
        row.ended_at,
        failure if state is NightlyRunState.FAILED else None,
    )
