"""What clerk apps see of customers, clerks and products: shapes made of a project's rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from nba.errors import UnavailableError
from nba.logs import log
from nba.schema.words import Mode
from nba.serving.shapes import (
    BookEntry,
    Clerk,
    CustomerCard,
    CustomerState,
    OfferFacts,
    Owner,
    Person,
    ProductFacts,
    ProductScore,
)
from nba.settings import CHAT_LINK_FIELDS
from nba.stores.customers import CustomerRows, Row
from nba.stores.database import may_wait
from nba.stores.records import NEWEST

#: How many purchases and contacts a card shows.
RECENT: Final = NEWEST
#: How many categories that are due next a card shows.
NEXT_NEEDS: Final = 3
#: What is known of the store of a clerk who has none.
_NO_STORE: Final[Row] = MappingProxyType({"timezone": None})


class CustomerCards(Protocol):
    """Customers, clerks and products as the lake, features and scores know them."""

    def owner(self, customer_id: str) -> Owner | None:
        """Return who serves a customer, or None for an id that nothing is known about."""

    def state(self, customer_id: str) -> CustomerState | None:
        """Return what holds about a customer, or None for an id that nothing is known about."""

    def card(self, customer_id: str) -> CustomerCard | None:
        """Return a customer's card, or None."""

    def changes_at(self, customer_id: str) -> datetime | None:
        """Return when a card shows something else though nothing is heard; None: never."""

    def clerk(self, clerk_id: str) -> Clerk | None:
        """Return a clerk, or None."""

    def clerks(self) -> Sequence[Clerk]:
        """Return all clerks who have not left, by id."""

    def clerk_rows(self) -> Mapping[str, Row]:
        """Return what the day's features say of each clerk, by id."""

    def products(self, product_ids: Sequence[str]) -> Mapping[str, ProductFacts]:
        """Return what is known of products, by id."""

    def offers(self, offer_ids: Sequence[str]) -> Mapping[str, OfferFacts]:
        """Return content and events, by id."""

    def people(self, customer_ids: Sequence[str]) -> Mapping[str, Person]:
        """Return who some customers are, by id."""

    def book(self, clerk_id: str) -> Sequence[BookEntry]:
        """Return the customers of a clerk, by id."""

    def by_external_id(self, external_id: str) -> str | None:
        """Return the customer whom the chat platform knows by an id."""

    def category_names(self) -> Mapping[str, str | None]:
        """Return `categories.name` by category."""


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
    chat_link : str
        The template of a link that opens the chat with a customer; empty: none.
    """

    def __init__(
        self,
        rows: CustomerRows,
        plan_day: Callable[[], date | None],
        *,
        time_zone: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        chat_link: str = "",
    ) -> None:
        self._rows = rows
        self._plan_day = plan_day
        self._zone = ZoneInfo(time_zone)
        self._clock = clock
        self._chat_link = chat_link
        self._dimensions: tuple[date | None, dict[str, Row], dict[str, Row]] = (None, {}, {})

    # -- dimensions: small, read once per plan -------------------------------------------

    def _read_dimensions(self, day: date | None) -> tuple[dict[str, Row], dict[str, Row]]:
        known, clerks, products = self._dimensions
        if day is not None and day != known:
            may_wait()
            found = {view: self._dimension(view, day) for view in ("store", "clerk", "product")}
            stores = found["store"] or {}
            clerks = {
                clerk_id: {**row, "timezone": stores.get(row["store_id"], _NO_STORE)["timezone"]}
                for clerk_id, row in (found["clerk"] or {}).items()
            }
            products = found["product"] or {}
            if None not in found.values():  # else it is tried again
                self._dimensions = (day, clerks, products)
        return clerks, products

    def _dimension(self, view: str, day: date) -> dict[str, Row] | None:
        """Return the rows of a view, or None: lists and cards say less without them."""
        try:
            return self._rows.dimension(view, day)
        except UnavailableError as error:
            log().error("answers say less", view=view, error=error.found)
            return None

    def clerk(self, clerk_id: str) -> Clerk | None:
        """Return a clerk, or None."""
        row = self._read_dimensions(self._plan_day())[0].get(clerk_id)
        return None if row is None else _clerk(row)

    def clerks(self) -> Sequence[Clerk]:
        """Return all clerks who have not left, by id.

        Raises
        ------
        UnavailableError
            Where the day's features of clerks cannot be read.
        """
        day = self._plan_day()
        rows = self._read_dimensions(day)[0]
        if not rows and day is not None:
            self._rows.dimension("clerk", day)  # says what is wrong with it
        return [_clerk(rows[clerk_id]) for clerk_id in sorted(rows)]

    def clerk_rows(self) -> Mapping[str, Row]:
        """Return what the day's features say of each clerk, by id."""
        return self._read_dimensions(self._plan_day())[0]

    def products(self, product_ids: Sequence[str]) -> Mapping[str, ProductFacts]:
        """Return what is known of products, by id."""
        known = self._read_dimensions(self._plan_day())[1]
        pages = self._rows.product_pages(product_ids)
        return {
            one: ProductFacts(**_fields(ProductFacts, {**known.get(one, {}), **pages.get(one, {})}))
            for one in product_ids
        }

    def offers(self, offer_ids: Sequence[str]) -> Mapping[str, OfferFacts]:
        """Return content and events, by id."""
        rows = self._rows.offers(offer_ids)
        return {one: OfferFacts(**_fields(OfferFacts, row)) for one, row in rows.items()}

    def category_names(self) -> Mapping[str, str | None]:
        """Return `categories.name` by category."""
        return self._rows.category_names()

    # -- who customers are -------------------------------------------------------------------

    def people(self, customer_ids: Sequence[str]) -> Mapping[str, Person]:
        """Return who some customers are, by id."""
        return self._people(customer_ids, self._plan_day())

    def _people(self, customer_ids: Sequence[str], day: date | None) -> Mapping[str, Person]:
        rows = self._rows.identities(customer_ids, day)
        return {one: self._person(row) for one, row in rows.items()}

    def _person(self, row: Row) -> Person:
        fields = {name: row[name] for name in Person.model_fields if row.get(name)}
        ids = {name: row.get(name) for name in CHAT_LINK_FIELDS}
        wanted = {name for name in CHAT_LINK_FIELDS if f"{{{name}}}" in self._chat_link}
        if self._chat_link and all(ids[name] for name in wanted):
            quoted = {name: quote(str(value), safe="") for name, value in ids.items()}
            fields["chat_link"] = self._chat_link.format_map(quoted)
        return Person(**fields)

    def book(self, clerk_id: str) -> Sequence[BookEntry]:
        """Return the customers of a clerk on the plan's day, by id."""
        day = self._plan_day()
        rows = [] if day is None else self._rows.book(clerk_id, day)
        people = self._people([row["customer_id"] for row in rows], day)
        return [
            BookEntry(
                customer_id=row["customer_id"],
                person=people.get(row["customer_id"], Person()),
                tags=row.get("tags") or [],
                is_friend=bool(row["is_friend"]),
                is_blocked=bool(row["is_blocked"]),
            )
            for row in rows
        ]

    def by_external_id(self, external_id: str) -> str | None:
        """Return the customer whom the chat platform knows by an id."""
        return self._rows.by_external_id(external_id)

    # -- one customer ----------------------------------------------------------------------

    def owner(self, customer_id: str) -> Owner | None:
        """Return who serves a customer, or None for an id that nothing is known about."""
        row = self._rows.online("customer_state", customer_id)
        if row["is_friend"] is None:
            return None
        return Owner(customer_id=customer_id, clerk_id=row["clerk_id"], store_id=row["store_id"])

    def state(self, customer_id: str) -> CustomerState | None:
        """Return what holds about a customer, or None for an id that nothing is known about."""
        row = self._rows.online("customer_state", customer_id)
        return None if row["is_friend"] is None else self._state(row)

    def _state(self, row: Row) -> CustomerState:
        fields = {name: row[name] for name in CustomerState.model_fields if name in row}
        return CustomerState(**fields | {"friend_since": self._aware(row["friend_since"])})

    def card(self, customer_id: str) -> CustomerCard | None:
        """Return a customer's card, or None for an id that nothing is known about."""
        state = self._rows.online("customer_state", customer_id)
        if state["is_friend"] is None:
            return None
        day, now = self._plan_day(), self._clock()
        products = self._read_dimensions(day)[1]
        behaviour = self._rows.online("customer_behaviour", customer_id)
        card = {
            "customer_id": customer_id,
            "clerk_id": state["clerk_id"],
            "store_id": state["store_id"],
            "state": self._state(state),
            "behaviour": {name: value for name, value in behaviour.items() if _is_plain(value)},
            "tags": self._tags(customer_id, products),
            "purchases": [
                {**self._local(row), **_named(products.get(row["product_id"]))}
                for row in self._rows.purchases(customer_id, before=now, limit=RECENT, day=day)
            ],
            "contacts": [
                {**self._local(row), "responses": row["responses"] or []}
                for row in self._rows.contacts(customer_id, before=now, limit=RECENT, day=day)
                if row["mode"] != Mode.NONE
            ],
            "person": self._people([customer_id], day).get(customer_id, Person()),
            "matters": [
                {**row, **self._moments(row)}
                for row in self._rows.matters(customer_id, now=now, day=day)
            ],
        }
        scores = {} if day is None else self._scores(customer_id, day, products)
        # all shapes at once: what the rows hold beyond them is left out
        return CustomerCard.model_validate(card | scores, extra="ignore")

    def changes_at(self, customer_id: str) -> datetime | None:
        """Return when a card shows something else though nothing is heard; None: never."""
        day, now = self._plan_day(), self._clock()
        return now if day is None else self._rows.changes_at(customer_id, now=now, day=day)

    def _aware(self, moment: datetime | None) -> datetime | None:
        return None if moment is None else moment.replace(tzinfo=self._zone)

    def _tags(self, customer_id: str, products: Mapping[str, Row]) -> list[Row]:
        return [
            {
                **row,
                "ts": self._aware(row["ts"]),
                "expires_at": self._aware(row["expires_at"]),
                "value_name": (products.get(row["value"] or "") or {}).get("name"),
            }
            for row in self._rows.tags(customer_id)
        ]

    def _moments(self, row: Row) -> dict[str, datetime]:
        """Return the moments of a row with the offset of the project's time zone."""
        found = {name: value for name, value in row.items() if isinstance(value, datetime)}
        return {name: value.astimezone(self._zone) for name, value in found.items()}

    def _local(self, row: Row) -> Row:
        return {**row, "ts": row["ts"].astimezone(self._zone)}

    # -- scores of the current plan ----------------------------------------------------------

    def _scores(self, customer_id: str, day: date, products: Mapping[str, Row]) -> dict[str, Any]:
        """Return what the day's models say of a customer, by field of the card."""
        timing, ranked = (
            self._rows.scores(name, customer_id, day) for name in ("timing", "affinity")
        )
        known = timing[0].items() if timing else ()
        return {
            "timing": {name: value for name, value in known if value is not None} or None,
            "affinity": [
                {**_priced(products.get(row["product_id"])), **row}
                for row in sorted(ranked, key=lambda row: int(row["rank"]))
            ],
            "modes": self._rows.scores("mode", customer_id, day),
            "needs": self._needs(customer_id, day),
        }

    def _needs(self, customer_id: str, day: date) -> list[Row]:
        """Return the categories that are due next, soonest first."""
        rows = [
            row
            for row in self._rows.scores("timing_category", customer_id, day)
            if row.get("expected_days") is not None and math.isfinite(row["expected_days"])
        ]
        return [
            {**row, "due_on": day + timedelta(days=round(row["expected_days"]))}
            for row in sorted(rows, key=lambda row: float(row["expected_days"]))[:NEXT_NEEDS]
        ]

    def product_scores(self, rows: Sequence[Row]) -> list[ProductScore]:
        """Return rows of the score table `affinity` with what is known of their products."""
        products = self._read_dimensions(self._plan_day())[1]
        shown = [{**_priced(products.get(row["product_id"])), **row} for row in rows]
        return [ProductScore.model_validate(row, extra="ignore") for row in shown]


def _clerk(row: Row) -> Clerk:
    return Clerk(**{name: row[name] for name in Clerk.model_fields})


def _named(product: Row | None) -> dict[str, Any]:
    if product is None:
        return {}
    return {"name": product["name"], "category": product["category"]}


def _priced(product: Row | None) -> dict[str, Any]:
    if product is None:
        return {}
    return {name: product.get(name) for name in ("name", "category", "price", "on_hand")}


def _fields(shape: Any, row: Row) -> dict[str, Any]:
    return {name: row[name] for name in shape.model_fields if row.get(name) is not None}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
