"""The nightly job: ingest → features → train (when due) → score → plan → publish.

Every step is idempotent for its `as_of`, leaves its part of the manifest, and is skipped
when a run that was broken off is taken up again on the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import nba
from nba.errors import ConflictError, NotFoundError, UsageError
from nba.jobs.files import write_parquet
from nba.jobs.lock import project_lock
from nba.jobs.manifest import Manifest
from nba.jobs.planning import make_plan, plan_header
from nba.jobs.progress import Say, Step, step
from nba.jobs.training import training_set
from nba.models.base import CONTRIBUTION_SCHEMA, Model, ModelInputs
from nba.pipeline.ports import ModelVersion
from nba.pipeline.scoring import Scores, feature_frames, fit_is_due, fit_one, score_all
from nba.wiring import Wiring

STEPS = ("ingest", "features", "train", "score", "plan", "publish")


class Night:
    """One nightly run: the state that its steps hand on.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
        00:00 of the plan's day, naive, in the project's time zone.
    force : bool
        Redo what is already there.
    """

    def __init__(self, wiring: Wiring, as_of: datetime, *, force: bool = False) -> None:
        self.wiring = wiring
        self.as_of = as_of
        self.force = force
        self.folder = wiring.project.run_folder(as_of.date().isoformat())
        self.manifest = Manifest.read(self.folder)
        self._frames: ModelInputs | None = None

    @property
    def frames(self) -> ModelInputs:
        """The feature tables at `as_of`, read once."""
        if self._frames is None:
            views = feature_frames(self.wiring.feature_store, self.as_of)
            self._frames = ModelInputs({**views, "purchases": self.wiring.purchases(self.as_of)})
        return self._frames

    def inputs(self) -> dict[str, Any]:
        """Return the versions of everything that the run reads."""
        return {
            "lake": self.wiring.lake.version,
            "config": self.wiring.project.config_digest(),
            "nba": nba.__version__,
        }

    def ingest(self, current: Step) -> None:
        """Bring what the API accepted since the last run into the lake."""
        from nba.jobs.ingest import drain_outbox

        current.report.update(drain_outbox(self.wiring))

    def features(self, current: Step) -> None:
        """Build the feature views."""
        built = self.wiring.feature_store.build(self.as_of, force=True)
        customers = self.frames["customer_state"].height
        if not customers:
            raise NotFoundError(
                f"no customer is known at {self.as_of:%Y-%m-%d}",
                expected="tables with a customer or a purchase before that day",
                found=f"none in the lake at version {self.wiring.lake.version[:16]}",
                next_step="bring tables in with `nba ingest FOLDER`, or choose a later --as-of",
            )
        current.report["views"] = len(built["views"])
        current.report["customers"] = customers
        current.report["manifest"] = dict(built)

    def train(self, current: Step) -> None:
        """Fit the models that are due and note which version serves this run."""
        versions: dict[str, dict[str, str]] = {}
        for name, spec in self.wiring.specs.items():
            champion = self.wiring.registry.champion(name)
            why = fit_is_due(spec, champion, self.as_of)
            if why or champion is None:
                champion = fit_one(
                    spec,
                    self.wiring.new_model(name),
                    training_set(self, name),
                    self.wiring.registry,
                    as_of=self.as_of,
                    seed=self.wiring.settings.seed,
                )
            versions[name] = describe_version(champion, why)
            current.report[name] = f"v{champion.version}" + (" (fitted)" if why else "")
        current.report["versions"] = versions

    def models(self) -> dict[str, Model]:
        """Return the models of the versions that the train step noted."""
        versions = self.manifest.steps["train"]["versions"]
        return {
            name: self.wiring.registry.load(read_version(name, noted))
            for name, noted in versions.items()
        }

    def score(self, current: Step) -> None:
        """Score every customer."""
        scores = score_all(self.models(), self.frames, as_of=self.as_of)
        for name, table in scores.items().items():
            write_parquet(table, self.folder / "scores" / f"{name}.parquet")
            current.report[name] = table.height

    def scores(self) -> Scores:
        """Return the scores that the score step kept; an older night has no contributions."""
        folder = self.folder / "scores"
        kept = {"contributions": pl.DataFrame(schema=CONTRIBUTION_SCHEMA)}
        for name in Scores.__annotations__:
            path = folder / f"{name}.parquet"
            if path.exists() or name not in kept:
                kept[name] = pl.read_parquet(path)
        return Scores(**kept)

    def plan(self, current: Step) -> None:
        """Decide, and keep the decision log, the actions and the clerks' budgets."""
        plan = make_plan(self)
        listed = plan.actions.filter(pl.col("mode") != "none")
        current.report.update(
            eligible=plan.log.height,
            actions=listed.height,
            policy_version=self.wiring.decision_files.version,
        )

    def publish(self, current: Step) -> None:
        """Put the plan where the API reads it, and bring the features online."""
        actions = pl.read_parquet(self.folder / "plan" / "actions.parquet")
        self.wiring.plan_store.publish(plan_header(self), actions)
        self.wiring.feature_store.materialise(self.as_of)
        current.report["rows"] = actions.height


