"""An erased customer is known by every key of theirs: they come back under no other system's id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.data import exported
from tests.stores.conftest import create_database

from nba.data import quarantine
from nba.data.erasure import GONE
from nba.data.identity_keys import IdentityKey, hashed, hashed_sql, key_digest, key_digest_sql
from nba.data.report import IngestReport
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.privacy import erase_customer, search, search_lines
from nba.settings import Project
from nba.wiring import Wiring

PEOPLE = exported.shopify_customers(4)
ANNA, BEN = "shopify:7000000001", "shopify:7000000002"
ORDERS = [
    exported.shopify_orders(1)[0][0]
    | {"Name": f"#{who}", "Id": str(who), "Email": one["Email"], "Phone": one["Phone"]}
    for who, one in enumerate(PEOPLE, start=1)
]


class Shop:
    """A project into which files are loaded as `nba ingest` does."""

    def __init__(self, root: Path, url: str = "") -> None:
        init_project(root / "project", {"operational_url": url} if url else {})
        self.wiring = Wiring(Project.open(root / "project"))
        self.folder = root / "in"
        self.folder.mkdir()

    def load(self, **files: str) -> IngestReport:
        """Load CSV files by name."""
        for path in self.folder.iterdir():
            path.unlink()
        for name, content in files.items():
            (self.folder / f"{name}.csv").write_text(content)
        return ingest_folder(self.wiring, self.folder)

    def shopify(self, people: list[exported.Row], orders: list[exported.Row]) -> IngestReport:
        return self.load(
            customers_export=exported.write(exported.SHOPIFY_CUSTOMERS, people),
            orders_export=exported.write(exported.SHOPIFY_ORDERS, orders),
        )

    def till(self, *rows: exported.Row) -> IngestReport:
        return self.load(till=exported.write(exported.WOO_ITEMS, list(rows)))

    def customers(self) -> set[str]:
        sales = self.wiring.lake.polars("transactions")["customer_id"].drop_nulls()
        return {*sales, *self.wiring.lake.polars("customers")["customer_id"]}


def sale(order: int, till_id: str = "", **keys: str) -> exported.Row:
    """One line of another system's export."""
    return exported.woocommerce_orders(1)[0][0] | {
        "order_id": str(order), "order_number": str(order), "item_id": str(order),
        "customer_id": till_id, "billing_email": keys.get("email", ""),
        "billing_phone": keys.get("phone", ""), "status": "completed",
        "item_refunded": "0", "item_refunded_qty": "0",
    }  # fmt: skip


def checks(report: IngestReport, name: str) -> list[tuple[str, int, str]]:
    return [(one.table, one.count, one.message) for one in report.checks if one.name == name]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.wiring.plan_store.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.requires("postgres"))])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    url = ""
    if request.param == "postgres":
        url = create_database(request.getfixturevalue("postgres_url"))
    made = Shop(tmp_path, url)
    yield made
    made.wiring.plan_store.close()


def test_nobody_returns_with_the_export_of_another_system(either: Shop) -> None:
    shop = either
    shop.shopify(PEOPLE, ORDERS)
    before = shop.customers()
    erase_customer(shop.wiring, ANNA)
    mail, phone = PEOPLE[0]["Email"], PEOPLE[0]["Phone"].removeprefix("'")

    report = shop.till(
        sale(1, "31", email=mail.upper()),
        sale(2, "", phone=phone),
        sale(3, "32", email="zoe@example.com"),
    )
    assert shop.customers() == before - {ANNA} | {"woocommerce:32"}
    assert checks(report, "erased") == [
        (
            "customers",
            1,
            "1 rows of erased customers were kept out, 1 of them by an e-mail, a phone or another "
            "key of theirs",
        ),
        (
            "transactions",
            2,
            "2 rows of erased customers were kept out, 2 of them by an e-mail, a phone or another "
            "key of theirs",
        ),
    ]
    assert checks(report, "erased.shared") == []

    # what that export said of them is known from then on: the till's own id alone is enough
    again = shop.till(sale(4, "31"), sale(5, "32", email="zoe@example.com"))
    assert again.tables["transactions"].kept_out == 1
    # so is the first system's, with files or without
    shop.shopify(PEOPLE, ORDERS)
    assert shop.customers() == before - {ANNA} | {"woocommerce:32"}
    named = ["woocommerce:31", "woocommerce:32", ANNA, BEN]
    assert shop.wiring.plan_store.erased_among(named) == {"woocommerce:31", ANNA}
    with shop.wiring.plan_store.writing() as writer:
        assert writer.erased_among(named) == {"woocommerce:31", ANNA}
    assert mail not in "".join(map(str, report.to_json()["checks"]))
    for one in (ANNA, "woocommerce:31"):
        found = search(shop.wiring, one)
        assert found.kept == [], search_lines(found)


