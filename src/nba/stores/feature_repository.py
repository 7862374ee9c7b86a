"""A project's Feast repository: its YAML read, its objects made from the views, its registry.

Entities, sources, views and services are generated from `nba.features.VIEWS` and
`features/services.yaml`; nobody writes a feature's name twice. Feast itself is imported on
first use only.
"""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from nba.data.moments import BadMomentError, at, parse_moment
from nba.errors import UsageError
from nba.features import VIEWS, View
from nba.features.engine import EVENT_TIMESTAMP
from nba.features.tags import load_tags, with_tags
from nba.files import write_text
from nba.settings import read_yaml
from nba.stores.feature_services import read_services
from nba.stores.snapshots import Snapshots
from nba.validation import nearest

if TYPE_CHECKING:
    from nba.stores.feast_import import FeatureStore

STORE_FILE: Final = "feature_store.yaml"
SERVICES_FILE: Final = "services.yaml"
TAGS_FILE: Final = "tags.yaml"
#: The `type` of the online store that this package brings along.
PACKED: Final = "nba.stores.online_feast.PackedOnlineStore"
DATA_PREFIX: Final = "../data/"
_ROW: Final = "nba_row"
_MOMENT: Final = "nba_moment"
#: Feast's DuckDB reader works on one connection for the whole process.
_FEAST_LOCK: Final = threading.RLock()