def describe_version(version: ModelVersion, why: str) -> dict[str, str]:
    """Return a model version as the manifest notes it."""
    return {
        "version": version.version,
        "run_id": version.run_id,
        "folder": str(version.folder),
        "as_of": version.as_of.isoformat(),
        "config_digest": version.config_digest,
        "fitted_because": why,
    }


def read_version(name: str, noted: dict[str, str]) -> ModelVersion:
    """Return the model version that `describe_version` noted."""
    return ModelVersion(
        name=name,
        version=noted["version"],
        run_id=noted["run_id"],
        folder=Path(noted["folder"]),
        as_of=datetime.fromisoformat(noted["as_of"]),
        config_digest=noted["config_digest"],
    )


def run_night(
    wiring: Wiring,
    as_of: datetime,
    *,
    say: Say,
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
    say : callable
        Takes lines of progress.
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
        night = Night(wiring, as_of, force=force)
        return _walk(night, say, from_step, STEPS.index(until_step) + 1)


def _walk(night: Night, say: Say, from_step: str | None, end: int) -> Manifest:
    with step("ingest", say) as current:
        night.ingest(current)
    inputs = night.inputs()
    todo = _todo(night, inputs, from_step)[:end]
    todo = [name for name in todo if STEPS.index(name) < end]
    if not todo:
        say(f"nothing to do: the plan of {night.as_of.date()} stands on these inputs")
        return night.manifest
    night.manifest.inputs = inputs
    night.manifest.record("ingest", current.report)
    for name in todo:
        with step(name, say) as current:
            action: Callable[[Step], None] = getattr(night, name)
            action(current)
        night.manifest.record(name, current.report)
    return night.manifest


def _todo(night: Night, inputs: dict[str, Any], from_step: str | None) -> list[str]:
    """Return the steps to run after `ingest`, in order, and forget what they replace."""
    manifest, after_ingest = night.manifest, list(STEPS[1:])
    if night.force or not manifest.steps:
        start = from_step or after_ingest[0]
    elif manifest.inputs != inputs:
        if "publish" in manifest.steps:
            raise _changed(night, inputs)
        start = after_ingest[0]
    else:
        done = [name for name in after_ingest if name in manifest.steps]
        start = from_step or (after_ingest[len(done)] if len(done) < len(after_ingest) else "")
    if not start:
        return []
    start = start if start in after_ingest else after_ingest[0]
    first = after_ingest.index(start)
    missing = [name for name in after_ingest[:first] if name not in manifest.steps]
    if missing:
        first = after_ingest.index(missing[0])
    for name in after_ingest[first:]:
        manifest.steps.pop(name, None)
    return after_ingest[first:]


def _changed(night: Night, inputs: dict[str, Any]) -> ConflictError:
    changed = [name for name, value in inputs.items() if night.manifest.inputs.get(name) != value]
    return ConflictError(
        f"the plan of {night.as_of.date()} is published and its inputs have changed since",
        expected=", ".join(f"{name} {night.manifest.inputs.get(name)}" for name in changed),
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
