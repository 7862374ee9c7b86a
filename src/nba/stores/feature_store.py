"""The feature store: snapshots by Ibis, joined and registered by Feast, served packed.

Feast is imported only where it is asked something (`historical`, `apply`): a nightly build
and a look-up do not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

import polars as pl

from nba.data.erasure import CUSTOMER, Leaving, Tally
from nba.errors import ConflictError, NotFoundError
from nba.features import VIEWS, Tables, View, customer_state, customer_tags
from nba.features.clock_features import without_clock_features
from nba.features.drift import Check, compare_views
from nba.features.engine import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    DuckDBEngine,
    Engine,
    digest_sql,
    packed_sql,
    write_views,
)
from nba.files import write_parquet
from nba.models.some_customers import drawn_customers
from nba.stores.engines import duckdb_engine
from nba.stores.feature_repository import FeatureRepository
from nba.stores.fresh import Base, FreshRows, base_without, write_base
from nba.stores.online_frames import frame_of, keys_of, pack
from nba.stores.online_packed import DAY_MICROSECONDS, OnlineView, PackedStore, Row
from nba.stores.snapshots import NIGHTLY, TRAINING, Snapshots, views_digest
from nba.stores.tag_history import TagHistory

KEEP_DAYS: Final = 14
#: How far fresh purchases go back where no model says.
WINDOW_DAYS: Final = 730
_EPOCH: Final = datetime(1970, 1, 1)
_FETCH_ROWS: Final = 50_000
#: `(as_of, ibis connection) -> tables of the contract`, as `nba.data.load_tables` gives them.
TableSource = Callable[[datetime, Any], Tables]


def microseconds(moment: datetime) -> int:
    """Return the microseconds from 1970-01-01 to a naive moment, on its own clock."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _with_moments(view: View, values: dict[str, Any]) -> dict[str, Any]:
    """Return features as they came from the online store, with its microseconds as moments."""
    for feature in view.moments:
        if values.get(feature) is not None:
            values[feature] = _EPOCH + timedelta(microseconds=values[feature])
    return values


