"""A small random retailer in the tables of the contract, as the loader would hand them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from nba.schema.tables import TABLES, Kind
from nba.schema.words import CONTACT_MODES, ResponseKind

START = datetime(2025, 1, 1)
DAYS = 400

LOADED_TYPES = {
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.MONEY: pa.float64(),
    Kind.QUANTITY: pa.float64(),
}


def loaded_schema(name: str) -> pa.Schema:
    """Return the columns of a table as the loader gives them: naive local, floats."""
    return pa.schema(
        [
            pa.field(column.name, LOADED_TYPES.get(column.kind, column.arrow_type))
            for column in TABLES[name].columns
        ]
    )


def arrow(name: str, columns: Mapping[str, list[Any]]) -> pa.Table:
    """Return a contract table with `columns`; what is not given is empty."""
    schema = loaded_schema(name)
    rows = len(next(iter(columns.values()))) if columns else 0
    return pa.table(
        {
            field.name: pa.array(columns.get(field.name, [None] * rows), type=field.type)
            for field in schema
        },
        schema=schema,
    )


def random_tables(seed: int, customers: int = 60, lines: int = 1500) -> dict[str, pa.Table]:
    """Return every table of the contract, filled at random over `DAYS` days."""
    rng = np.random.default_rng(seed)

    def moments(n: int) -> list[datetime]:
        return [START + timedelta(seconds=int(s)) for s in rng.integers(0, DAYS * 86_400, n)]

    def ids(prefix: str, n: int, size: int) -> list[str]:
        return [f"{prefix}{i}" for i in rng.integers(0, size, n)]

    def maybe(values: list[Any], p: float = 0.3) -> list[Any]:
        return [None if rng.random() < p else value for value in values]

    def later(values: list[datetime], p: float = 0.5) -> list[datetime | None]:
        ends = [value + timedelta(days=int(rng.integers(1, 200))) for value in values]
        return maybe(ends, p)

    modes = [str(mode) for mode in CONTACT_MODES]
    kinds = [str(kind) for kind in ResponseKind]
    who = [f"c{i}" for i in range(customers)]
    n_contacts, n_answers, n_tags = customers * 8, customers * 4, customers * 3
    joined, since, tag_ts = moments(customers), moments(customers), moments(n_tags)
    sales = moments(lines)
    opened, grouped = moments(customers // 2), moments(customers)
    return {
        "customers": arrow(
            "customers",
            {
                "customer_id": who,
                "store_id": maybe(ids("s", customers, 3)),
                "clerk_id": ids("k", customers, 5),
                "joined_at": maybe(joined),
                "birthday": maybe(
                    [
                        f"19{70 + i % 30}-{1 + i % 12:02d}-{1 + i % 28:02d}"
                        if i % 2
                        else f"{1 + i % 12:02d}-{1 + i % 29:02d}"
                        if 1 + i % 12 != 2
                        else "02-29"
                        for i in range(customers)
                    ]
                ),
                "friend_since": maybe(since),
                "blocked_at": maybe(moments(customers), 0.9),
                "consent_contact": maybe([bool(b) for b in rng.random(customers) < 0.9]),
                "gender": maybe(["f"] * customers),
                "locale": maybe(["zh"] * customers),
            },
        ),
        "products": arrow(
            "products",
            {
                "product_id": [f"p{i}" for i in range(40)],
                "name": [f"product {i}" for i in range(40)],
                "category": maybe([f"g{i % 6}" for i in range(40)], 0.1),
                "price": maybe([float(x) for x in rng.integers(100, 9000, 40) / 100], 0.1),
                "cost": maybe([float(x) for x in rng.integers(50, 900, 40) / 100], 0.4),
                "launched_at": maybe(moments(40)),
                "retired_at": maybe(moments(40), 0.9),
            },
        ),
        "categories": arrow(
            "categories",
            {
                "category": [f"g{i}" for i in range(6)],
                "kind": ["short", "group", "premium", None, "short", "group"],
                "replenishable": [True, False, None, True, False, True],
                "margin_rate": [0.4, None, 0.6, 0.2, None, 0.3],
            },
        ),
        "stock": arrow(
            "stock",
            {
                "product_id": [f"p{i % 30}" for i in range(90)],
                "store_id": [f"s{i % 3}" for i in range(90)],
                "ts": moments(90),
                "on_hand": [float(i % 7) for i in range(90)],
            },
        ),
        "stores": arrow("stores", {"store_id": ["s0", "s1", "s2"], "name": ["A", "B", None]}),
        "clerks": arrow(
            "clerks",
            {
                "clerk_id": [f"k{i}" for i in range(5)],
                "store_id": ["s0", "s0", "s1", "s2", None],
                "minutes_per_day": [60.0, 30.0, None, 90.0, 45.0],
                "working_days": ["1234567", "12345", "67", None, "135"],
                "modes": [modes, ["private_partner"], None, modes[:1], modes[1:]],
                "left_at": [None, None, START + timedelta(days=200), None, None],
            },
        ),
        "absences": arrow(
            "absences",
            {
                "clerk_id": ["k0", "k1"],
                "date": [date(2025, 9, 1), date(2025, 9, 2)],
            },
        ),
        "friendships": arrow(
            "friendships",
            {
                "customer_id": ids("c", customers // 2, customers),
                "clerk_id": ids("k", customers // 2, 5),
                "since": since[: customers // 2],
                "ended_at": later(since[: customers // 2]),
            },
        ),
        "transactions": arrow(
            "transactions",
            {
                "order_id": [f"o{i // 3}" for i in range(lines)],
                "line_no": [str(i % 3) for i in range(lines)],
                "customer_id": maybe(ids("c", lines, customers), 0.15),
                "product_id": ids("p", lines, 44),
                "ts": sales,
                "quantity": [
                    float(q) for q in rng.choice([1, 2, 3, -1], lines, p=[0.6, 0.2, 0.1, 0.1])
                ],
                "unit_price": maybe([float(x) for x in rng.integers(100, 9000, lines) / 100], 0.1),
                "discount": maybe([float(x) for x in rng.integers(0, 100, lines) / 100], 0.5),
                "channel": maybe(
                    [["store", "mini_program", "web"][i] for i in rng.integers(0, 3, lines)]
                ),
                "store_id": maybe(ids("s", lines, 3)),
            },
        ),
        "interactions": arrow(
            "interactions",
            {
                "interaction_id": [f"i{i}" for i in range(n_contacts)],
                "customer_id": ids("c", n_contacts, customers),
                "clerk_id": ids("k", n_contacts, 5),
                "ts": moments(n_contacts),
                "mode": [[*modes, "none"][i] for i in rng.integers(0, 4, n_contacts)],
                "channel": maybe(
                    [["chat", "group", "moments"][i] for i in rng.integers(0, 3, n_contacts)]
                ),
                "group_id": maybe(ids("g", n_contacts, 4), 0.7),
                "minutes": maybe([float(m) for m in rng.integers(1, 20, n_contacts)]),
            },
        ),
        "responses": arrow(
            "responses",
            {
                "response_id": [f"r{i}" for i in range(n_answers)],
                "interaction_id": maybe(ids("i", n_answers, n_contacts), 0.2),
                "customer_id": ids("c", n_answers, customers),
                "ts": moments(n_answers),
                "kind": [
                    kinds[i]
                    for i in rng.choice(
                        len(kinds), n_answers, p=[0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.05, 0.02, 0.03]
                    )
                ],
            },
        ),
        "feedback": arrow(
            "feedback",
            {
                "feedback_id": [f"f{i}" for i in range(50)],
                "action_id": [f"a{i // 2}" for i in range(50)],
                "clerk_id": ids("k", 50, 5),
                "ts": moments(50),
                "kind": [["shown", "sent"][i % 2] for i in range(50)],
            },
        ),
        "tags": arrow(
            "tags",
            {
                "customer_id": ids("c", n_tags, customers),
                "tag": ids("t", n_tags, 4),
                "ts": tag_ts,
                "value": maybe(["x"] * n_tags),
                "source": maybe(
                    [["clerk", "import", "model"][i] for i in rng.integers(0, 3, n_tags)]
                ),
                "expires_at": later(tag_ts),
            },
        ),
        "groups": arrow(
            "groups",
            {
                "group_id": [f"g{i}" for i in range(4)],
                "clerk_id": ["k0"] * 4,
                "topic": ["baby"] * 4,
                "created_at": moments(4),
            },
        ),
        "memberships": arrow(
            "memberships",
            {
                "group_id": ids("g", customers, 4),
                "customer_id": ids("c", customers, customers),
                "joined_at": grouped,
                "left_at": later(grouped),
            },
        ),
        "content": arrow("content", {}),
        "events": arrow("events", {}),
        "benefits": arrow(
            "benefits",
            {
                "benefit_id": [f"b{i}" for i in range(customers)],
                "customer_id": ids("c", customers, customers),
                "kind": [["coupon", "points", "gift"][i % 3] for i in range(customers)],
                "amount": [float(i) for i in range(customers)],
                "expires_at": maybe(moments(customers)),
                "used_at": maybe(moments(customers)),
            },
        ),
        "service_cases": arrow(
            "service_cases",
            {
                "case_id": [f"x{i}" for i in range(customers // 2)],
                "customer_id": ids("c", customers // 2, customers),
                "kind": [
                    ["question", "complaint", "after_sale"][i % 3] for i in range(customers // 2)
                ],
                "opened_at": opened,
                "closed_at": later(opened),
            },
        ),
        "behaviour": arrow(
            "behaviour",
            {
                "event_id": [f"b{i}" for i in range(n_contacts)],
                "customer_id": ids("c", n_contacts, customers),
                "ts": moments(n_contacts),
                "kind": [
                    ["view", "view", "search", "cart", "favourite", "share"][i % 6]
                    for i in range(n_contacts)
                ],
                "product_id": maybe(ids("p", n_contacts, 44)),
            },
        ),
        "identities": arrow("identities", {}),
    }


def on_duckdb(tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return the tables on a DuckDB connection of their own."""
    return load_arrow(ibis.duckdb.connect(threads=2), tables)


@pytest.fixture(scope="session")
def make_tables() -> Callable[..., dict[str, pa.Table]]:
    """Return the maker of random contract tables."""
    return random_tables


@pytest.fixture(scope="session")
def make_arrow() -> Callable[..., pa.Table]:
    """Return the maker of one contract table from columns."""
    return arrow


@pytest.fixture(scope="session")
def to_duckdb() -> Callable[..., dict[str, Any]]:
    """Return the loader of Arrow tables into DuckDB."""
    return on_duckdb


def load_arrow(connection: Any, tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return Arrow tables as tables of an ibis DuckDB connection."""
    loaded = {}
    for name, table in tables.items():
        connection.con.register(f"arrow_{name}", table)
        connection.con.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow_{name}")
        loaded[name] = connection.table(name)
    return loaded


@pytest.fixture(scope="session")
def load_into() -> Callable[..., dict[str, Any]]:
    """Return the loader of Arrow tables into a given DuckDB connection."""
    return load_arrow
