"""The one place that joins adapters to use cases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from nba.models.base import Model, parse_config
from nba.models.catalogue import model_class
from nba.models.spec import ModelSpec, read_spec
from nba.pipeline.scoring import MODELS
from nba.settings import Project

if TYPE_CHECKING:
    import ibis

    from nba.data.lake import Lake
    from nba.decisions.config import DecisionConfig
    from nba.stores.feature_store import FeastFeatureStore
    from nba.stores.operational import OperationalStore
    from nba.stores.registry import MlflowRegistry


class Wiring:
    """Real adapters for one project, each made when it is first asked for.

    Parameters
    ----------
    project : Project
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = project.settings

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        from nba.data.lake import Lake

        return Lake(self.project.lake)

    def tables(self, as_of: datetime | None) -> Mapping[str, ibis.Table]:
        """Return every table of the contract as visible at `as_of`, on a fresh connection."""
        import ibis

        from nba.data.tables import load_tables

        connection = ibis.duckdb.connect()
        connection.raw_sql(f"SET memory_limit='{self.settings.memory_limit}'")
        return load_tables(
            self.lake, as_of=as_of, time_zone=self.settings.time_zone, connection=connection
        )

    @cached_property
    def feature_store(self) -> FeastFeatureStore:
        """The feature store."""
        from nba.stores.feature_store import FeastFeatureStore

        return FeastFeatureStore(
            self.project.features,
            tables=self.tables,
            lake_version=lambda: self.lake.version,
            repository=self.project.root / "features",
            time_zone=self.settings.time_zone,
        )

    @cached_property
    def registry(self) -> MlflowRegistry:
        """The model registry."""
        from nba.stores.registry import MlflowRegistry

        return MlflowRegistry(self.project.tracking_uri, self.project.models, model_class)

    @cached_property
    def plan_store(self) -> OperationalStore:
        """The operational store."""
        from nba.stores.operational import OperationalStore

        return OperationalStore(self.project.operational_url)

    @cached_property
    def specs(self) -> Mapping[str, ModelSpec]:
        """The models' YAML files, by name."""
        return {name: read_spec(self.project.root / "models" / f"{name}.yaml") for name in MODELS}

    def new_model(self, name: str) -> Model:
        """Return an unfitted model as `models/NAME.yaml` describes it."""
        spec = self.specs[name]
        cls = model_class(name, spec.kind)
        return cls(parse_config(cls.Config, spec.parameters, f"models/{name}.yaml"))

    @cached_property
    def decisions(self) -> DecisionConfig:
        """Catalogue, contact policy, levers."""
        from nba.decisions.config import read_decision_config

        return read_decision_config(self.project.root / "serving")

    def collect(self, table: Any) -> pl.DataFrame:
        """Return an Ibis expression as a polars table."""
        frame: pl.DataFrame = table.to_polars()
        return frame