class FeastFeatureStore:
    """Features of one project.

    Parameters
    ----------
    data : Path
        The project's data folder.
    repository : Path
        The project's `features/` folder.
    tables : callable
        `(as_of, connection) -> tables`.
    time_zone : str
        In which `as_of` and all naive moments stand.
    input_version : callable
        The digest of what `tables` reads; by default always the same.
    engine : callable
        Makes the engine for one build; by default DuckDB in memory, which spills to `tmp` in
        the data folder.
    base_engine : callable
        Makes the DuckDB that writes what the day's features are computed from; by default as
        `engine`.
    keep_days : int
        Days for which nightly snapshots are kept.
    window_days : callable
        Returns how far back fresh purchases go.
    clock : callable
        The current moment, aware; stamps `created_timestamp`.
    """

    place: ClassVar[str] = "features"

    def __init__(
        self,
        data: Path,
        repository: Path,
        tables: TableSource,
        *,
        time_zone: str = "Asia/Shanghai",
        input_version: Callable[[], str] = lambda: "",
        has_clock: Callable[[], bool] = lambda: True,
        engine: Callable[[], Engine] | None = None,
        base_engine: Callable[[], DuckDBEngine] | None = None,
        keep_days: int = KEEP_DAYS,
        window_days: Callable[[], int] = lambda: WINDOW_DAYS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.data = data.resolve()
        self.zone = ZoneInfo(time_zone)
        self.snapshots = Snapshots(self.data / "features")
        self.repository = FeatureRepository(
            repository.resolve(), self.data, self.snapshots, VIEWS, zone=self.zone
        )
        self.online_store = PackedStore(self.repository.online_path)
        self.tag_history = TagHistory(self.data / "features" / "tag_changes")
        self._base = self.data / "features" / "fresh.duckdb"
        self.fresh = FreshRows(
            self._base,
            self._built_views,
            time_zone=time_zone,
            window_days=window_days,
            definitions=self._definitions,
        )
        self._tables = tables
        self._input_version = input_version
        self._has_clock = has_clock
        in_memory = partial(duckdb_engine, spill=self.data / "tmp")
        self._engine = engine or in_memory
        self._base_engine = base_engine or in_memory
        self._keep_days = keep_days
        self._clock = clock

    @property
    def views(self) -> Mapping[str, View]:
        """The views of this project, its own tags among them."""
        return self.repository.views

    def _utc(self, moment: datetime) -> datetime:
        """Return a naive local moment as naive UTC."""
        return moment.replace(tzinfo=self.zone).astimezone(UTC).replace(tzinfo=None)

    def _now(self) -> datetime:
        """Return the current moment as naive UTC."""
        return self._clock().astimezone(UTC).replace(tzinfo=None)

    # ------------------------------------------------------------------ build

    def build(
        self, as_of: datetime, *, force: bool = False, purpose: str = NIGHTLY
    ) -> Mapping[str, Any]:
        """Build every view at `as_of`; return the manifest.

        Doing it again with the same input and definitions does nothing. Nightly snapshots of
        more than 14 days before `as_of` are removed.

        Raises
        ------
        ConflictError
            When `as_of` was built from other input or definitions, unless `force`.
        """
        version, digest = self._input_version(), self._definitions()
        found = self.snapshots.manifest(as_of)
        if found is not None and not force:
            same = (found["input_version"], found["definitions"]) == (version, digest)
            if not same:
                raise ConflictError(
                    f"the features of {as_of.isoformat()} were built from other input",
                    expected=f"input {found['input_version']}, definitions {found['definitions']}",
                    found=f"input {version}, definitions {digest}",
                    next_step="use --force to build them again",
                )
            return {**found, "built": False}
        manifest = self._build(as_of, version, digest, purpose)
        if purpose == NIGHTLY:
            self._note_tags(as_of)
            self.snapshots.prune(as_of, keep_days=self._keep_days)
        return {**manifest, "built": True}

    def _built_views(self) -> Mapping[str, View]:
        """Return the views as they are built: without hours and weekdays where none are known."""
        return self.views if self._has_clock() else without_clock_features(self.views)

    def _definitions(self) -> str:
        return views_digest(self.views, sorted(self.repository.tags.rules.items()))

    def _note_tags(self, as_of: datetime) -> None:
        """Log which tags were set and which went since the night before."""
        after = self.snapshot(customer_tags.VIEW.name, as_of)
        earlier = [
            moment
            for moment in self.moments()
            if moment < as_of and (self.snapshots.manifest(moment) or {})["purpose"] == NIGHTLY
        ]
        before = self.snapshot(customer_tags.VIEW.name, earlier[-1]) if earlier else after.clear()
        self.tag_history.note(before, after, as_of)

    def ensure(
        self, moments: Iterable[datetime], *, views: Collection[str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Build the views at training cut-offs; those of older input are built anew.

        Parameters
        ----------
        moments : iterable of datetime
        views : collection of str, optional
            What the training reads; other views are left out, but where a nightly snapshot
            stands, which stays whole.
        """
        return [self._ensure_one(moment, views) for moment in moments]

    def _ensure_one(self, moment: datetime, views: Collection[str] | None) -> Mapping[str, Any]:
        version, digest = self._input_version(), self._definitions()
        found = self.snapshots.manifest(moment)
        if found is not None:
            same = (found["input_version"], found["definitions"]) == (version, digest)
            if same and set(views or self.views) <= set(found["views"]):
                return {**found, "built": False}
            if found["purpose"] == NIGHTLY:
                views = None
        return {**self._build(moment, version, digest, TRAINING, views), "built": True}

    def _build(
        self,
        as_of: datetime,
        version: str,
        digest: str,
        purpose: str,
        names: Collection[str] | None = None,
    ) -> dict[str, Any]:
        started = time.perf_counter()
        engine = self._engine()
        views = self._built_views()
        if names is not None:
            wanted = {*names, *(other for name in names for other in views[name].needs)}
            views = {name: view for name, view in views.items() if name in wanted}
        try:
            written = write_views(
                engine,
                views,
                self._tables(as_of, engine.connection),
                as_of,
                {name: self.snapshots.staging(name, as_of) for name in views},
                event_timestamp=self._utc(as_of),
                created_timestamp=self._now(),
            )
        finally:
            engine.close()
        contents = {}
        for item in written:
            rows, content = self._digest(self.views[item.view], item.folder)
            contents[item.view] = {
                "rows": rows,
                "digest": content,
                "seconds": round(item.seconds, 3),
            }
        manifest = {
            "as_of": as_of.isoformat(),
            "purpose": purpose,
            "engine": engine.name,
            "input_version": version,
            "definitions": digest,
            "seconds": round(time.perf_counter() - started, 3),
            "views": contents,
        }
        self.snapshots.commit(views, as_of, manifest)
        return manifest

    @staticmethod
    def _digest(view: View, folder: Path) -> tuple[int, str]:
        import duckdb

        with duckdb.connect() as connection:
            found = connection.execute(digest_sql(view, str(folder / "*.parquet"))).fetchone()
        assert found is not None
        return int(found[0]), str(found[1])

    def snapshot(
        self, view: str, as_of: datetime, among: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """Return one view as built at `as_of`: keys and features, sorted by key.

        Parameters
        ----------
        view : str
        as_of : datetime
        among : DataFrame, optional
            customer_id: of a view of customers the rows of these alone.
        """
        return self.snapshots.read(self._view(view), as_of, among)

    def draw(self, as_of: datetime, most: int, *, seed: int) -> pl.DataFrame:
        """Return at most so many customers of a snapshot, drawn by the engine that built it.

        See `nba.models.some_customers.drawn_customers`.
        """
        engine = self._engine()
        files = self.snapshots.folder(customer_state.VIEW.name, as_of) / "*.parquet"
        try:
            customers = engine.connection.read_parquet(str(files))
            drawn = drawn_customers(customers, most, seed=seed).to_pyarrow()
        finally:
            engine.close()
        return pl.DataFrame(pl.from_arrow(drawn)).sort(CUSTOMER)

    def served(self, view: str, as_of: datetime) -> pl.DataFrame:
        """Return one view of a published plan: see `Snapshots.read_served`."""
        return self.snapshots.read_served(self._view(view), as_of)

    def _view(self, name: str) -> View:
        if name not in self.views:
            raise NotFoundError(
                f"there is no feature view {name!r}", expected=f"one of {sorted(self.views)}"
            )
        return self.views[name]

    def moments(self) -> list[datetime]:
        """Return every moment that was built, in order."""
        return self.snapshots.moments()

    def show(self, customer_id: str, as_of: datetime) -> dict[str, pl.DataFrame]:
        """Return the rows of one customer in every view that is keyed by customers.

        Raises
        ------
        NotFoundError
            When nothing was built at `as_of`, or no view knows the customer.
        """
        found = {
            view.name: self.snapshot(view.name, as_of).filter(pl.col("customer_id") == customer_id)
            for view in self.views.values()
            if "customer_id" in view.entity_keys
        }
        if all(frame.is_empty() for frame in found.values()):
            raise NotFoundError(
                f"no feature view knows customer {customer_id!r} at {as_of.isoformat()}",
                next_step="ids are compared as text: leading zeros count",
            )
        return found

    def diff(self, old: datetime, new: datetime) -> list[Check]:
        """Compare two snapshots: rows, null rates, drift and new values of every feature."""
        return compare_views(
            self.views,
            {name: self.snapshot(name, old) for name in self.views},
            {name: self.snapshot(name, new) for name in self.views},
        )

    def erase(self, leaving: Leaving) -> Tally:
        """Take customers out of every snapshot, the tag history and what is online.

        The digests in the manifests then no longer fit: they are computed anew.
        """
        ids = leaving.customer_ids
        tally = self.tag_history.erase(ids)
        for view in self.views.values():
            if CUSTOMER not in view.entity_keys:
                continue
            for one in ids:
                rows = self.online_store.forget(view.name, CUSTOMER, [one])
                tally.add([(one, rows)] if rows else [])
            for as_of in self.moments():
                tally.merge(self._rewrite_without(view, as_of, ids))
        tally.add(base_without(self._base, ids).items())
        self.online_store.purge()
        tally.add(self.repository.keys_online(ids, delete=True).items())
        return tally

    def _rewrite_without(self, view: View, as_of: datetime, customer_ids: Sequence[str]) -> Tally:
        folder = self.snapshots.folder(view.name, as_of)
        tally = Tally()
        for path in sorted(folder.glob("*.parquet")):
            frame = pl.read_parquet(path, hive_partitioning=False)
            theirs = pl.col(CUSTOMER).is_in(list(customer_ids))
            if tally.add(frame.filter(theirs).group_by(CUSTOMER).len().rows()):
                write_parquet(frame.filter(~theirs), path)
        if tally.total:
            rows, digest = self._digest(view, folder)
            self.snapshots.amend(as_of, view.name, rows=rows, digest=digest)
        return tally

    # -------------------------------------------------------------- historical

    def service_columns(self, service: str) -> dict[str, list[str]]:
        """Return the views of a feature service, each with its keys and the features it names.

        Raises
        ------
        UsageError
            When there is no such service, with the nearest names.
        """
        named = self.repository.service(service)
        return {view.name: [*view.entity_keys, *names] for view, names in named}

    def historical(self, service: str, entities: pl.DataFrame) -> pl.DataFrame:
        """Join a feature service onto `entities`, each row as it was at its moment.

        Parameters
        ----------
        service : str
            Of `features/services.yaml`, or the name of a view.
        entities : polars.DataFrame
            The entity keys and `event_timestamp` (naive local); other columns pass through.

        Returns
        -------
        polars.DataFrame
            `entities` in its order with the service's features; null where no snapshot stood
            within the view's time to live before the moment.
        """
        return self.repository.historical(service, entities)

    # ------------------------------------------------------------------ online

    def online_view(self, view: View) -> OnlineView:
        """Return how a view is packed."""
        return OnlineView(
            view.name,
            view.entity_keys,
            tuple(view.by_name),
            view.ttl_days * DAY_MICROSECONDS,
        )

    def materialise(self, as_of: datetime) -> dict[str, bool]:
        """Bring the snapshot of `as_of` online in one transaction.

        Returns
        -------
        dict of str to bool
            Per view whether it went online: a view with a later snapshot online stays.
        """
        if self.snapshots.manifest(as_of) is None:
            self.snapshot(next(iter(self.views)), as_of)
        moment = microseconds(self._utc(as_of))
        with self.online_store.transaction():
            done = {
                view.name: self.online_store.replace(
                    self.online_view(view), self._packed(view, as_of), moment_us=moment
                )
                for view in self.views.values()
            }
        if self.repository.has_other_online_store:
            self.repository.materialise(self._utc(as_of))
        if any(done.values()):
            self._write_base(as_of)
        return done

    def _write_base(self, as_of: datetime) -> None:
        """Lay ready what features are computed from during the day."""
        engine = self._base_engine()
        made_at = self._clock()
        try:
            write_base(self._base, self._tables(as_of, engine.connection), as_of, made_at)
        finally:
            engine.close()

    def lost_views(self, as_of: datetime) -> list[str]:
        """Return the views of `as_of` that are gone, though no later night removed them."""
        later = [moment for moment in self.moments() if moment > as_of]
        old = later and as_of < later[-1] - timedelta(days=self._keep_days)
        manifest = self.snapshots.manifest(as_of)
        if manifest is None:
            return [] if old else list(self.views)
        built = manifest["views"]
        return [name for name in built if not self.snapshots.stands(name, as_of)]

    def is_online(self, as_of: datetime) -> bool:
        """Return whether the snapshot of `as_of`, or a later one, is online in every view."""
        moment = microseconds(self._utc(as_of))
        return all(self.online_store.snapshot_us(name) >= moment for name in self.views)

    def _packed(self, view: View, as_of: datetime) -> Iterator[Row]:
        import duckdb

        keys = ", ".join(f'"{key}"' for key in view.entity_keys)
        files = str(self.snapshots.folder(view.name, as_of) / "*.parquet")
        n = len(view.entity_keys)
        with duckdb.connect() as connection:
            cursor = connection.execute(
                f"SELECT {keys}, epoch_us(event_timestamp), epoch_us(created_timestamp), "
                f"{packed_sql(view)} FROM read_parquet('{files}') ORDER BY {keys}"
            )
            while rows := cursor.fetchmany(_FETCH_ROWS):
                for row in rows:
                    yield row[:n], row[n], row[n + 1], row[n + 2]

    def online(
        self, service: str, keys: pl.DataFrame, *, now: datetime | None = None
    ) -> pl.DataFrame:
        """Look up a feature service.

        Parameters
        ----------
        service : str
            Of `features/services.yaml`, or the name of a view.
        keys : polars.DataFrame
            One row per entity, with the entity keys of every view in the service.
        now : datetime, optional
            Naive local; a value older than its view's time to live at this moment is null.
            Without it the age counts against the newest value of the view.

        Returns
        -------
        polars.DataFrame
            `keys` in its order with the features; null for an unknown entity.
        """
        now_us = None if now is None else microseconds(self._utc(now))
        parts = [keys]
        for view, names in self.repository.service(service):
            found = self.online_store.read(
                self.online_view(view), keys_of(keys, view), now_us=now_us
            )
            data: dict[str, list[Any]] = {
                name: [None if item is None else item[1].get(name) for item in found]
                for name in names
            }
            parts.append(frame_of(view, data, names))
        return pl.concat(parts, how="horizontal")

    def online_rows(
        self, view: str, first_keys: Sequence[str], *, now: datetime | None = None
    ) -> pl.DataFrame:
        """Return all rows of a long view for the given first keys, e.g. a customer's tags."""
        spec = self._view(view)
        now_us = None if now is None else microseconds(self._utc(now))
        rows = self.online_store.scan(self.online_view(spec), first_keys, now_us=now_us)
        names = tuple(spec.by_name)
        data = {name: [values.get(name) for _, _, values in rows] for name in names}
        keys = pl.DataFrame(
            {key: [row[0][i] for row in rows] for i, key in enumerate(spec.entity_keys)},
            schema=dict.fromkeys(spec.entity_keys, pl.String()),
        )
        return pl.concat([keys, frame_of(spec, data, names)], how="horizontal")

    def online_one(
        self, service: str, *, now: datetime | None = None, **keys: str
    ) -> dict[str, Any]:
        """Look up a feature service for one entity, as plain values.

        Examples
        --------
        ``store.online_one("customer_card", customer_id="17850")``
        """
        now_us = None if now is None else microseconds(self._utc(now))
        found: dict[str, Any] = {}
        for view, names in self.repository.service(service):
            spec = self.online_view(view)
            (item,) = self.online_store.read(
                spec, [tuple(keys[key] for key in view.entity_keys)], now_us=now_us
            )
            values = {} if item is None else _with_moments(view, item[1])
            found |= {name: values.get(name) for name in names}
        return found

    def online_plain(self, view: str, first_key: str) -> list[dict[str, Any]]:
        """Return all rows of a long view for one first key, as plain values, in order of keys."""
        spec = self._view(view)
        rows = self.online_store.scan(self.online_view(spec), [first_key])
        return [
            dict(zip(spec.entity_keys, keys, strict=True)) | _with_moments(spec, values)
            for keys, _, values in rows
        ]

    def base(self) -> Base | None:
        """Return what the base of the day's features says of itself, or None."""
        return self.fresh.base()

    def online_moment(self, customer_id: str) -> int:
        """Return when what is online of a customer was computed: microseconds, 0 for nobody."""
        return self.online_store.event_us(customer_state.VIEW.name, CUSTOMER, customer_id)

    def is_refreshed(self, customer_id: str) -> bool:
        """Return whether a customer's features are newer than the night's."""
        return self.online_moment(customer_id) > self.night_moment()

    def night_moment(self) -> int:
        """Return the moment of the night's features that are online: microseconds, 0: none."""
        return self.online_store.snapshot_us(customer_state.VIEW.name)

    def refresh(
        self, day: Mapping[str, pl.DataFrame], customer_ids: Sequence[str], *, now: datetime
    ) -> None:
        """Compute the features of a few customers anew and push them, all views at once.

        Parameters
        ----------
        day : mapping of str to polars.DataFrame
            What was accepted of these customers since the base was made: see
            `nba.stores.fresh.FreshRows.rows`.
        customer_ids : sequence of str
        now : datetime
            Naive local.

        Raises
        ------
        NotFoundError
            Where no snapshot was brought online here.
        """
        rows = self.fresh.rows(customer_ids, day, now)
        with self.online_store.transaction():
            for view, frame in rows.items():
                self.push(view, frame, moment=now, whole=customer_ids)

    def prepare(self, *, now: datetime) -> None:
        """Make ready what the first refresh of the day at `now` (naive local) would wait for."""
        self.fresh.prepare(now)

    def fresh_tables(
        self, day: Mapping[str, pl.DataFrame], customer_ids: Sequence[str], *, now: datetime
    ) -> dict[str, pl.DataFrame]:
        """Return a few customers' rows of base and day, and `purchases`: see `refresh`."""
        return self.fresh.tables(customer_ids, day, now)

    def push(
        self, view: str, rows: pl.DataFrame, *, moment: datetime, whole: Sequence[str] = ()
    ) -> None:
        """Write freshly computed rows of a view online, as of `moment` (naive local).

        Parameters
        ----------
        view : str
        rows : polars.DataFrame
            The keys and features of the view.
        moment : datetime
            What is online from a later moment stays.
        whole : sequence of str
            First keys (customers) of which `rows` holds all: their other rows are forgotten.
        """
        spec = self._view(view)
        event = microseconds(self._utc(moment))
        created = microseconds(self._now())
        packed = pack(spec, rows)
        self.online_store.push(
            self.online_view(spec),
            [
                (key, event, created, value)
                for key, value in zip(keys_of(rows, spec), packed, strict=True)
            ],
            whole=whole,
            moment_us=event,
        )
        if self.repository.has_other_online_store:
            stamps = {EVENT_TIMESTAMP: self._utc(moment), CREATED_TIMESTAMP: self._now()}
            dated = {name: pl.lit(at).dt.replace_time_zone("UTC") for name, at in stamps.items()}
            self.repository.push(view, rows.with_columns(**dated))

    def apply(self) -> bool:
        """Register entities, sources, views and services with Feast; False where they stand."""
        return self.repository.apply()
