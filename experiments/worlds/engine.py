"""The engine as a policy of a world, in one process: the steps of the nightly job, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from time import process_time
from typing import Any, Final

import polars as pl

from experiments.worlds.memory import ScratchWiring
from nba.jobs.init import init_project
from nba.jobs.nightly import SEQUENCE
from nba.pipeline.context import RunContext
from nba.settings import Project
from nba.simulation.observed import ObservedTables

#: Nobody is held out: the world itself knows what would have happened without a contact.
SETTINGS: Final = {"arms": {"holdout": 0.0}, "time_zone": "Asia/Shanghai"}


@dataclass
class Night:
    """What one night took: processor seconds by step."""

    day: date
    seconds: dict[str, float] = field(default_factory=dict)


class EnginePolicy:
    """The engine as it ships, on a project of its own.

    Parameters
    ----------
    folder : Path
        Where the project is made.
    settings : mapping, optional
        Fields of `nba.yaml` beside the loop's own.
    change : callable, optional
        Changes the project's files before the first night.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: dict[str, Any] | None = None,
        change: Callable[[Path], None] | None = None,
    ) -> None:
        init_project(folder, {**SETTINGS, **(settings or {})})
        if change is not None:
            change(folder)
        self.wiring = ScratchWiring(Project.open(folder))
        self.nights: list[Night] = []

    def plan(self, day: date, observed: ObservedTables) -> pl.DataFrame | None:
        """Take in what came since the last night, walk its steps, and return the actions."""
        night, began = Night(day), process_time()
        self.wiring.lake.add(observed.latest if self.nights else observed.delivered())
        night.seconds["ingest"] = process_time() - began
        context = self.wiring.run(datetime(day.year, day.month, day.day))
        for step in SEQUENCE:
            began = process_time()
            self.before(step.name, context)
            context.manifest.record(step.name, step.run(context))
            night.seconds[step.name] = process_time() - began
        self.wiring.runs.forget_inputs(day)
        self.nights.append(night)
        return context.folder.read("plan/actions")

    def before(self, step: str, context: RunContext) -> None:
        """Change what a step will see, here nothing; called before each."""

    def kept(self, day: date, name: str) -> pl.DataFrame:
        """Return a table that the night of a day has kept, such as `plan/log`."""
        return self.wiring.runs.of(day).read(name)
