"""A small world behind the API: two stores, three clerks, one plan, and a key per scope."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from fastapi.testclient import TestClient

from nba.data.lake import Lake
from nba.schema.words import Mode, TagSource
from nba.serving import Access, Services, create_app
from nba.serving.shapes import (
    BookEntry,
    Clerk,
    CustomerCard,
    CustomerState,
    ModeScore,
    NextNeed,
    OfferFacts,
    Owner,
    Person,
    ProductFacts,
    ProductScore,
    Purchase,
    TagFact,
    Timing,
)
from nba.stores.access import Scope
from nba.stores.book_rows import BookRows
from nba.stores.customers import CustomerRows
from nba.stores.feature_store import FeastFeatureStore
from nba.stores.operational import OperationalStore
from nba.stores.run_folders import RunFolders

DAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # ten in the morning in Shanghai
CLERKS = {"k1": "s1", "k2": "s1", "k3": "s2"}


def admin_of(services: Services, store: OperationalStore) -> TestClient:
    """Return an admin of a service on another store; what fails there is answered, not raised."""
    app = create_app(replace(services, store=store))
    headers = {"Authorization": f"Bearer {store.create_key(Scope.ADMIN).token}"}
    return TestClient(app, headers=headers, raise_server_exceptions=False)


def answers(number: int, rows: int = 1, note: str = "x") -> dict[str, Any]:
    row = {"customer_id": "c11", "ts": "2026-03-02T09:00", "kind": "read", "attr_note": note}
    return {"responses": [{"response_id": f"r{number}-{one}", **row} for one in range(rows)]}


class Shop:
    """The `CustomerCards` port over a shop that stands in memory.

    Clerk kN serves the customers cN1, cN2, …; a customer's id names the clerk.
    """

    def __init__(self) -> None:
        self.names: dict[str, dict[str, str]] = {}

    def owner(self, customer_id: str) -> Owner | None:
        clerk_id = f"k{customer_id[1:2]}"
        if clerk_id not in CLERKS or len(customer_id) != 3 or customer_id[0] != "c":
            return None
        return Owner(customer_id=customer_id, clerk_id=clerk_id, store_id=CLERKS[clerk_id])

    def state(self, customer_id: str) -> CustomerState | None:
        card = self.card(customer_id)
        return None if card is None else card.state

    def card(self, customer_id: str) -> CustomerCard | None:
        owner = self.owner(customer_id)
        if owner is None:
            return None
        return CustomerCard(
            **owner.model_dump(),
            person=self.person(customer_id),
            state=CustomerState(
                is_friend=True, is_blocked=False, consent_contact=True, consent_profiling=True
            ),
            behaviour={"days_since_purchase": 12.0},
            tags=[
                TagFact(tag="loyal", source=TagSource.RULE, ts=NOW),
                TagFact(tag="vip", source=TagSource.IMPORT, ts=NOW),
            ],
            purchases=[
                Purchase(ts=NOW - timedelta(days=12), product_id="05", quantity=1, amount=30.0)
            ],
            timing=Timing(p_purchase_30d=0.4, survival=[1.0, 0.9]),
            affinity=[
                _product(1, "05", "tea", 30.0, 4),
                _product(2, "7", "cups", 80.0, 0),
            ],
            modes=[ModeScore(mode=Mode.PRIVATE_PARTNER, uplift_amount=3.0, risk=0.01)],
            needs=[NextNeed(category="tea", expected_days=4.0, p_purchase_14d=0.3)],
        )

    def changes_at(self, customer_id: str) -> datetime | None:
        return None

    def clerk(self, clerk_id: str) -> Clerk | None:
        store_id = CLERKS.get(clerk_id)
        return Clerk(clerk_id=clerk_id, store_id=store_id) if store_id else None

    def clerks(self) -> Sequence[Clerk]:
        return [Clerk(clerk_id=clerk_id, store_id=store) for clerk_id, store in CLERKS.items()]

    def clerk_rows(self) -> Mapping[str, Mapping[str, Any]]:
        return {clerk: {"works_today": True, "minutes_per_day": 30.0} for clerk in CLERKS}

    def products(self, product_ids: Sequence[str]) -> Mapping[str, ProductFacts]:
        tea = ProductFacts(name="绿茶 | Green tea", category="tea", price=30.0, on_hand=4)
        return {"05": tea}

    def offers(self, offer_ids: Sequence[str]) -> Mapping[str, OfferFacts]:
        return {}

    def people(self, customer_ids: Sequence[str]) -> Mapping[str, Person]:
        return {one: self.person(one) for one in customer_ids}

    def person(self, customer_id: str) -> Person:
        names = self.names.get(customer_id, {"name": f"王{customer_id[-1]}丽"})
        return Person(**names, phone_tail=f"00{customer_id[1:]}", external_id=f"wm{customer_id}")

    def book(self, clerk_id: str) -> Sequence[BookEntry]:
        known = [clerk_id[1]] if clerk_id in CLERKS else []
        ids = [f"c{clerk}{number}" for clerk in known for number in range(1, 9)]
        return [
            BookEntry(customer_id=one, person=self.person(one), tags=["loyal"], is_friend=True)
            for one in ids
        ]

    def by_external_id(self, external_id: str) -> str | None:
        return external_id.removeprefix("wm") if self.owner(external_id[2:]) else None

    def category_names(self) -> Mapping[str, str | None]:
        return {"tea": "茶叶 | Tea", "cups": None}


def _product(rank: int, product_id: str, category: str, price: float, on_hand: int) -> ProductScore:
    return ProductScore(
        rank=rank,
        product_id=product_id,
        category=category,
        price=price,
        on_hand=on_hand,
        relevance=1 / rank,
        source="repeat",
    )


def actions_frame(day: date = DAY, salt: str = "") -> pl.DataFrame:
    """Return three actions for each clerk, and one held-out customer."""
    start = datetime(day.year, day.month, day.day)
    rows: list[dict[str, Any]] = [
        {
            "action_id": f"{clerk}-{rank}{salt}",
            "as_of": start,
            "clerk_id": clerk,
            "rank": rank,
            "customer_id": f"c{clerk[1]}{rank}",
            "mode": "private_partner" if rank % 2 else "shopping_assistant",
            "action_type": "care_call",
            "channel": "chat",
            "product_ids": ["05", "7"],
            "contact_from": start + timedelta(hours=10),
            "contact_to": start + timedelta(hours=12),
            "minutes": 4.0,
            "value": 10.0 / rank,
            "uplift": 12.5,
            "p_repurchase_30d": 0.25,
            "propensity": 0.9,
            "arm": "engine",
            "reasons": [{"code": "due", "kind": "reason", "zh": "快用完了", "en": "runs low"}],
            "talking_point": "您好",
            "expires_at": start + timedelta(days=1),
        }
        for clerk in CLERKS
        for rank in (1, 2, 3)
    ]
    held = {"action_id": f"held{salt}", "as_of": start, "clerk_id": "k1", "customer_id": "c19"}
    rows.append(dict.fromkeys(rows[0]) | held | {"mode": "none", "arm": "holdout"})
    return pl.DataFrame(rows, infer_schema_length=None)


PLAN = {"as_of": DAY, "policy_version": "p1", "model_versions": {"timing": "1"}, "counts": {"n": 9}}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "operations.db"
    OperationalStore(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Iterator[OperationalStore]:
    shutil.copy(migrated, tmp_path / "operations.db")
    opened = OperationalStore(f"sqlite:///{tmp_path / 'operations.db'}", clock=lambda: NOW)
    yield opened
    opened.close()


@pytest.fixture
def published(store: OperationalStore) -> OperationalStore:
    store.publish(PLAN, actions_frame())
    return store


@pytest.fixture
def republish(store: OperationalStore) -> Callable[[], None]:
    return lambda: bool(store.publish(PLAN, actions_frame(salt="b"))) and None


@pytest.fixture
def services(published: OperationalStore) -> Services:
    return Services(published, Shop(), clock=lambda: NOW)


Client = Callable[..., TestClient]


@pytest.fixture
def client(services: Services) -> Iterator[Client]:
    """Return a client per kind of caller; `clerk` is k1, `store` s1, `source` POS."""
    subjects = {Scope.CLERK: "k1", Scope.STORE: "s1", Scope.SOURCE: "POS"}
    opened: list[TestClient] = []

    def make(scope: str | None, subject: str | None = None, **changes: Any) -> TestClient:
        app = create_app(replace(services, **changes))
        headers = {}
        if scope is not None:
            known = Scope(scope)
            made = services.store.create_key(known, subject=subject or subjects.get(known))
            headers["Authorization"] = f"Bearer {made.token}"
        opened.append(TestClient(app, headers=headers, raise_server_exceptions=False))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def open_client(services: Services) -> Callable[..., TestClient]:
    """Return a client of a service in open access, calling from `address` to `host`."""

    def make(address: str = "127.0.0.1", host: str = "localhost") -> TestClient:
        app = create_app(replace(services, access=Access.OPEN))
        return TestClient(app, base_url=f"http://{host}", client=(address, 50000))

    return make


def books_of(folder: Path) -> BookRows:
    """Return whole books over a lake with a group, and a kept plan with posts and hand-overs."""
    lake = Lake(folder / "lake")
    runs = folder / "runs"
    kept = RunFolders(runs).of(DAY)
    post = {"clerk_id": "k1", "content_id": None, "minutes": 5.0, "posted": True}
    post |= {
        f"contact_{end}": datetime(2026, 3, 2, hour) for end, hour in (("from", 12), ("to", 14))
    }
    posts = [
        {**post, "audience": "moments:k1", "channel": "moments", "mode": "shopping_assistant"},
        {**post, "audience": "group:g1", "channel": "group", "mode": "topic_expert"},
    ]
    kept.write("plan/posts", pl.DataFrame([{**one, "members": 2} for one in posts]))
    members = [
        {
            "audience": one["audience"],
            "customer_id": customer,
            "clerk_id": "k1",
            "mode": one["mode"],
            "channel": one["channel"],
            "content_id": None,
            "propensity": 0.95,
        }
        for one in posts
        for customer in ("c11", "c12")
    ]
    kept.write("plan/post_members", pl.DataFrame(members))
    handover = {"from_clerk_id": "k9", "to_clerk_id": "k2", "reason": "store"}
    kept.write("plan/handovers", pl.DataFrame([{"customer_id": "c18", **handover}]))
    arms = [
        {"customer_id": f"c1{number}", "clerk_id": "k1", "arm": "engine"} for number in range(1, 9)
    ]
    kept.write("plan/log", pl.DataFrame(arms))
    kept.write("plan/actions", actions_frame())
    return BookRows(CustomerRows(lake, cast("FeastFeatureStore", None), runs), runs)
