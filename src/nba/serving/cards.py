"""What clerk apps see of a customer: features online, scores of the current plan, the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from nba.data.lake import Lake, connect
from nba.pipeline.cards import (
    Clerk,
    Contact,
    CustomerCard,
    CustomerState,
    ModeScore,
    Owner,
    ProductScore,
    Purchase,
    TagFact,
    Timing,
)
from nba.stores.feature_store import FeastFeatureStore

#: How many purchases and contacts a card shows.
RECENT: Final = 50
_PURCHASES: Final = """
    SELECT ts, product_id, CAST(quantity AS DOUBLE) AS quantity,
           CAST(quantity * unit_price - sign(quantity) * abs(coalesce(discount, 0)) AS DOUBLE)
               AS amount
    FROM ({transactions}) WHERE customer_id = ? AND ts < ? ORDER BY ts DESC, product_id LIMIT ?
"""
_CONTACTS: Final = """
    SELECT i.ts, i.mode, i.channel, i.action_type, i.clerk_id,
           list(r.kind ORDER BY r.ts) FILTER (r.kind IS NOT NULL) AS responses
    FROM (SELECT * FROM ({interactions}) WHERE customer_id = ? AND ts < ?) AS i
    LEFT JOIN ({responses}) AS r ON r.interaction_id = i.interaction_id
    GROUP BY ALL ORDER BY i.ts DESC LIMIT ?
