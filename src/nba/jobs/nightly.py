"""The nightly job: ingest → features → train (when due) → score → plan → publish.

Every step is idempotent for its `as_of` and leaves its part of the manifest. A step is done
when what it leaves is there: a run that was broken off, or whose files or store were lost, is
taken up where something is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import nba
from nba.errors import ConflictError, UnavailableError, UsageError
from nba.jobs.estimate import earlier_seconds, time_left
from nba.jobs.ingest import ingest_landed
from nba.jobs.outbox import drain_outbox
from nba.jobs.patience import patiently
from nba.jobs.policies import plan_with_lists
from nba.jobs.progress import Progress
from nba.jobs.trace import traced
from nba.jobs.watch import failures_noted, watched
from nba.pipeline.context import RunContext
from nba.pipeline.erase import erase_pending
from nba.pipeline.features import build_features, features_stand
from nba.pipeline.follow import follow
from nba.pipeline.manifest import Manifest
from nba.pipeline.partitions import PARTITIONS, score_night
from nba.pipeline.plan import WARNINGS, plan_stands
from nba.pipeline.publish import is_published, publish
from nba.pipeline.score import scores_stand
from nba.pipeline.train import models_stand, train_night
from nba.wiring import Wiring


@dataclass(frozen=True)
class NightlyStep:
    """A use case in the nightly sequence.

    Parameters
    ----------
    name : str
    run : callable
        What it returns is kept in the manifest.
    stands : callable
        Whether what the step leaves is there.
    renews : tuple of str
        Later steps that must follow when this one is made up for.
    """

    name: str
    run: Callable[[RunContext], Mapping[str, Any]]
    stands: Callable[[RunContext], bool]
    renews: tuple[str, ...] = ()


#: Brings what landed and what the API accepted into the lake, before a run knows what it stands on.
INGEST: Final = "ingest"
SEQUENCE: Final = (
    NightlyStep("features", build_features, features_stand),
    NightlyStep("train", train_night, models_stand, renews=("score", "plan", "publish")),
    NightlyStep("score", score_night, scores_stand),
    NightlyStep("plan", plan_with_lists, plan_stands, renews=("publish",)),
    NightlyStep("publish", publish, is_published),
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
    alone: bool = False,
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
    alone : bool
        Refuse where a step before `from_step` would have to be done first.

    Notes
    -----
    Where the plan is published and its inputs have changed since, what changed waits for the
    next plan, or for `force`: whoever calls twice gets what stands.

    Raises
    ------
    ConflictError
        When `from_step` asks to redo a published plan on other inputs without `force`, when
        what was lost of it cannot be made again from the same inputs, or when a step that runs
        `alone` stands on one that is not done.
    LockHeldError
        When another run is under way.
    """
    check_names(from_step, until_step)
    with ExitStack() as night:
        with failures_noted(wiring, as_of, progress, UnavailableError):
            patiently(lambda: night.enter_context(wiring.at_work()), progress)
            patiently(wiring.plan_store.ping, progress)
        night.enter_context(traced(wiring, as_of, progress))
        night.enter_context(watched(wiring, as_of, progress))
        if wiring.storage is not None:
            follow(wiring, wiring.settings)
        if wiring.plan_store.pending_erasures():
            with progress.step("erase") as current:
                current.report.update(erase_pending(wiring))
            wiring.keep(purge=True)
        wiring.plan_store.purge_calls(wiring.settings.audit_days)
        with progress.step(INGEST) as current:
            current.report.update(
                patiently(lambda: {**ingest_landed(wiring), **drain_outbox(wiring)}, progress)
            )
        for line in current.report.get(WARNINGS, ()):
            progress(line)
        context = replace(wiring.run(as_of), progress=progress)
        inputs = input_versions(wiring)
        if until_step == INGEST:
            return context.manifest
        if force:
            context.folder.remove(PARTITIONS)
        due = steps_due(context, inputs, force=force, from_step=from_step)
        steps = [step for step in due.steps if STEPS.index(step.name) <= STEPS.index(until_step)]
        if alone:
            refuse_more_than(from_step, steps)
        for line in notices(context, due, steps):
            progress(line)
        if not steps:
            return context.manifest
        if not due.waiting:
            context.manifest.inputs = inputs
            context.manifest.record(INGEST, current.report)
        _walk(wiring, context, steps, progress)
        return context.manifest


def check_names(*names: str | None) -> None:
    """Refuse a step that there is not."""
    for name in filter(None, names):
        if name not in STEPS:
            raise UsageError(
                f"there is no step {name!r}", expected=f"one of {', '.join(STEPS)}", found=name
            )


