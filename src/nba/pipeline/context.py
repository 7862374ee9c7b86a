"""For which moment a use case works, where its results are kept, and through which ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from nba.models.base import Model, ModelInputs
from nba.models.version import read_version
from nba.pipeline.inputs import read_inputs
from nba.pipeline.manifest import Manifest
from nba.pipeline.ports import Ports, RunFolder
from nba.settings import Settings


def no_progress(line: str) -> None:
    """Take a line of progress and show it to nobody."""


@dataclass(frozen=True)
class RunContext:
    """One run of one project; made by `run_context`.

    Parameters
    ----------
    as_of : datetime
        00:00 of the plan's day, naive, in the project's time zone.
    folder : RunFolder
        What the run keeps.
    manifest : Manifest
        What its steps reported; each step that is done adds to it.
    settings : Settings
    ports : Ports
    progress : callable
        Shows a line of what a step does while it does it.
    among : DataFrame, optional
        customer_id: the part of the customers whose tables are read.
    purchases : DataFrame, optional
        Theirs, where they stand apart already.
    """

    as_of: datetime
    folder: RunFolder
    manifest: Manifest
    settings: Settings
    ports: Ports
    progress: Callable[[str], None] = no_progress
    among: pl.DataFrame | None = None
    purchases: pl.DataFrame | None = None

    @cached_property
    def inputs(self) -> ModelInputs:
        """The feature tables and purchases at `as_of`, read once: after the views are built."""
        lake = self.tables if self.purchases is None else None
        return read_inputs(self.ports, self.settings, self.as_of, self.among, self.purchases, lake)

    @cached_property
    def tables(self) -> Mapping[str, Any]:
        """The lake's tables as visible at `as_of`, made once: that takes a look at every line."""
        return self.ports.tables.at(self.as_of)

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """The models of the versions that the train step noted, loaded once."""
        return {
            name: self.ports.registry.load(read_version(name, noted))
            for name, noted in self.manifest.steps["train"]["versions"].items()
        }


def run_context(ports: Ports, settings: Settings, as_of: datetime) -> RunContext:
    """Return the context of the run of one day, with the manifest that it left so far."""
    folder = ports.runs.of(as_of.date())
    return RunContext(as_of, folder, Manifest.read(folder), settings, ports)