"""


class ProjectCards:
    """The `CustomerCards` port over a project's feature store, scores and lake.

    Parameters
    ----------
    lake : Lake
    features : FeastFeatureStore
    runs : Path
        The folder of the nightly runs.
    plan_day : callable
        Returns the day of the current plan, or None before the first.
    time_zone : str
    clock : callable
        Returns the present moment, aware.
    """

    def __init__(
        self,
        lake: Lake,
        features: FeastFeatureStore,
        runs: Path,
        plan_day: Callable[[], date | None],
        *,
        time_zone: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lake = lake
        self._features = features
        self._runs = runs
        self._plan_day = plan_day
        self._zone = ZoneInfo(time_zone)
        self._clock = clock
        self._duckdb = connect(threads=2)
        self._dimensions: tuple[date | None, dict[str, Any], dict[str, Any]] = (None, {}, {})

    # -- dimensions: small, read once per plan -------------------------------------------

    def _read_dimensions(self) -> tuple[dict[str, Any], dict[str, Any]]:
        day = self._plan_day()
        known, clerks, products = self._dimensions
        if day is not None and day != known:
            moment = datetime(day.year, day.month, day.day)
            clerks = _by_id(self._features.snapshot("clerk", moment), "clerk_id")
            products = _by_id(self._features.snapshot("product", moment), "product_id")
            self._dimensions = (day, clerks, products)
        return clerks, products

    def clerk(self, clerk_id: str) -> Clerk | None:
        """Return a clerk, or None."""
        row = self._read_dimensions()[0].get(clerk_id)
        return None if row is None else _clerk(row)

    def clerks(self) -> Sequence[Clerk]:
        """Return all clerks who have not left, by id."""
        rows = self._read_dimensions()[0]
        return [_clerk(rows[clerk_id]) for clerk_id in sorted(rows)]

    def product_names(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the names of those products that have one."""
        products = self._read_dimensions()[1]
        rows = {name: products[name] for name in product_ids if name in products}
        return {name: str(row["name"]) for name, row in rows.items() if row["name"]}

    # -- one customer ----------------------------------------------------------------------

    def _online(self, view: str, customer_id: str) -> dict[str, Any]:
        keys = pl.DataFrame({"customer_id": [customer_id]})
        return self._features.online(view, keys).row(0, named=True)

    def owner(self, customer_id: str) -> Owner | None:
        """Return who serves a customer, or None for an id that nothing is known about."""
        row = self._online("customer_state", customer_id)
        if row["is_friend"] is None:
            return None
        return Owner(customer_id=customer_id, clerk_id=row["clerk_id"], store_id=row["store_id"])

    def card(self, customer_id: str) -> CustomerCard | None:
        """Return a customer's card, or None for an id that nothing is known about."""
        state = self._online("customer_state", customer_id)
        if state["is_friend"] is None:
            return None
        behaviour = self._online("customer_behaviour", customer_id)
        behaviour.pop("customer_id")
        return CustomerCard(
            customer_id=customer_id,
            clerk_id=state["clerk_id"],
            store_id=state["store_id"],
            state=CustomerState(
                **{name: state[name] for name in CustomerState.model_fields if name in state}
                | {"friend_since": self._aware(state["friend_since"])}
            ),
            behaviour={name: value for name, value in behaviour.items() if _is_plain(value)},
            tags=self._tags(customer_id),
            purchases=self._purchases(customer_id),
            timing=self._timing(customer_id),
            affinity=self._affinity(customer_id),
            modes=self._modes(customer_id),
            contacts=self._contacts(customer_id),
        )

    def _aware(self, moment: datetime | None) -> datetime | None:
        return None if moment is None else moment.replace(tzinfo=self._zone)

    def _tags(self, customer_id: str) -> list[TagFact]:
        rows = self._features.online_rows("customer_tags", [customer_id])
        facts = [
            {**row, "ts": self._aware(row["ts"]), "expires_at": self._aware(row["expires_at"])}
            for row in rows.iter_rows(named=True)
        ]
        return [TagFact(**{name: fact[name] for name in TagFact.model_fields}) for fact in facts]

    def _query(self, sql: str, parameters: list[object]) -> list[dict[str, Any]]:
        tables = {
            name: self._lake.relation(name)
            for name in ("transactions", "interactions", "responses")
        }
        with self._duckdb.cursor() as cursor:  # a session of its own: threads do not meet
            cursor.execute("SET TimeZone = 'UTC'")
            found = cursor.execute(sql.format(**tables), parameters).to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def _purchases(self, customer_id: str) -> list[Purchase]:
        products = self._read_dimensions()[1]
        rows = self._query(_PURCHASES, [customer_id, self._clock(), RECENT])
        known = [{**row, **_named(products.get(row["product_id"]))} for row in rows]
        return [Purchase(**row) for row in known]

    def _contacts(self, customer_id: str) -> list[Contact]:
        rows = self._query(_CONTACTS, [customer_id, self._clock(), RECENT])
        contacts = [row for row in rows if row["mode"] != "none"]
        return [Contact(**{**row, "responses": row["responses"] or []}) for row in contacts]

    # -- scores of the current plan ----------------------------------------------------------

    def _scores(self, name: str, customer_id: str) -> list[dict[str, Any]]:
        day = self._plan_day()
        path = self._runs / str(day) / "scores" / f"{name}.parquet"
        if day is None or not path.is_file():
            return []
        return (
            pl.scan_parquet(path).filter(pl.col("customer_id") == customer_id).collect().to_dicts()
        )

    def _timing(self, customer_id: str) -> Timing | None:
        rows = self._scores("timing", customer_id)
        return Timing(**_fields(Timing, rows[0])) if rows else None

    def _affinity(self, customer_id: str) -> list[ProductScore]:
        products = self._read_dimensions()[1]
        rows = sorted(self._scores("affinity", customer_id), key=lambda row: int(row["rank"]))
        return [
            ProductScore(
                **_fields(ProductScore, {**(products.get(row["product_id"]) or {}), **row})
            )
            for row in rows
        ]

    def _modes(self, customer_id: str) -> list[ModeScore]:
        return [ModeScore(**_fields(ModeScore, row)) for row in self._scores("mode", customer_id)]


def _by_id(table: pl.DataFrame, key: str) -> dict[str, Any]:
    return {row[key]: row for row in table.iter_rows(named=True)}


def _clerk(row: Mapping[str, Any]) -> Clerk:
    return Clerk(clerk_id=row["clerk_id"], store_id=row["store_id"], name=row["name"])


def _named(product: Mapping[str, Any] | None) -> dict[str, Any]:
    if product is None:
        return {}
    return {"name": product["name"], "category": product["category"]}


def _fields(shape: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in shape.model_fields if row.get(name) is not None}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
