"""Feast's entities, sources, views and services, generated from our views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from nba.features import View
from nba.features.engine import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from nba.stores.feast_import import (
    Array,
    Bool,
    Entity,
    FeastType,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    Float64,
    Int64,
    ParquetFormat,
    PushSource,
    String,
    UnixTimestamp,
    ValueType,
    spark_source,
)
from nba.stores.feature_services import Service

FEAST_TYPES: Final[Mapping[str, FeastType]] = {
    "float64": Float64,
    "int64": Int64,
    "bool": Bool,
    "string": String,
    "timestamp": UnixTimestamp,
    "list<string>": Array(String),
}
#: Entity keys with what they name.
ENTITIES: Final[Mapping[str, str]] = {
    "customer_id": "a customer",
    "product_id": "a product",
    "category": "a category of products",
    "clerk_id": "a shop clerk",
    "store_id": "a store",
    "tag": "a named fact about a customer",
}


def entity(key: str) -> Entity:
    """Return the entity of a join key."""
    return Entity(
        name=key.removesuffix("_id"),
        join_keys=[key],
        value_type=ValueType.STRING,
        description=ENTITIES[key],
    )


def batch_source(view: View, path: str, offline_type: str) -> Any:
    """Return the batch source of a view for the offline store: a file or a Spark source."""
    common: dict[str, Any] = {
        "name": f"{view.name}_snapshots",
        "timestamp_field": EVENT_TIMESTAMP,
        "created_timestamp_column": CREATED_TIMESTAMP,
        "description": f"snapshots of {view.name}, one per moment",
        "owner": view.owner,
    }
    if "spark" in offline_type.lower():
        return spark_source()(path=path, file_format="parquet", **common)
    return FileSource(path=path, file_format=ParquetFormat(), **common)


def feature_view(view: View, path: str, offline_type: str) -> FeatureView:
    """Return a view as Feast knows it: batch source, and push source for fresh events."""
    batch = batch_source(view, path, offline_type)
    source = PushSource(
        name=f"{view.name}_push", batch_source=batch, description="fresh events, pushed online only"
    )
    keys = [Field(name=key, dtype=String) for key in view.entity_keys]
    features = [
        Field(
            name=feature.name,
            dtype=FEAST_TYPES[feature.dtype],
            description=feature.meaning,
            tags={
                "unit": feature.unit,
                "window": feature.window,
                "null_rule": feature.null_rule,
            },
        )
        for feature in view.features
    ]
    return FeatureView(
        name=view.name,
        entities=[entity(key) for key in view.entity_keys],
        ttl=timedelta(days=view.ttl_days),
        schema=[*keys, *features],
        source=source,
        online=True,
        description=view.meaning,
        owner=view.owner,
        tags={"package": "nba.features"},
    )


def feast_objects(
    views: Mapping[str, View],
    services: Mapping[str, Service],
    *,
    source_path: Callable[[str], str],
    offline_type: str,
) -> list[Any]:
    """Return every object to register.

    Parameters
    ----------
    views : mapping of str to View
    services : mapping of str to Service
    source_path : callable
        From the name of a view to the pattern of its snapshot files, absolute.
    offline_type : str
        The `type` of the offline store.
    """
    made = {
        name: feature_view(view, source_path(name), offline_type) for name, view in views.items()
    }
    entities = {key: entity(key) for view in views.values() for key in view.entity_keys}
    sources = [
        source for view in made.values() for source in (view.batch_source, view.stream_source)
    ]
    return [
        *entities.values(),
        *sources,
        *made.values(),
        *(
            FeatureService(
                name=name,
                features=[
                    made[view] if isinstance(names, str) else made[view][names]
                    for view, names in service.views.items()
                ],
                description=service.meaning,
            )
            for name, service in services.items()
        ),
    ]