@dataclass
class FeatureRepository:
    """The Feast side of one project.

    Parameters
    ----------
    folder : Path
        The project's `features/` folder, absolute.
    data : Path
        The project's data folder, absolute.
    snapshots : Snapshots
    base_views : mapping of str to View
    zone : ZoneInfo
        Of naive moments.
    """

    folder: Path
    data: Path
    snapshots: Snapshots
    base_views: Mapping[str, View]
    zone: ZoneInfo

    def __post_init__(self) -> None:
        self.settings = self._read_settings()
        self.tags = load_tags(self.folder / TAGS_FILE, self.base_views)
        self.views: Mapping[str, View] = with_tags(self.base_views, self.tags)
        self.services = read_services(self.folder / SERVICES_FILE, self.views)
        self._feast: FeatureStore | None = None

    def _read_settings(self) -> dict[str, Any]:
        path = self.folder / STORE_FILE
        raw = read_yaml(path) if path.exists() else {}
        return {
            "project": "nba",
            "provider": "local",
            "offline_store": {"type": "duckdb"},
            "entity_key_serialization_version": 3,
            **raw,
        }

    @property
    def state(self) -> Path:
        """The folder of registry and online store."""
        return self.data / "feast"

    @property
    def online_path(self) -> Path:
        """The file of the packed online store."""
        configured = (self.settings.get("online_store") or {}).get("path")
        return self._located(configured) if configured else self.state / "online.db"

    def _located(self, path: str) -> Path:
        """Return a path of `feature_store.yaml`; `../data` is the project's data folder."""
        if path.startswith(DATA_PREFIX):
            return self.data / path.removeprefix(DATA_PREFIX)
        return (self.folder / path).resolve()

    def service(self, name: str) -> list[tuple[View, list[str]]]:
        """Return the views of a service with the features it reads.

        Raises
        ------
        UsageError
            When there is no such service, with the nearest names.
        """
        if name not in self.services:
            raise UsageError(
                f"there is no feature service {name!r}",
                expected=f"one of {sorted(self.services)}",
                next_step=nearest(name, self.services),
            )
        return [
            (self.views[view], list(self.views[view].by_name) if isinstance(names, str) else names)
            for view, names in self.services[name].views.items()
        ]

    # ------------------------------------------------------------------- feast

    @property
    def has_other_online_store(self) -> bool:
        """Whether `feature_store.yaml` names an online store of Feast beside the packed one."""
        return bool(self._online_settings()["type"] != PACKED)

    def _online_settings(self) -> dict[str, Any]:
        chosen = {"type": PACKED, **(self.settings.get("online_store") or {})}
        if chosen["type"] == PACKED:
            return {**chosen, "path": str(self.online_path)}
        if chosen["type"] == "redis":
            # Feast hands out values of any age: in Redis they end with the longest-lived view.
            longest = max(view.ttl_days for view in self.views.values())
            chosen.setdefault("key_ttl_seconds", longest * 86_400)
        return chosen

    def _config(self) -> Any:
        from nba.stores.feast_import import RepoConfig

        settings = dict(self.settings)
        registry = settings.pop("registry", None)
        if isinstance(registry, Mapping):
            # Said aloud, or Feast warns that it chooses this driver.
            address = str(registry.get("path", ""))
            address = address.replace("postgresql://", "postgresql+psycopg://")
            registry = {**registry, "path": address}
        else:
            path = self._located(registry) if registry else self.state / "registry.db"
            path.parent.mkdir(parents=True, exist_ok=True)
            registry = {"registry_type": "file", "path": str(path)}
        settings["online_store"] = self._online_settings()
        return RepoConfig(registry=registry, repo_path=self.folder, **settings)

    @property
    def feast(self) -> FeatureStore:
        """The Feast feature store, its registry brought up to date on first use."""
        if self._feast is None:
            with warnings.catch_warnings():
                # Feast turns deprecation warnings on for the whole process when imported.
                from nba.stores.feast_import import FeatureStore

                config = self._config()
            self._feast = FeatureStore(config=config)
            self.apply()
        return self._feast

    def objects(self) -> list[Any]:
        """Return every Feast object of this project."""
        from nba.stores.feast_objects import feast_objects

        return feast_objects(
            self.views,
            self.services,
            source_path=self.snapshots.glob,
            offline_type=str(self.settings["offline_store"]["type"]),
        )

    def definitions_digest(self) -> str:
        """Return a digest of all that is registered."""
        content = {
            "views": [
                repr((v.name, v.entity_keys, v.features, v.ttl_days, v.meaning, v.owner))
                for v in self.views.values()
            ],
            "services": {name: item.model_dump() for name, item in self.services.items()},
            "settings": self.settings,
            "snapshots": str(self.snapshots.root),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def apply(self) -> bool:
        """Register what changed since the last time; False where nothing did."""
        stamp = self.state / "applied"
        digest = self.definitions_digest()
        if stamp.exists() and stamp.read_text() == digest:
            return False
        with _FEAST_LOCK:
            if self._feast is None:
                from nba.stores.feast_import import FeatureStore

                self._feast = FeatureStore(config=self._config())
            objects = self.objects()
            self._feast.apply(objects, objects_to_delete=self._obsolete(objects), partial=False)
        write_text(stamp, digest)
        return True

    def _obsolete(self, objects: list[Any]) -> list[Any]:
        """Return registered services and views that are no longer defined."""
        assert self._feast is not None
        names = {(type(item).__name__, item.name) for item in objects}
        registered: list[Any] = [
            *self._feast.list_feature_services(),
            *self._feast.list_feature_views(),
        ]
        return [item for item in registered if (type(item).__name__, item.name) not in names]

    def materialise(self, moment: datetime) -> None:
        """Bring the snapshot of `moment` (naive UTC) into the online store that Feast names."""
        at = moment.replace(tzinfo=UTC)
        store = self.feast
        with _FEAST_LOCK, warnings.catch_warnings():
            # ibis fetches Arrow tables from DuckDB by a name that DuckDB has renamed.
            warnings.simplefilter("ignore", DeprecationWarning)
            store.materialize(at - timedelta(seconds=1), at)

    def push(self, view: str, rows: pl.DataFrame) -> None:
        """Push rows with their moments through Feast, online only."""
        from nba.stores.feast_import import PushMode

        store = self.feast
        with _FEAST_LOCK:
            store.push(f"{view}_push", rows.to_pandas(), to=PushMode.ONLINE)

    def keys_online(self, customer_ids: Sequence[str], *, delete: bool) -> Mapping[str, int]:
        """Return how many keys of the online store that Feast names hold each customer.

        See `nba.stores.online_erasure.keys_online`; nothing where the packed store is alone.
        """
        if not self.has_other_online_store or not customer_ids:
            return {}
        from nba.stores.online_erasure import keys_online

        store = self.feast
        with _FEAST_LOCK:
            return keys_online(store, customer_ids, delete=delete)

    def historical(self, service: str, entities: pl.DataFrame) -> pl.DataFrame:
        """Join a service onto `entities` point-in-time, see `FeastFeatureStore.historical`."""
        wanted = self.service(service)
        self._check(entities, [view for view, _ in wanted])
        names = [name for _, features in wanted for name in features]
        if entities.is_empty():
            return entities.with_columns(pl.lit(None).alias(name) for name in names)
        utc = utc_moments(entities[EVENT_TIMESTAMP], self.zone)
        frame = entities.with_row_index(_ROW).with_columns(
            # Spark knows no unsigned numbers.
            pl.col(_ROW).cast(pl.Int64),
            utc.alias(EVENT_TIMESTAMP),
        )
        keys = list(dict.fromkeys(key for view, _ in wanted for key in view.entity_keys))
        asked = frame.select(*keys, EVENT_TIMESTAMP, _ROW).to_pandas()
        store = self.feast
        with _FEAST_LOCK, warnings.catch_warnings():
            # ibis fetches Arrow tables from DuckDB by a name that DuckDB has renamed.
            warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
            # Feast calls its Spark store and source experimental on every use.
            warnings.filterwarnings("ignore", "The spark ", RuntimeWarning)
            joined = store.get_historical_features(
                entity_df=asked, features=store.get_feature_service(service)
            ).to_arrow()
        found = pl.DataFrame(pl.from_arrow(joined)).select(_ROW, *names).sort(_ROW)
        local = utc.dt.convert_time_zone(self.zone.key).dt.replace_time_zone(None)
        asked_at = entities.with_columns(local.alias(EVENT_TIMESTAMP))
        found = self._without_the_gone(asked_at, found.drop(_ROW), wanted)
        return pl.concat([entities, found], how="horizontal")

    def _without_the_gone(
        self, entities: pl.DataFrame, found: pl.DataFrame, wanted: list[tuple[View, list[str]]]
    ) -> pl.DataFrame:
        """Empty what the last snapshot before a row's moment no longer has.

        Feast joins the last row of a key, and a key that is gone, such as a tag that no longer
        stands, has its last row in an older snapshot.
        """
        rows = entities.with_row_index(_ROW).sort(EVENT_TIMESTAMP)
        for view, names in wanted:
            built = self.snapshots.moments_of(view.name)
            moments = pl.DataFrame({_MOMENT: built}, {_MOMENT: pl.Datetime("us")})
            asked = rows.join_asof(moments, left_on=EVENT_TIMESTAMP, right_on=_MOMENT)
            stands = pl.concat(
                [
                    part.join(self.snapshots.keys(view, at), on=view.entity_keys, how="semi")
                    for (at,), part in asked.drop_nulls(_MOMENT).group_by(_MOMENT)
                    if isinstance(at, datetime)
                ]
                or [asked.clear()]
            )
            here = pl.int_range(pl.len()).is_in(stands[_ROW].cast(pl.Int64).implode())
            found = found.with_columns(pl.when(here).then(pl.col(name)) for name in names)
        return found

    @staticmethod
    def _check(entities: pl.DataFrame, views: list[View]) -> None:
        needed = {EVENT_TIMESTAMP, *(key for view in views for key in view.entity_keys)}
        missing = sorted(needed - set(entities.columns))
        if missing:
            raise UsageError(
                f"a point-in-time join lacks {', '.join(missing)}",
                expected=", ".join(sorted(needed)),
                found=", ".join(entities.columns),
            )
        for key in sorted(needed - {EVENT_TIMESTAMP}):
            if entities[key].dtype != pl.String or entities[key].null_count():
                raise UsageError(
                    f"{key} must be text and never empty",
                    found=f"{entities[key].dtype} with {entities[key].null_count()} nulls",
                    next_step="ids are strings: read them as such",
                )


def utc_moments(moments: pl.Series, zone: ZoneInfo) -> pl.Series:
    """Return the moments of an entity frame in UTC.

    Parameters
    ----------
    moments : polars.Series
        Naive ones stand in `zone`, aware ones are converted, texts are read as everywhere.
    zone : ZoneInfo

    Raises
    ------
    UsageError
        For any other type, for a text that is no moment, and where a moment is empty.
    """
    if moments.null_count():
        raise UsageError(
            f"{EVENT_TIMESTAMP} must never be empty", found=f"{moments.null_count()} nulls"
        )
    dtype = moments.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return moments.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if dtype == pl.String:
        return _utc_series(moments, lambda text: parse_moment(text, zone).value)
    if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
        raise UsageError(
            f"{EVENT_TIMESTAMP} must be a moment",
            expected="a naive local time, an aware moment, or ISO 8601 text",
            found=str(dtype),
        )
    naive = moments.cast(pl.Datetime("us"))
    try:
        return naive.dt.replace_time_zone(zone.key).dt.convert_time_zone("UTC")
    except pl.exceptions.ComputeError:  # an hour that happens twice, or not at all
        return _utc_series(naive, lambda moment: at(moment, zone).value)


def _utc_series(moments: pl.Series, read: Callable[[Any], datetime]) -> pl.Series:
    try:
        values = [read(moment) for moment in moments]
    except BadMomentError as error:
        raise UsageError(
            f"{EVENT_TIMESTAMP} holds a text that is no moment", expected=error.expected
        ) from error
    return pl.Series(moments.name, values, pl.Datetime("us", "UTC"))


def open_repository(folder: Path, *, time_zone: str = "Asia/Shanghai") -> FeatureRepository:
    """Return the repository of a project's `features/` folder, its data folder beside it."""
    folder = folder.resolve()
    data = folder.parent / "data"
    return FeatureRepository(
        folder, data, Snapshots(data / "features"), VIEWS, zone=ZoneInfo(time_zone)
    )