def refuse_more_than(name: str | None, steps: Sequence[NightlyStep]) -> None:
    """Refuse to do more than one step."""
    first = [step.name for step in steps if step.name != name]
    if first:
        raise ConflictError(
            f"{name} alone cannot be done",
            expected="the steps before it done, on the inputs of now",
            found=f"{', '.join(first)} due",
            next_step=f"run from {first[0]} on: nba run --from {first[0]}",
        )


def _walk(wiring: Wiring, context: RunContext, due: list[NightlyStep], progress: Progress) -> None:
    """Run the steps in order; each is noted in the manifest, and kept, when it is done."""
    took, names = earlier_seconds(context), [step.name for step in due]
    in_parts = context.settings.partitions > 1  # no step then keeps what the one before it read
    for place, step in enumerate(due):
        with progress.step(step.name, time_left(took, names[place:])) as current:
            current.report.update(
                patiently(partial(step.run, replace(context) if in_parts else context), progress)
            )
        for name, text in current.report.get("findings", {}).items():
            progress(f"{name}: {text}")
        context.manifest.record(step.name, current.report)
        wiring.keep()
        for line in current.report.get(WARNINGS, ()):
            progress(line)


def input_versions(wiring: Wiring) -> dict[str, Any]:
    """Return the versions of everything that a run reads."""
    return {
        "lake": wiring.lake.version,
        "config": wiring.project.config_digest(),
        "nba": nba.__version__,
    }


@dataclass(frozen=True)
class Due:
    """What a run has to do.

    Parameters
    ----------
    steps : list of NightlyStep
        In order.
    waiting : tuple of str
        The inputs that changed since the plan was published, and that it does without.
    lost : tuple of str
        Steps that were done and of which what they left is gone.
    """

    steps: list[NightlyStep]
    waiting: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def steps_due(
    context: RunContext, inputs: Mapping[str, Any], *, force: bool, from_step: str | None
) -> Due:
    """Return the steps to run after `ingest`, and forget in the manifest what they replace.

    Parameters
    ----------
    context : RunContext
        The run, with the manifest of what it did before.
    inputs : mapping of str to object
        The versions of what a run reads now, see `input_versions`.
    force : bool
        Do everything again, whatever the manifest says.
    from_step : str, optional
        The first step to do again; None for what is missing.

    Raises
    ------
    ConflictError
        As `run_nightly` says.
    """
    done, names = context.manifest.steps, list(STEPS[1:])
    missing = [name for name in names if name not in done]
    changed = tuple(name for name in inputs if context.manifest.inputs.get(name) != inputs[name])
    if force or not done:
        return _from(context, from_step or names[0], missing)
    if changed and missing:
        return _from(context, names[0], missing)
    if changed and from_step:
        raise _changed(context, inputs, changed)
    if missing or from_step:
        lost = [step.name for step in SEQUENCE if step.name in done and not step.stands(context)]
        first = min(filter(None, (from_step, *missing, *lost)), key=STEPS.index)
        return _from(context, first, missing)
    lost = [step.name for step in SEQUENCE if not step.stands(context)]
    if changed and lost not in ([], [names[-1]]):
        raise _changed(context, inputs, changed, lost)
    renewed = {name for step in SEQUENCE if step.name in lost for name in (step.name, *step.renews)}
    if not changed:
        for name in renewed:
            done.pop(name, None)
    return Due([step for step in SEQUENCE if step.name in renewed], changed, tuple(lost))


def _from(context: RunContext, start: str, missing: list[str]) -> Due:
    """Return the steps from `start` on, or from the first that is missing before it."""
    names = [step.name for step in SEQUENCE]
    first = names.index(start) if start in names else 0
    if missing:
        first = min(first, names.index(missing[0]))
    for name in names[first:]:
        context.manifest.steps.pop(name, None)
    return Due(list(SEQUENCE[first:]))


#: What the inputs of a run are called where a person reads of them.
_INPUT_WORDS: Final = {"lake": "tables", "config": "configuration", "nba": "version of nba"}


def notices(context: RunContext, due: Due, steps: list[NightlyStep]) -> list[str]:
    """Return what a run has to say before it begins."""
    day, lines = context.as_of.date(), []
    if due.lost:
        lines.append(f"of the plan of {day}, {', '.join(due.lost)} is gone: made again")
    if due.waiting:
        what = ", ".join(_INPUT_WORDS.get(name, name) for name in due.waiting)
        lines.append(
            f"the plan of {day} is published; what changed since ({what}) waits for the next "
            "plan, or --force replaces this one"
        )
    if not steps:
        lines.append(f"nothing to do: the plan of {day} stands")
    return lines


def _changed(
    context: RunContext, inputs: Mapping[str, Any], changed: Sequence[str], lost: Sequence[str] = ()
) -> ConflictError:
    before = context.manifest.inputs
    gone = f", and its {', '.join(lost)} cannot be made again without them" if lost else ""
    return ConflictError(
        f"the plan of {context.as_of.date()} is published and its inputs have changed since{gone}",
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
