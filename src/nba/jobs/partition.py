"""One partition of a night, in a process of its own; the last to finish publishes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Self

from nba.decisions.rules import DecisionRules
from nba.errors import ConflictError, LockHeldError, UsageError
from nba.jobs.nightly import input_versions, steps_due
from nba.jobs.policies import plan_with_lists, planned
from nba.jobs.progress import Progress
from nba.jobs.watch import failures_noted, watched
from nba.pipeline.context import RunContext
from nba.pipeline.manifest import Manifest
from nba.pipeline.partitions import (
    PartitionedPlan,
    Partitions,
    check_whole_scores,
    join_scores,
    score_partition,
)
from nba.pipeline.plan import GROUP as PLAN
from nba.pipeline.plan import WARNINGS
from nba.pipeline.publish import publish
from nba.pipeline.score import GROUP as SCORES
from nba.stores.lock import join_lock, partition_lock
from nba.wiring import Wiring

_SHARE = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Share:
    """The K-th of N partitions.

    Parameters
    ----------
    number : int
        From 0.
    count : int
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `K/N`, K from 1 to N; `UsageError` for anything else."""
        found = _SHARE.fullmatch(text.strip())
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(
                "--partition names no partition",
                expected="K/N, K from 1 to N, as in 2/8",
                found=text,
            )
        return cls(number - 1, count)


def run_partition(wiring: Wiring, as_of: datetime, share: Share, *, progress: Progress) -> Manifest:
    """Score and plan one partition of a night, as far as the others let it; return the manifest.

    Who finds the scores of all partitions puts them together, and who finds all planned
    publishes. The steps before are the night's own: `nba train` does them once.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
    share : Share
    progress : Progress

    Raises
    ------
    ConflictError
        Where features or models are not those of the inputs of now.
    LockHeldError
        Where the scores of other partitions are not there yet (call again), or another process
        works on this one.
    """
    watch = partial(failures_noted, wiring, as_of, progress)
    with (
        partition_lock(wiring.project.data, share.number, share.count),
        wiring.storage.joining() if wiring.storage else nullcontext(),
    ):
        with watch():
            context = _ready(wiring, as_of, progress)
            partitions = Partitions.of(context, share.count)
            if not {"score", "plan"} <= context.manifest.steps.keys():
                partitions.share_out(context)
        if "score" not in context.manifest.steps:
            with watch(), progress.step(f"score {share.number + 1}/{share.count}"):
                if share.number in partitions.missing(SCORES):
                    score_partition(context, partitions, share.number)
            context = _join_scores(wiring, as_of, partitions, progress)
        if "plan" not in context.manifest.steps:
            with watch(), progress.step(f"plan {share.number + 1}/{share.count}"):
                if share.number in partitions.missing(PLAN):
                    planned(context, partial(_decide, partitions, share.number))
        if "publish" not in context.manifest.steps:
            context = _join_plan(wiring, as_of, partitions, progress)
        return context.manifest


def _ready(wiring: Wiring, as_of: datetime, progress: Progress) -> RunContext:
    """Return the context of a night whose features and models stand on the inputs of now."""
    context = replace(wiring.run(as_of), progress=progress)
    done = dict(context.manifest.steps)
    due = steps_due(context, input_versions(wiring), force=False, from_step=None)
    context.manifest.steps.update(done)
    early = [step.name for step in due.steps if step.name in ("features", "train")]
    if early or due.waiting:
        raise ConflictError(
            f"a partition of {as_of.date()} cannot be done",
            expected="features and models of the night, on the inputs of now",
            found=f"{', '.join(early or due.waiting)} due",
            next_step=f"nba train --as-of {as_of.date()}",
        )
    return context


def _join_scores(
    wiring: Wiring, as_of: datetime, partitions: Partitions, progress: Progress
) -> RunContext:
    """Put the scores together where all are there and nobody has; return the night as it is now."""
    with join_lock(wiring.project.data):
        context = replace(wiring.run(as_of), progress=progress)
        if "score" in context.manifest.steps:
            return context
        if missing := partitions.missing(SCORES):
            raise _waits("scores", missing, partitions.count)
        with progress.step("score") as current:
            current.report.update(join_scores(context, partitions))
        context.manifest.record("score", current.report)
        wiring.keep()
        return context


def _join_plan(
    wiring: Wiring, as_of: datetime, partitions: Partitions, progress: Progress
) -> RunContext:
    """Put the plan together and publish it where all of it is there and nobody has."""
    with join_lock(wiring.project.data):
        context = replace(wiring.run(as_of), progress=progress)
        if "plan" not in context.manifest.steps:
            missing = partitions.missing(PLAN)
            if missing:
                numbers = ", ".join(str(number + 1) for number in missing)
                progress(f"planned; the plan waits for partitions {numbers} of {partitions.count}")
                return context
            with watched(wiring, as_of, progress), progress.step("plan") as current:
                current.report.update(plan_with_lists(context, partial(_join, partitions)))
            context.manifest.record("plan", current.report)
        if "publish" not in context.manifest.steps:
            with watched(wiring, as_of, progress), progress.step("publish") as current:
                current.report.update(publish(context))
            context.manifest.record("publish", current.report)
            wiring.keep()
            if wiring.storage is not None:
                wiring.storage.release()
        return context


def _decide(
    partitions: Partitions, number: int, context: RunContext, rules: DecisionRules
) -> dict[str, Any]:
    """Decide for a partition; the report is that of the whole plan, made later."""
    check_whole_scores(rules, partitions.count)
    plan = PartitionedPlan(context, partitions, rules)
    plan.prepare()
    plan.decide(number)
    return {WARNINGS: []}


def _join(partitions: Partitions, context: RunContext, rules: DecisionRules) -> dict[str, Any]:
    return PartitionedPlan(context, partitions, rules).join()


def _waits(what: str, missing: Sequence[int], count: int) -> LockHeldError:
    numbers = ", ".join(str(number + 1) for number in missing)
    return LockHeldError(
        f"a partition waits for the {what} of others",
        expected=f"the {what} of all {count} partitions",
        found=f"none of {numbers} yet",
        next_step="call again when they are there: what is done is not done again",
    )
