"""The nightly job: ingest → features → train (when due) → score → plan → publish.

Every step is idempotent for its `as_of`, leaves its part of the manifest, and is skipped
when a run that was broken off is taken up again on the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import nba
from nba.errors import ConflictError, UsageError
from nba.jobs.ingest import drain_outbox
from nba.jobs.lock import project_lock
from nba.jobs.progress import Progress
from nba.pipeline.context import RunContext
from nba.pipeline.erase import erase_pending
from nba.pipeline.features import build_features
from nba.pipeline.manifest import Manifest
from nba.pipeline.plan import plan
from nba.pipeline.publish import publish
from nba.pipeline.score import score
from nba.pipeline.train import train
from nba.wiring import Wiring


@dataclass(frozen=True)
class NightlyStep:
    """A use case in the nightly sequence; what it returns is kept in the manifest."""

    name: str
    run: Callable[[RunContext], Mapping[str, Any]]


#: Brings what the API accepted into the lake, before a run knows what it stands on.
INGEST: Final = "ingest"
SEQUENCE: Final = (
    NightlyStep("features", build_features),
    NightlyStep("train", train),
    NightlyStep("score", score),
    NightlyStep("plan", plan),
    NightlyStep("publish", publish),
)
STEPS: Final = (INGEST, *(one.name for one in SEQUENCE))


def run_nightly(
    wiring: Wiring,
    as_of: datetime,
    *,
    progress: Progress,
    force: bool = False,
    from_step: str | None = None,
    until_step: str = STEPS[-1],
) -> Manifest:
    """Walk the steps for `as_of` and return the manifest.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
        00:00 of the plan's day, naive, in the project's time zone.
    progress : Progress
        Shows the steps.
    force : bool
        Run on changed inputs, and redo what is already there.
    from_step, until_step : str
        Redo from this step on; end with this step.

    Raises
    ------
    ConflictError
        When the plan stands on other inputs and `force` is not set.
    LockHeldError
        When another run is under way.
    """
    for name in filter(None, (from_step, until_step)):
        if name not in STEPS:
            raise UsageError(
                f"there is no step {name!r}", expected=f"one of {', '.join(STEPS)}", found=name
            )
    with project_lock(wiring.project.data):
        if wiring.plan_store.pending_erasures():
            with progress.step("erase") as current:
                current.report.update(erase_pending(wiring))
        with progress.step(INGEST) as current:
            current.report.update(drain_outbox(wiring))
        context, inputs = wiring.run(as_of), input_versions(wiring)
        due = steps_due(context, inputs, force=force, from_step=from_step)
        due = [one for one in due if STEPS.index(one.name) <= STEPS.index(until_step)]
        if not due:
            progress(f"nothing to do: the plan of {as_of.date()} stands on these inputs")
            return context.manifest
        context.manifest.inputs = inputs
        context.manifest.record(INGEST, current.report)
        _walk(context, due, progress)
        return context.manifest


def _walk(context: RunContext, due: list[NightlyStep], progress: Progress) -> None:
    """Run the steps in order; each is noted in the manifest when it is done."""
    for one in due:
        with progress.step(one.name) as current:
            current.report.update(one.run(context))
        context.manifest.record(one.name, current.report)


def input_versions(wiring: Wiring) -> dict[str, Any]:
    """Return the versions of everything that a run reads."""
    return {
        "lake": wiring.lake.version,
        "config": wiring.project.config_digest(),
        "nba": nba.__version__,
    }


def steps_due(
    context: RunContext, inputs: Mapping[str, Any], *, force: bool, from_step: str | None
) -> list[NightlyStep]:
    """Return the steps to run after `ingest`, in order, and forget what they replace.

    Raises
    ------
    ConflictError
        When the plan is published and its inputs have changed since.
    """
    done, names = context.manifest.steps, list(STEPS[1:])
    missing = [name for name in names if name not in done]
    if force or not done:
        start = from_step or names[0]
    elif context.manifest.inputs != inputs:
        if names[-1] in done:
            raise _changed(context, inputs)
        start = names[0]
    else:
        start = from_step or (missing[0] if missing else "")
    if not start:
        return []
    first = names.index(start) if start in names else 0
    if missing:
        first = min(first, names.index(missing[0]))
    for name in names[first:]:
        done.pop(name, None)
    return list(SEQUENCE[first:])


def _changed(context: RunContext, inputs: Mapping[str, Any]) -> ConflictError:
    before = context.manifest.inputs
    changed = [name for name, value in inputs.items() if before.get(name) != value]
    return ConflictError(
        f"the plan of {context.as_of.date()} is published and its inputs have changed since",
        expected=", ".join(f"{name} {before.get(name)}" for name in changed),
        found=", ".join(f"{name} {inputs[name]}" for name in changed),
        next_step="plan the next day, or replace this plan with --force",
    )


def days_between(text: str) -> list[datetime]:
    """Return the days of `FIRST..LAST`, both included."""
    try:
        first, last = (datetime.strptime(part, "%Y-%m-%d") for part in text.split(".."))
    except ValueError:
        raise UsageError(
            "--backfill is no span of days",
            expected="YYYY-MM-DD..YYYY-MM-DD",
            found=text,
            next_step="give the first and the last day",
        ) from None
    if last < first:
        raise UsageError("--backfill ends before it begins", found=text)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
