"""Feast, imported once and without the instrumentation that is most of its import.

Feast decorates its classes with `typeguard.typechecked`, which parses and rewrites their source
at import: 3 of 4.8 seconds. Our adapters pass what mypy and our own contracts have checked, so the
decorator is left out while Feast is imported, and stands again for everybody else afterwards.
What the adapters use of Feast is imported from here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typeguard


def _unchanged(target: Any = None, **options: object) -> Any:
    """Stand in for `typechecked`, with and without arguments."""
    if target is None:
        return _unchanged
    return target


@contextmanager
def _without_typeguard() -> Iterator[None]:
    """Leave classes as they are written while the context lasts."""
    original = typeguard.typechecked
    typeguard.typechecked = _unchanged
    try:
        yield
    finally:
        typeguard.typechecked = original


with _without_typeguard():
    from feast import (
        Entity,
        FeatureService,
        FeatureStore,
        FeatureView,
        Field,
        FileSource,
        PushSource,
        RepoConfig,
        ValueType,
    )
    from feast.data_format import ParquetFormat
    from feast.data_source import PushMode
    from feast.infra.key_encoding_utils import deserialize_entity_key
    from feast.infra.online_stores.helpers import _redis_key_prefix as redis_key_prefix
    from feast.infra.online_stores.helpers import compute_table_id
    from feast.infra.online_stores.online_store import OnlineStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import (
        BoolList,
        DoubleList,
        Int64List,
        StringList,
        Value,
    )
    from feast.repo_config import FeastConfigBaseModel
    from feast.types import Array, Bool, FeastType, Float64, Int64, String, UnixTimestamp


def spark_source() -> Any:
    """Return Feast's class of sources on Spark; it needs the extra `spark`."""
    with _without_typeguard():
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

    return SparkSource


__all__ = [
    "Array",
    "Bool",
    "BoolList",
    "DoubleList",
    "Entity",
    "EntityKey",
    "FeastConfigBaseModel",
    "FeastType",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "Float64",
    "Int64",
    "Int64List",
    "OnlineStore",
    "ParquetFormat",
    "PushMode",
    "PushSource",
    "RepoConfig",
    "String",
    "StringList",
    "UnixTimestamp",
    "Value",
    "ValueType",
    "compute_table_id",
    "deserialize_entity_key",
    "redis_key_prefix",
    "spark_source",
]
