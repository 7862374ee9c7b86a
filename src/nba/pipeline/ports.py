"""The ports: what the use cases need from the outside, as protocols.

`nba.stores` and `nba.data` keep them with real systems; `nba.wiring` joins the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

import polars as pl

from nba.models.base import Model
from nba.models.version import ModelVersion

__all__ = ["FeatureStore", "ModelRegistry", "ModelVersion", "PlanStore"]


class FeatureStore(Protocol):
    """Features by name: built per `as_of`, joined point-in-time, looked up online."""

    def build(self, as_of: datetime, *, force: bool = False) -> Mapping[str, Any]:
        """Build every view at `as_of`; return the manifest (rows, seconds, digest per view)."""

    def snapshot(self, view: str, as_of: datetime) -> pl.DataFrame:
        """Return one view as built at `as_of`."""

    def historical(self, service: str, entities: pl.DataFrame) -> pl.DataFrame:
        """Point-in-time join of a feature service onto `entities` (keys, `event_timestamp`)."""

    def materialise(self, as_of: datetime) -> Mapping[str, bool]:
        """Bring the snapshot of `as_of` online; never sets an online value back."""

    def online(self, service: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Look up a feature service for `keys` (one row per entity)."""


class ModelRegistry(Protocol):
    """Fits as runs, models as versions, one champion per name."""

    def register(
        self,
        model: Model,
        *,
        as_of: datetime,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        seed: int,
        config_digest: str,
    ) -> ModelVersion:
        """Log the fit as a run, store the model and return its version (not yet champion)."""

    def promote(self, version: ModelVersion) -> None:
        """Point the `champion` alias at `version`."""

    def champion(self, name: str) -> ModelVersion | None:
        """Return the champion's version from the last good local copy, or None before a fit."""

    def load(self, version: ModelVersion) -> Model:
        """Return the model of `version` (the registry knows the class of its kind)."""


class PlanStore(Protocol):
    """The operational store as the nightly job sees it."""

    def publish(self, plan: Mapping[str, Any], actions: pl.DataFrame) -> None:
        """Replace the plan of this `as_of` by this one, in one transaction."""

    def plan(self, as_of: date) -> Mapping[str, Any] | None:
        """Return the header of the published plan of `as_of`, or None."""

    def actions(self, as_of: date) -> pl.DataFrame:
        """Return the published actions of `as_of`."""

    def new_events(self) -> Mapping[str, pl.DataFrame]:
        """Return events, feedback and tags accepted over the API and not yet in the lake."""

    def mark_ingested(self, event_ids: Sequence[str]) -> None:
        """Mark events as having reached the lake."""
