"""The packed online store behind Feast's online store interface.

Named as ``type: nba.stores.online_feast.PackedOnlineStore`` in ``feature_store.yaml``. Against
Feast's own SQLite store it keeps one row per entity and view instead of one per feature, never
replaces a value by an older one, and does not serve what is past its view's time to live.

Notes
-----
Feast's value type for timestamps counts whole seconds; through `FeatureStore.online` of this
package they keep their microseconds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from nba.stores.feast_import import (
    Array,
    Bool,
    BoolList,
    DoubleList,
    Entity,
    EntityKey,
    FeastConfigBaseModel,
    FeastType,
    FeatureView,
    Float64,
    Int64,
    Int64List,
    OnlineStore,
    RepoConfig,
    String,
    StringList,
    UnixTimestamp,
    Value,
)
from nba.stores.online_packed import Key, OnlineView, PackedStore, Row

_MICRO: Final = 1_000_000


class PackedOnlineStoreConfig(FeastConfigBaseModel):
    """The `online_store` section of `feature_store.yaml`."""

    type: Literal["nba.stores.online_feast.PackedOnlineStore"] = (
        "nba.stores.online_feast.PackedOnlineStore"
    )
    #: The SQLite file, absolute or relative to the repository folder.
    path: str = "../data/feast/online.db"
    #: Against what a value's age counts: `newest` is the newest value of its view, so that a
    #: project replayed in the past is served; `wall` is the clock of the machine.
    clock: Literal["newest", "wall"] = "newest"


class PackedOnlineStore(OnlineStore):
    """One value per entity and view, in SQLite; see `nba.stores.online_packed`."""

    _stores: ClassVar[dict[Path, PackedStore]] = {}

    def _store(self, config: RepoConfig) -> PackedStore:
        path = Path(config.online_store.path)
        if not path.is_absolute():
            path = (Path(config.repo_path or ".") / path).resolve()
        return self._stores.setdefault(path, PackedStore(path))

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write feature rows; one that is older than what is online changes nothing.

        Parameters
        ----------
        config : RepoConfig
        table : FeatureView
        data : list of (EntityKey, dict of str to Value, datetime, datetime, optional)
            Keys, values, event times, and times of creation where known.
        progress : callable, optional
            Called with the number of rows once they are written.
        """
        view = online_view(table)
        types = {field.name: field.dtype for field in table.features}
        rows: list[Row] = []
        for key, values, event, created in data:
            packed = [unpack_value(values.get(name), types[name]) for name in view.columns]
            event_us = _microseconds(event)
            created_us = event_us if created is None else _microseconds(created)
            rows.append((_key(key, view), event_us, created_us, json.dumps(packed)))
        self._store(config).push(view, rows)
        if progress:
            progress(len(rows))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read the features of each key; nothing for an unknown key or a value too old.

        Parameters
        ----------
        config : RepoConfig
        table : FeatureView
        entity_keys : list of EntityKey
        requested_features : list of str, optional
            All of the view's by default.
        """
        view = online_view(table)
        types = {field.name: field.dtype for field in table.features}
        names = requested_features or list(view.columns)
        now = time.time_ns() // 1000 if config.online_store.clock == "wall" else None
        found = self._store(config).read(view, [_key(key, view) for key in entity_keys], now_us=now)
        answers: list[tuple[datetime | None, dict[str, Value] | None]] = []
        for item in found:
            if item is None:
                answers.append((None, None))
                continue
            event, values = item
            moment = datetime.fromtimestamp(event / _MICRO, tz=UTC)
            answers.append((moment, {n: pack_value(values.get(n), types[n]) for n in names}))
        return answers

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Make the tables of new views and drop those of deleted ones.

        Parameters
        ----------
        config : RepoConfig
        tables_to_delete, tables_to_keep : sequence of FeatureView
            Views.
        entities_to_delete, entities_to_keep : sequence of Entity
            Not read: entities have no table of their own.
        partial : bool
            Not read: what is named is all that changes.
        """
        store = self._store(config)
        for table in tables_to_delete:
            store.drop(table.name)
        for table in tables_to_keep:
            store.create(online_view(table))

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Drop every table."""
        store = self._store(config)
        for table in tables:
            store.drop(table.name)


def online_view(table: FeatureView) -> OnlineView:
    """Return how a Feast view is packed."""
    ttl = table.ttl or timedelta(0)
    return OnlineView(
        table.name,
        tuple(column.name for column in table.entity_columns),
        tuple(field.name for field in table.features),
        ttl // timedelta(microseconds=1),
    )


def _key(key: EntityKey, view: OnlineView) -> Key:
    values = {
        name: value.string_val for name, value in zip(key.join_keys, key.entity_values, strict=True)
    }
    return tuple(values[name] for name in view.keys)


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


_SCALARS: Final[Mapping[Any, str]] = {
    Float64: "double_val",
    Int64: "int64_val",
    Bool: "bool_val",
    String: "string_val",
}
_LISTS: Final[Mapping[Any, tuple[str, Any]]] = {
    Float64: ("double_list_val", DoubleList),
    Int64: ("int64_list_val", Int64List),
    Bool: ("bool_list_val", BoolList),
    String: ("string_list_val", StringList),
}


def pack_value(value: Any, dtype: FeastType) -> Value:
    """Return a stored value as Feast's."""
    if value is None:
        return Value()
    if isinstance(dtype, Array):
        name, kind = _LISTS[dtype.base_type]
        return Value(**{name: kind(val=value)})
    if dtype == UnixTimestamp:
        return Value(unix_timestamp_val=value // _MICRO)
    return Value(**{_SCALARS[dtype]: value})


def unpack_value(value: Value | None, dtype: FeastType) -> Any:
    """Return Feast's value as it is stored."""
    kind = value.WhichOneof("val") if value is not None else None
    if value is None or kind is None or kind == "null_val":
        return None
    if isinstance(dtype, Array):
        return list(getattr(value, kind).val)
    if dtype == UnixTimestamp:
        return value.unix_timestamp_val * _MICRO
    found = getattr(value, kind)
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found
