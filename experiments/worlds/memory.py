"""The ports of a nightly run kept in memory, so that many worlds can be played.

Tables, views, models and decisions are the product's own; what is left out is what a single
process does not need: files that survive a crash, registries, and the online store. Every table of
an increment is appended to Parquet files in a scratch folder, as the lake keeps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import ibis
import polars as pl

from experiments.worlds.templates import ViewTemplates, prefix_of
from nba.data.lake import WHOLE, Lake, Partition, State
from nba.errors import NotFoundError
from nba.features.view import View
from nba.models.base import Model
from nba.models.story import FitStory
from nba.models.version import ModelVersion
from nba.schema.tables import LOADED_AT, TABLES
from nba.stores.feature_store import FeastFeatureStore
from nba.stores.lake_tables import LakeTables
from nba.wiring import Wiring

#: Tables whose rows never come again: increments are files of their own.
APPENDED: Final = ("transactions", "interactions", "responses", "feedback")
#: So many files of a table are written into one.
COMPACT_FILES: Final = 16
_LOADED: Final = datetime(2000, 1, 1, tzinfo=UTC)
_COMPILED: dict[str, ViewTemplates] = {}


class ScratchLake(Lake):
    """A lake of increments that are known to be right: appended, or the last row of a key.

    Parameters
    ----------
    root : Path
        A scratch folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        root.mkdir(parents=True, exist_ok=True)
        self._state = State()
        self._written = 0
        self._whole: dict[str, pl.DataFrame] = {}

    def state(self) -> State:
        """Return the current version."""
        return self._state

    @property
    def version(self) -> str:
        """The number of files written so far."""
        return str(self._written)

    def add(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Take in canonical tables."""
        known = dict(self._state.tables)
        for name, frame in tables.items():
            if frame.height:
                rows = frame.with_columns(pl.lit(_LOADED).alias(LOADED_AT))
                known[name] = {WHOLE: self._keep(name, rows)}
        self._state = State(known)

    def _keep(self, name: str, rows: pl.DataFrame) -> Partition:
        before = self._state.tables.get(name, {}).get(WHOLE, Partition((), 0, 0))
        if name not in APPENDED:
            key = list(TABLES[name].key)
            parts = [self._whole[name], rows] if name in self._whole else [rows]
            rows = pl.concat(parts).unique(key, keep="last", maintain_order=True)
            self._whole[name] = rows
            return Partition((self._write(name, rows),), rows.height, self._written)
        files = before.files
        if len(files) >= COMPACT_FILES:
            rows = pl.concat([*(pl.read_parquet(self.root / file) for file in files), rows])
            files, before = (), Partition((), 0, 0)
        count = before.rows + rows.height
        return Partition((*files, self._write(name, rows)), count, self._written)

    def _write(self, name: str, rows: pl.DataFrame) -> str:
        self._written += 1
        file = f"{name}-{self._written}.parquet"
        rows.write_parquet(self.root / file, compression="uncompressed")
        return file


class ScratchTables(LakeTables):
    """The lake's tables; those of a moment are made once."""

    def __init__(self, lake: ScratchLake, *, time_zone: str, margin_rate: float) -> None:
        super().__init__(
            lake, time_zone=time_zone, margin_rate=margin_rate, connect=duckdb_in_memory
        )
        self._key: tuple[datetime | None, str] | None = None
        self._made: Mapping[str, Any] = {}

    def at(self, as_of: datetime | None, connection: Any = None) -> Mapping[str, Any]:
        """Return every table of the contract as visible at `as_of`."""
        if connection is not None:
            return super().at(as_of, connection)
        key = (as_of, self.version)
        if key != self._key:
            self._key, self._made = key, super().at(as_of)
        return self._made


def _of(table: pl.DataFrame, among: pl.DataFrame | None) -> pl.DataFrame:
    """Return a table of customers confined to some, any other as it is."""
    if among is None or "customer_id" not in table.columns:
        return table
    return table.join(among, on="customer_id", how="semi", maintain_order="left")


def duckdb_in_memory() -> Any:
    """Return an ibis connection to DuckDB on one thread."""
    connection = ibis.duckdb.connect()
    connection.con.execute("SET preserve_insertion_order = false; SET threads = 1")
    connection.con.execute("SET enable_progress_bar = false")
    return connection


class ScratchFeatures(FeastFeatureStore):
    """The project's views, their snapshots in memory."""

    def __init__(self, project: Any, tables: ScratchTables) -> None:
        super().__init__(
            project.data,
            project.root / "features",
            tables.at,
            time_zone=project.settings.time_zone,
        )
        self._own_tables = tables
        self._kept: dict[tuple[str, datetime], pl.DataFrame] = {}

    @cached_property
    def _project_views(self) -> Mapping[str, View]:
        return self.repository.views

    def build(
        self, as_of: datetime, *, force: bool = False, purpose: str = ""
    ) -> Mapping[str, Any]:
        """Build every view at `as_of`; only the models' anchors of older moments stay."""
        for view, moment in list(self._kept):
            if moment < as_of and (as_of - moment).days > 1 and view == "customer_product":
                del self._kept[view, moment]
        return {"views": self._make(as_of, self._project_views)}

    def ensure(
        self, moments: Iterable[datetime], *, views: Collection[str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Build views at training moments where they do not stand yet."""
        known = self._project_views
        wanted = {*(views or known)}
        wanted |= {other for name in wanted for other in known[name].needs}
        made: list[Mapping[str, Any]] = []
        for moment in moments:
            if any((name, moment) not in self._kept for name in wanted):
                chosen = {name: view for name, view in known.items() if name in wanted}
                made.append({"views": self._make(moment, chosen)})
        return made

    def _make(self, as_of: datetime, views: Mapping[str, View]) -> dict[str, int]:
        templates = self._templates(as_of)
        tables = self._own_tables.at(as_of)
        connection = tables["customers"].get_backend()
        built = templates.run(connection, as_of, prefix_of(tables), set(views))
        for name, view in views.items():
            frame = built[name].select(view.columns)
            self._kept[name, as_of] = frame.sort(view.entity_keys)
        return {name: frame.height for name, frame in built.items()}

    def _templates(self, as_of: datetime) -> ViewTemplates:
        """Return the project's views as SQL; they are compiled once in a process."""
        key = self._definitions()
        if key not in _COMPILED:
            _COMPILED[key] = ViewTemplates.of(self._project_views, self._own_tables.at, as_of)
        return _COMPILED[key]

    def snapshot(
        self, view: str, as_of: datetime, among: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """Return one view as built at `as_of`, of all or of some customers."""
        if (view, as_of) not in self._kept:
            raise NotFoundError(f"the view {view} was not built at {as_of}")
        return _of(self._kept[view, as_of], among)

    def historical(self, service: str, entities: pl.DataFrame) -> pl.DataFrame:
        """Join a feature service at the very moments that `ensure` has built."""
        columns = self.service_columns(service)
        parts = []
        for (moment,), rows in entities.with_row_index("row").group_by("event_timestamp"):
            for view, names in columns.items():
                keys = list(self.views[view].entity_keys)
                built = self.snapshot(view, moment).select(names)
                rows = rows.join(built, on=keys, how="left", maintain_order="left")
            parts.append(rows)
        if not parts:
            names = [name for found in columns.values() for name in found]
            new = [name for name in names if name not in entities.columns]
            return entities.with_columns(pl.lit(None).alias(name) for name in new)
        return pl.concat(parts).sort("row").drop("row")

    def materialise(self, as_of: datetime) -> dict[str, bool]:
        """Bring nothing online: nobody asks."""
        return {}


@dataclass
class ScratchRegistry:
    """Models in memory, one champion per name."""

    models: dict[tuple[str, str], Model] = field(default_factory=dict)
    champions: dict[str, ModelVersion] = field(default_factory=dict)
    challengers: dict[str, ModelVersion] = field(default_factory=dict)

    def register(
        self,
        model: Model,
        *,
        as_of: datetime,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        seed: int,
        config_digest: str,
        story: FitStory | None = None,
    ) -> ModelVersion:
        """Keep a fitted model and return its version."""
        name = model.name
        number = str(1 + sum(known == name for known, _ in self.models))
        self.models[name, number] = model
        return ModelVersion(name, number, "", Path(), as_of, config_digest)

    def promote(
        self, version: ModelVersion, *, reason: str = "", pinned: bool = False
    ) -> ModelVersion:
        """Make a version the champion."""
        self.champions[version.name] = replace(version, reason=reason, pinned=pinned)
        return self.champions[version.name]

    def refuse(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Keep a version as the challenger."""
        self.challengers[version.name] = replace(version, reason=reason)
        return self.challengers[version.name]

    def challenger(self, name: str) -> ModelVersion | None:
        """Return the challenger's version."""
        return self.challengers.get(name)

    def champion(self, name: str) -> ModelVersion | None:
        """Return the champion's version."""
        return self.champions.get(name)

    def load(self, version: ModelVersion) -> Model:
        """Return the model of a version."""
        return self.models[version.name, version.version]


@dataclass
class ScratchFolder:
    """What one run keeps."""

    day: date
    kept: dict[str, pl.DataFrame] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Return whether a table is kept."""
        return name in self.kept

    def write(self, name: str, table: pl.DataFrame | pl.LazyFrame) -> None:
        """Keep a table."""
        self.kept[name] = table.lazy().collect()

    def read(self, name: str, among: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return a kept table, of some customers or of all."""
        if name not in self.kept:
            raise NotFoundError(f"the run of {self.day} kept no table {name}")
        return _of(self.kept[name], among)

    def scan(self, name: str) -> pl.LazyFrame:
        """Return a kept table."""
        return self.read(name).lazy()

    def remove(self, group: str) -> None:
        """Remove every table of a group."""
        self.kept = {k: v for k, v in self.kept.items() if not k.startswith(f"{group}/")}

    def tables(self, group: str, among: pl.DataFrame | None = None) -> dict[str, pl.DataFrame]:
        """Return every table kept in a group."""
        names = [name for name in self.kept if name.startswith(f"{group}/")]
        return {name.removeprefix(f"{group}/"): self.read(name, among) for name in names}

    def write_text(self, name: str, content: str) -> None:
        """Keep a text."""
        self.texts[name] = content

    def read_text(self, name: str) -> str | None:
        """Return a kept text, or None."""
        return self.texts.get(name)


@dataclass
class ScratchRuns:
    """What all runs keep; a run of more than a day ago keeps what later nights read."""

    folders: dict[date, ScratchFolder] = field(default_factory=dict)

    def of(self, day: date) -> ScratchFolder:
        """Return the folder of one day."""
        if day not in self.folders:
            self.folders[day] = ScratchFolder(day)
        return self.folders[day]

    def planned_days(self) -> Sequence[date]:
        """Return the days of which a plan is kept, in order."""
        return sorted(day for day, folder in self.folders.items() if folder.has("plan/actions"))

    def planned(self, day: date) -> ScratchFolder:
        """Return the folder of a day of which a plan is kept."""
        if day not in self.planned_days():
            raise NotFoundError(f"there is no plan of {day}")
        return self.folders[day]

    def forget_inputs(self, before: date) -> None:
        """Let go of inputs and scores of older runs: only their plans are read again."""
        for day, folder in self.folders.items():
            if day < before:
                folder.kept = {k: v for k, v in folder.kept.items() if k.startswith("plan/")}
                folder.texts.clear()


class ScratchWiring(Wiring):
    """A project's wiring with everything but the operational store in memory.

    Nobody asks a service between the nights: the cards that it would answer with, and who would
    take a free place, are left out.
    """

    is_served = False

    def pack_records(self, as_of: datetime) -> Iterator[list[tuple[str, bytes]]]:
        """Return no cards."""
        return iter(())

    @cached_property
    def lake(self) -> ScratchLake:
        """The tables as they are kept."""
        return ScratchLake(self.project.data / "scratch-lake")

    @cached_property
    def tables(self) -> ScratchTables:
        """The tables as a moment sees them."""
        settings = self.settings
        return ScratchTables(
            self.lake, time_zone=settings.time_zone, margin_rate=settings.margin_rate
        )

    @cached_property
    def feature_store(self) -> ScratchFeatures:
        """The feature store."""
        return ScratchFeatures(self.project, self.tables)

    @cached_property
    def registry(self) -> ScratchRegistry:  # type: ignore[override]
        """The model registry."""
        return ScratchRegistry()

    @cached_property
    def runs(self) -> ScratchRuns:  # type: ignore[override]
        """What nightly runs keep."""
        return ScratchRuns()
