"""What a nightly run would do, without doing it."""

from __future__ import annotations

from datetime import datetime

from nba.jobs.estimate import duration, earlier_seconds
from nba.jobs.ingest import landed_anew
from nba.jobs.nightly import (
    INGEST,
    STEPS,
    check_names,
    input_versions,
    notices,
    refuse_more_than,
    steps_due,
)
from nba.wiring import Wiring


def preview(
    wiring: Wiring,
    as_of: datetime,
    *,
    force: bool = False,
    from_step: str | None = None,
    until_step: str = STEPS[-1],
    alone: bool = False,
) -> list[str]:
    """Return what `run_nightly` would do now, a line each; takes no lock and writes nothing.

    What waits to be loaded changes the tables: on a day without a published plan every step is
    then due.

    Parameters
    ----------
    wiring, as_of, force, from_step, until_step, alone
        As for `run_nightly`.

    Raises
    ------
    ConflictError
        Where `run_nightly` would.
    """
    check_names(from_step, until_step)
    files, (rows, _) = landed_anew(wiring), wiring.plan_store.backlog()
    lines = [f"{INGEST}: {len(files):,} files of the landing folder"] if files else []
    lines += [f"{INGEST}: {rows:,} rows that the API accepted"] if rows else []
    if until_step == INGEST:
        return lines or [f"{INGEST}: nothing has come in"]
    context, inputs = wiring.run(as_of), input_versions(wiring)
    if lines:
        inputs["lake"] = "after this load"
    due = steps_due(context, inputs, force=force, from_step=from_step)
    steps = [step for step in due.steps if STEPS.index(step.name) <= STEPS.index(until_step)]
    if alone:
        refuse_more_than(from_step, steps)
    took = earlier_seconds(context)
    lines += notices(context, due, steps)
    for step in steps:
        about = f", about {duration(took[step.name])}" if step.name in took else ""
        lines.append(f"{step.name}{about}")
    return lines