def contract(shop: Shop, customer_id: str, external_id: str, **more: str) -> IngestReport:
    """Load tables that keep the contract, of one customer and somebody else."""
    sales = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
    return shop.load(
        customers=f"customer_id,external_id\n{customer_id},{external_id}\nC7,wm7\n",
        transactions=f"{sales}{customer_id}-1,{customer_id},p1,2026-03-01,1,5\nC7-1,C7,p1,2026-03-01,1,5\n",
        **more,
    )


def test_whom_nobody_joined_is_known_by_the_chat_platforms_id(shop: Shop) -> None:
    contract(shop, "C1", "wm1")
    erase_customer(shop.wiring, "C1")
    report = contract(shop, "C9", "wm1")
    assert shop.customers() == {"C7"}
    assert report.tables["transactions"].kept_out == 1
    assert shop.wiring.plan_store.erased_among(["C9", "wecom:wm1", "C7"]) == {"C9", "wecom:wm1"}
    # sales alone name the other id later
    sales = "order_id,customer_id,product_id,ts,quantity,unit_price\no8,C9,p1,2026-03-04,1,5\n"
    assert shop.load(transactions=sales).tables["transactions"].kept_out == 1


def test_an_identity_says_who_it_is_until_it_is_nobodys(shop: Shop) -> None:
    identities = "kind,value,customer_id\nemail,abc,{}\nphone,def,{}\n"
    contract(shop, "C1", "", identities=identities.format("C1", "C1"))
    erase_customer(shop.wiring, "C1")
    assert "C9" not in _loaded(shop, identities.format("C9", ""))
    assert "C9" not in _loaded(shop, identities.format("", ""))  # its own id is known by now
    assert "C8" in _loaded(shop, identities.format("", ""), "C8")


def _loaded(shop: Shop, identities: str, who: str = "C9") -> set[str]:
    contract(shop, who, "", identities=identities)
    return shop.customers()


def test_two_people_who_share_a_key_are_told_and_nobody_is_dropped(shop: Shop) -> None:
    shop.shopify(PEOPLE, ORDERS)
    erase_customer(shop.wiring, ANNA)
    # a second customer of the same system has the e-mail: not the same person
    other = PEOPLE[3] | {"Customer ID": "7000000009", "Email": PEOPLE[0]["Email"], "Phone": ""}
    report = shop.shopify([other], [])
    assert "shopify:7000000009" in shop.customers()
    ((_, count, message),) = checks(report, "erased.shared")
    assert count == 1
    assert "share a key with an erased one" in message
    assert next(one.first for one in report.checks if one.name == "erased.shared") == (
        "'shopify:7000000009'"
    )


def test_who_stands_in_the_lake_is_not_taken_for_an_erased_one(shop: Shop) -> None:
    shop.shopify(PEOPLE, ORDERS)
    erase_customer(shop.wiring, ANNA)
    before = shop.customers()
    both = sale(1, "31", email=PEOPLE[0]["Email"], phone=PEOPLE[1]["Phone"].removeprefix("'"))
    ben = sale(2, "", phone=PEOPLE[1]["Phone"].removeprefix("'"))
    report = shop.till(both, ben)
    sold = shop.wiring.lake.polars("transactions").filter(customer_id=BEN)
    assert sold.height == 2
    assert shop.customers() - before == {"woocommerce:31"}
    assert [count for _, count, _ in checks(report, "erased.shared")] == [1]


def test_erasing_again_keeps_the_keys_that_came_since(shop: Shop) -> None:
    shop.shopify(PEOPLE, ORDERS)
    receipt = erase_customer(shop.wiring, ANNA)
    assert erase_customer(shop.wiring, ANNA).receipt_id == receipt.receipt_id
    assert shop.till(sale(1, "31", email=PEOPLE[0]["Email"])).tables["transactions"].kept_out == 1


def test_a_line_that_is_no_record_keeps_no_address(shop: Shop) -> None:
    shop.shopify(PEOPLE, ORDERS)
    erase_customer(shop.wiring, ANNA)
    good = exported.write(exported.WOO_ITEMS, [sale(1, "32")])
    mail, phone = PEOPLE[0]["Email"], PEOPLE[0]["Phone"].removeprefix("'")
    broken = "".join(f"x,{one}" + ",too many" * 60 + "\n" for one in (mail, phone, "q@e.com"))
    shop.load(till=good + broken)
    held = quarantine.quarantined(shop.wiring.lake)["value"].to_list()
    assert held.count(GONE) == 2
    assert sum("q@e.com" in str(one) for one in held) == 1


@pytest.mark.parametrize("secret", [b"", b"secret", b"x" * 100])
def test_sql_hashes_as_python_does(secret: bytes) -> None:
    def scalar(expression: str) -> Any:
        return duckdb.sql(
            f"SELECT {expression} FROM (VALUES ('phone', 'né')) AS t(k, v)"
        ).fetchone()

    assert scalar(hashed_sql("k", "v", secret)) == (hashed("phone", "né", secret),)
    digest = key_digest(IdentityKey("phone", "né"), secret)
    assert scalar(key_digest_sql("k", "v", secret)) == (digest,)
