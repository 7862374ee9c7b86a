"""What clerk apps see of customers, clerks and products: shapes made of a project's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from nba.serving.shapes import (
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
from nba.stores.customers import CustomerRows, Row
from nba.stores.records import NEWEST

#: How many purchases and contacts a card shows.
RECENT: Final = NEWEST
#: What is known of the store of a clerk who has none.
_NO_STORE: Final[Row] = MappingProxyType({"timezone": None})


class CustomerCards(Protocol):
    """Customers, clerks and products as the lake, features and scores know them."""

    def owner(self, customer_id: str) -> Owner | None:
        """Return who serves a customer, or None for an id that nothing is known about."""

    def card(self, customer_id: str) -> CustomerCard | None:
        """Return a customer's card, or None."""

    def clerk(self, clerk_id: str) -> Clerk | None:
        """Return a clerk, or None."""

    def clerks(self) -> Sequence[Clerk]:
        """Return all clerks who have not left, by id."""

    def product_names(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the names of those products that have one."""


class ProjectCards:
    """The `CustomerCards` of one project.

    Parameters
    ----------
    rows : CustomerRows
    plan_day : callable
        Returns the day of the current plan, or None before the first.
    time_zone : str
    clock : callable
        Returns the present moment, aware.
    """

    def __init__(
        self,
        rows: CustomerRows,
        plan_day: Callable[[], date | None],
        *,
        time_zone: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rows = rows
        self._plan_day = plan_day
        self._zone = ZoneInfo(time_zone)
        self._clock = clock
        self._dimensions: tuple[date | None, dict[str, Row], dict[str, Row]] = (None, {}, {})

    # -- dimensions: small, read once per plan -------------------------------------------

    def _read_dimensions(self) -> tuple[dict[str, Row], dict[str, Row]]:
        day = self._plan_day()
        known, clerks, products = self._dimensions
        if day is not None and day != known:
            stores = self._rows.dimension("store", day)
            clerks = {
                clerk_id: {**row, "timezone": stores.get(row["store_id"], _NO_STORE)["timezone"]}
                for clerk_id, row in self._rows.dimension("clerk", day).items()
            }
            products = self._rows.dimension("product", day)
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

    def owner(self, customer_id: str) -> Owner | None:
        """Return who serves a customer, or None for an id that nothing is known about."""
        row = self._rows.online("customer_state", customer_id)
        if row["is_friend"] is None:
            return None
        return Owner(customer_id=customer_id, clerk_id=row["clerk_id"], store_id=row["store_id"])

    def card(self, customer_id: str) -> CustomerCard | None:
        """Return a customer's card, or None for an id that nothing is known about."""
        state = self._rows.online("customer_state", customer_id)
        if state["is_friend"] is None:
            return None
        behaviour = self._rows.online("customer_behaviour", customer_id)
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
            modes=[
                ModeScore(**_fields(ModeScore, row)) for row in self._scores("mode", customer_id)
            ],
            contacts=self._contacts(customer_id),
        )

    def _aware(self, moment: datetime | None) -> datetime | None:
        return None if moment is None else moment.replace(tzinfo=self._zone)

    def _tags(self, customer_id: str) -> list[TagFact]:
        facts = [
            {**row, "ts": self._aware(row["ts"]), "expires_at": self._aware(row["expires_at"])}
            for row in self._rows.tags(customer_id)
        ]
        return [TagFact(**{name: fact[name] for name in TagFact.model_fields}) for fact in facts]

    def _purchases(self, customer_id: str) -> list[Purchase]:
        products = self._read_dimensions()[1]
        rows = self._rows.purchases(
            customer_id, before=self._clock(), limit=RECENT, day=self._plan_day()
        )
        return [
            Purchase(**{**self._local(row), **_named(products.get(row["product_id"]))})
            for row in rows
        ]

    def _contacts(self, customer_id: str) -> list[Contact]:
        rows = self._rows.contacts(
            customer_id, before=self._clock(), limit=RECENT, day=self._plan_day()
        )
        contacts = [row for row in rows if row["mode"] != "none"]
        return [
            Contact(**{**self._local(row), "responses": row["responses"] or []}) for row in contacts
        ]

    def _local(self, row: Row) -> Row:
        return {**row, "ts": row["ts"].astimezone(self._zone)}

    # -- scores of the current plan ----------------------------------------------------------

    def _scores(self, name: str, customer_id: str) -> Sequence[Row]:
        day = self._plan_day()
        return [] if day is None else self._rows.scores(name, customer_id, day)

    def _timing(self, customer_id: str) -> Timing | None:
        rows = self._scores("timing", customer_id)
        return Timing(**_fields(Timing, rows[0])) if rows else None

    def _affinity(self, customer_id: str) -> list[ProductScore]:
        rows = self._scores("affinity", customer_id)
        return self.product_scores(sorted(rows, key=lambda row: int(row["rank"])))

    def product_scores(self, rows: Sequence[Row]) -> list[ProductScore]:
        """Return rows of the score table `affinity` with what is known of their products."""
        products = self._read_dimensions()[1]
        return [
            ProductScore(
                **_fields(ProductScore, {**(products.get(row["product_id"]) or {}), **row})
            )
            for row in rows
        ]


def _clerk(row: Row) -> Clerk:
    return Clerk(**{name: row[name] for name in Clerk.model_fields})


def _named(product: Row | None) -> dict[str, Any]:
    if product is None:
        return {}
    return {"name": product["name"], "category": product["category"]}


def _fields(shape: Any, row: Row) -> dict[str, Any]:
    return {name: row[name] for name in shape.model_fields if row.get(name) is not None}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
