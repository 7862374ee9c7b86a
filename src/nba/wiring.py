"""The one place that joins adapters to use cases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import polars as pl
from pydantic import ValidationError

from nba.errors import ConfigError
from nba.models.base import Model, parse_config
from nba.models.kinds import model_class
from nba.models.spec import ModelSpec, read_spec
from nba.pipeline.scoring import MODELS
from nba.settings import Project, validation_problems

if TYPE_CHECKING:
    import ibis

    from nba.data.lake import Lake
    from nba.decisions.loading import DecisionFiles
    from nba.decisions.settings import DecisionSettings
    from nba.features.engine import Engine
    from nba.stores.feature_store import FeastFeatureStore
    from nba.stores.operational import OperationalStore
    from nba.stores.registry import MlflowRegistry


class _Resources(TypedDict):
    memory_limit: str
    threads: int


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

    def tables(self, as_of: datetime | None, connection: Any = None) -> Mapping[str, ibis.Table]:
        """Return every table of the contract as visible at `as_of` (None: all of it)."""
        from nba.data.tables import load_tables
        from nba.features.usable import usable
        from nba.stores.engines import duckdb_connection

        if connection is None:
            connection = duckdb_connection(**self._resources(), spill=self.project.spill)
        tables = load_tables(
            self.lake, as_of=as_of, time_zone=self.settings.time_zone, connection=connection
        )
        return usable(tables, margin_rate=self.settings.margin_rate)

    def purchases(self, as_of: datetime) -> pl.DataFrame:
        """Return what was bought before `as_of`: one row per customer, product and day.

        Columns: customer_id, product_id, category, ts (00:00 of the day), quantity, amount,
        margin; as far back as the longest window of the models.
        """
        from nba.features.prepare import purchases

        window_days = max(spec.window_days for spec in self.specs.values())
        days = self.collect(purchases(self.tables(as_of), as_of, window_days=window_days))
        return days.with_columns(ts=pl.from_epoch("day", time_unit="d").cast(pl.Datetime("us")))

    def _resources(self) -> _Resources:
        return {"memory_limit": self.settings.memory_limit, "threads": self.settings.threads}

    def feature_engine(self) -> Engine:
        """Return a new engine of the kind that the settings choose."""
        from nba.stores.engines import duckdb_engine, spark_engine

        if self.settings.feature_engine == "spark":
            return spark_engine(**self._resources(), settings=self.settings.spark)
        return duckdb_engine(**self._resources(), spill=self.project.spill)

    @cached_property
    def feature_store(self) -> FeastFeatureStore:
        """The feature store."""
        from nba.stores.feature_store import FeastFeatureStore

        return FeastFeatureStore(
            self.project.data,
            self.project.root / "features",
            self.tables,
            time_zone=self.settings.time_zone,
            input_version=lambda: self.lake.version,
            has_clock=lambda: self.lake.state().has_clock,
            engine=self.feature_engine,
            keep_days=self.settings.keep_snapshots_days,
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
    def decision_files(self) -> DecisionFiles:
        """Catalogue, contact policy, levers, and the digest of their files."""
        from nba.decisions.loading import load_decision_files

        views = self.feature_store.views.values()
        facts = {
            name for view in views if view.entity_keys == ("customer_id",) for name in view.by_name
        }
        tags = tuple(self.feature_store.repository.tags.rules)
        return load_decision_files(self.project.root / "serving", facts=facts, tags=tags)

    @cached_property
    def decision_settings(self) -> DecisionSettings:
        """What `decide` needs to know beside its files."""
        from nba.decisions.settings import ArmShares, DecisionSettings

        settings, arms = self.settings, self.settings.arms.model_dump()
        given = {
            "salt": settings.salt,
            "seed": settings.seed,
            "arms": ArmShares(**arms, engine=1 - sum(arms.values())),
            "outcome_days": settings.outcome_days,
            "time_zone": settings.time_zone,
            "currency": settings.currency,
        }
        repeated = sorted(given.keys() & settings.decisions.keys())
        if repeated:
            raise ConfigError(
                "nba.yaml sets a thing twice",
                expected=f"{', '.join(repeated)} at the top level only",
                found="the same under `decisions`",
                next_step="remove it there",
            )
        try:
            return DecisionSettings.model_validate({**given, **settings.decisions})
        except ValidationError as error:
            raise validation_problems("nba.yaml: wrong `decisions`", error) from error

    @staticmethod
    def collect(table: Any) -> pl.DataFrame:
        """Return an Ibis expression as a polars table."""
        backend = table.get_backend()
        frame: pl.DataFrame = backend.con.execute(str(backend.compile(table))).pl()
        return frame
