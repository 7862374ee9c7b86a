"""Customers found in, and taken out of, the online stores of Feast beside the packed one.

Feast's interface cannot delete one entity, so each supported store is asked in its own words.
Keys of several entities hold the customer anywhere within their bytes: they are read one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from nba.errors import NbaError
from nba.schema.words import CUSTOMER_ID
from nba.stores.feast_import import (
    FeatureStore,
    compute_table_id,
    deserialize_entity_key,
    redis_key_prefix,
)

#: Feast store, views keyed by customers, ids, whether to delete → keys by customer.
Walk = Callable[[FeatureStore, list[Any], frozenset[str], bool], Counter[str]]


def keys_online(
    feast: FeatureStore, customer_ids: Collection[str], *, delete: bool
) -> Counter[str]:
    """Return how many keys name each of the customers; delete them where asked to.

    Parameters
    ----------
    feast : FeatureStore
    customer_ids : collection of str
    delete : bool

    Raises
    ------
    NbaError
        When the online store is of a type that nothing is known of, or does not answer.
    """
    kind = str(feast.config.online_store.type)
    if kind not in SUPPORTED:
        raise NbaError(
            f"customers cannot be erased from an online store of type {kind!r}",
            expected=f"one of {', '.join(SUPPORTED)}",
            found=kind,
            next_step="delete their keys there by hand, then take `online_store` out of "
            "features/feature_store.yaml, or name a supported type",
        )
    views = [view for view in feast.list_feature_views() if CUSTOMER_ID in view.join_keys]
    try:
        return SUPPORTED[kind](feast, views, frozenset(customer_ids), delete)
    except Exception as error:  # each store has exceptions of its own
        raise NbaError(
            f"the online store of type {kind!r} does not answer",
            expected="a store that shows and deletes the keys of customers",
            found=type(error).__name__,
            next_step="start it; the next night goes on with the erasure",
        ) from error


def _redis(
    feast: FeatureStore, views: list[Any], wanted: frozenset[str], delete: bool
) -> Counter[str]:
    config, project = feast.config, feast.project.encode()
    client = _online_store(feast)._get_client(config.online_store)
    found: Counter[str] = Counter()
    for join_keys in sorted({tuple(sorted(view.join_keys)) for view in views}):
        prefix = redis_key_prefix(list(join_keys))
        keys = (key for key in client.scan_iter(prefix + b"*", count=1000) if key.endswith(project))
        for key, customer_id in _of(keys, wanted, tail=len(project)):
            found[customer_id] += 1
            if delete:
                client.delete(key)
    return found


def _sqlite(
    feast: FeatureStore, views: list[Any], wanted: frozenset[str], delete: bool
) -> Counter[str]:
    connection = _online_store(feast)._get_conn(feast.config)
    found: Counter[str] = Counter()
    for view in views:
        table = f'"{compute_table_id(feast.project, view)}"'
        rows = connection.execute(f"SELECT DISTINCT entity_key FROM {table}").fetchall()
        for key, customer_id in _of((bytes(row[0]) for row in rows), wanted):
            found[customer_id] += 1
            if delete:
                connection.execute(f"DELETE FROM {table} WHERE entity_key = ?", (key,))
    connection.commit()
    if delete and found:
        connection.execute("VACUUM")  # no freed page holds what was deleted
    return found


def _online_store(feast: FeatureStore) -> Any:
    return feast._get_provider().online_store


def _of(
    keys: Iterable[bytes], wanted: frozenset[str], *, tail: int = 0
) -> Iterator[tuple[bytes, str]]:
    """Yield the keys that name one of the customers, with the customer."""
    for key in keys:
        entity = deserialize_entity_key(key[: len(key) - tail], 3)
        named = dict(zip(entity.join_keys, entity.entity_values, strict=True))
        if CUSTOMER_ID in named and named[CUSTOMER_ID].string_val in wanted:
            yield key, named[CUSTOMER_ID].string_val


#: Types of `online_store` from which customers are erased, as docs/features.md lists them.
SUPPORTED: Final[Mapping[str, Walk]] = {
    "redis": _redis,
    "sqlite": _sqlite,
}
