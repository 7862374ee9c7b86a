"""The cases from the field on their own folders, by the commands that their pages name.

The folders are test material that does not ship with the repository (`NBA_CASES`, else `cases`
beside the public data sets); each kind of fault stands as cases of our own beside this file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from fastapi.testclient import TestClient
from tests.command import nba

from experiments.common.data import public_data
from nba.serving import Access, create_app
from nba.serving.run import services_of
from nba.settings import Project
from nba.stores.access import Scope
from nba.wiring import Wiring

CASES = Path(os.environ.get("NBA_CASES", public_data().parent / "cases"))
pytestmark = [
    pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not on this machine"),
    pytest.mark.xdist_group("field_cases"),
]
DAY = "2027-02-25"
NOW = datetime(2027, 2, 25, 2, tzinfo=UTC)


class Shop:
    """A project and what the command line says of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.opened = root, []

    def nba(self, *words: object, code: int = 0) -> str:
        """Run a command on the project; return what it printed."""
        return nba("--project", self.root, *words, code=code)

    @property
    def wiring(self) -> Wiring:
        wiring = Wiring(Project.open(self.root))
        self.opened.append(wiring)
        return wiring

    @property
    def lines(self) -> list[tuple[str, str, datetime, Decimal, Decimal | None]]:
        """Order, product, moment (UTC, naive), quantity and price of each line."""
        table = self.wiring.lake.polars("transactions").sort("order_id", "product_id", "ts")
        return [
            (order, product, ts.astimezone(UTC).replace(tzinfo=None), quantity, price)
            for order, product, ts, quantity, price in table.select(
                "order_id", "product_id", "ts", "quantity", "unit_price"
            ).iter_rows()
        ]

    def actions(self, day: str = DAY, *options: str) -> list[dict[str, str]]:
        """Export the actions of a day as CSV and read them."""
        out = self.root / "actions.csv"
        self.nba("actions", "export", "--as-of", day, "--out", out, *options)
        with out.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def client(self, scope: Scope = Scope.ADMIN, subject: str | None = None) -> TestClient:
        """Return a client with a key of a scope, of a service that believes it is NOW."""
        wiring = self.wiring
        token = wiring.plan_store.create_key(scope, subject=subject).token
        app = create_app(replace(services_of(wiring, Access.KEYS), clock=lambda: NOW))
        return TestClient(app, headers={"Authorization": f"Bearer {token}"})

    def close(self) -> None:
        for wiring in self.opened:
            wiring.plan_store.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = new_shop(tmp_path / "shop")
    yield made
    made.close()


def new_shop(root: Path, zone: str = "Asia/Shanghai") -> Shop:
    nba("init", root, "--time-zone", zone)
    return Shop(root)


class Nights:
    """Shops with a plan; folders with the same content share one that was made once."""

    def __init__(self, root: Path) -> None:
        self.root, self.made = root, {}

    def of(self, case: str, zone: str, *days: str) -> tuple[Path, str]:
        """Return a project on the folder of a case, and what was said while it was made."""
        folder = CASES / case / "in"
        digest = hashlib.sha256(f"{zone}{days}".encode())
        for path in sorted(folder.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        key = digest.hexdigest()[:12]
        if key not in self.made:
            shop = new_shop(self.root / key, zone)
            said = shop.nba("ingest", folder)
            for day in days:
                said += shop.nba("run", "--as-of", day)
            self.made[key] = (shop.root, said)
        return self.made[key]


@pytest.fixture(scope="session")
def made_nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tmp_path_factory.mktemp("cases"))


@pytest.fixture
def night(made_nights: Nights, tmp_path: Path) -> Iterator[object]:
    opened: list[Shop] = []

    def of(case: str, zone: str = "Asia/Shanghai", *days: str) -> tuple[Shop, str]:
        root, said = made_nights.of(case, zone, *(days or (DAY,)))
        shop = Shop(Path(shutil.copytree(root, tmp_path / f"shop-{len(opened)}")))
        opened.append(shop)
        return shop, said

    yield of
    for shop in opened:
        shop.close()


def at(hour: int, minute: int = 0, day: int = 1, month: int = 5, year: int = 2023) -> datetime:
    return datetime(year, month, day, hour, minute)


def test_01_utc_suffix(shop: Shop) -> None:
    shop.nba("ingest", CASES / "01-utc-suffix" / "in")
    assert [line[2] for line in shop.lines] == [
        at(0, 0, 1, 10, 2019), at(2, 30, 1, 10, 2019), at(20, 15, 1, 10, 2019),
    ]  # fmt: skip


def test_02_time_format_with_zone(shop: Shop, tmp_path: Path) -> None:
    case = CASES / "02-time-format-with-zone"
    shop.nba("ingest", case / "a", "--mapping", case / "a.yaml")
    assert [line[2] for line in shop.lines] == [at(12), at(6)]
    b = new_shop(tmp_path / "b")
    said = b.nba("ingest", case / "b", "--mapping", case / "b.yaml")
    assert "4 rows" in said
    assert [line[2] for line in b.lines] == [
        at(14), at(14), datetime(2023, 11, 5, 5, 30), datetime(2023, 11, 5, 6, 30),
    ]  # fmt: skip
    c = new_shop(tmp_path / "c")
    c.nba("ingest", case / "c", "--mapping", case / "c.yaml")
    found = {line[0]: line[2] for line in c.lines}
    assert found["A1"] == at(14)
    assert found.get("A2", at(15)) == at(15)  # a name that means several zones may be refused
    assert found["A3"] == at(2)
    assert found["A4"] == at(2)
    b.close()
    c.close()


def test_03_suggest_thousands_separator(shop: Shop, tmp_path: Path) -> None:
    folder, draft = CASES / "03-suggest-thousands-separator" / "in", tmp_path / "m.yaml"
    draft.write_text(shop.nba("ingest", folder, "--suggest"), encoding="utf-8")
    shop.nba("ingest", folder, "--mapping", draft)
    prices = [Decimal("1234.5"), Decimal(35), Decimal(35), Decimal("1234.5"), Decimal("8.25")]
    assert [line[4] for line in shop.lines] == prices
    assert sum(line[3] * line[4] for line in shop.lines) == Decimal("2656.5")


def test_05_shipped_mapping_online_retail_dates(shop: Shop) -> None:
    folder = CASES / "05-shipped-mapping-online-retail-dates" / "in"
    shop.nba("ingest", folder, "--mapping", "online_retail_ii")
    days = {line[0]: (line[2].month, line[2].day) for line in shop.lines}
    assert (days["601001"], days["601002"], days["601004"]) == ((12, 1), (12, 9), (12, 14))


def test_06_mapping_without_transactions(shop: Shop) -> None:
    case = CASES / "06-mapping-without-transactions-crashes"
    for option in ((), ("--check",)):
        said = shop.nba("ingest", case / "in", "--mapping", case / "m.yaml", *option, code=65)
        assert "transactions" in said


@pytest.mark.parametrize("name", ["fr", "es", "de", "zh", "shopify"])
def test_07_suggest_file_names_and_shopify(shop: Shop, tmp_path: Path, name: str) -> None:
    folder, draft = CASES / "07-suggest-file-names-and-shopify" / name, tmp_path / "m.yaml"
    draft.write_text(shop.nba("ingest", folder, "--suggest"), encoding="utf-8")
    shop.nba("ingest", folder, "--mapping", draft)
    expected = {
        "fr": [Decimal("12.5"), Decimal("7.9")],
        "es": [Decimal("12.5"), Decimal("7.9")],
        "de": [Decimal(1299), Decimal(35)],
        "zh": [Decimal(1280), Decimal(399), Decimal(99)],
        "shopify": [Decimal(25), Decimal(20), Decimal(25), Decimal(20)],
    }
    assert [line[4] for line in shop.lines] == expected[name]


def test_08_edited_order_exported_again(shop: Shop) -> None:
    case = CASES / "08-edited-order-exported-again"
    shop.nba("ingest", case / "first")
    said = shop.nba("ingest", case / "second")
    whole = [(line[1], line[3]) for line in shop.lines] == [("p1", 1), ("p2", 1)]
    assert whole or ("WARN" in said and "E1" in said)


def test_11_first_month_of_a_shop(night) -> None:
    shop, _ = night("11-first-month-of-a-shop", "Asia/Shanghai", "2026-11-20")
    rows = shop.actions("2026-11-20", "--all")
    scores = pl.read_parquet(shop.root / "data" / "runs" / "2026-11-20" / "scores/timing.parquet")
    chances = scores["p_purchase_30d"]
    assert len(chances) == 200
    assert chances.max() < 0.4  # what the default gap of 60 days would say
    assert chances.mean() < 0.1
    told = [float(row["p_repurchase_30d"]) for row in rows if row["p_repurchase_30d"]]
    assert max(told) < 0.4
    assert not [row for row in rows if "100%" in row["reasons"]]


def test_12_shift_over_midnight(night) -> None:
    shop, said = night("12-shift-over-midnight")
    windows = {name: [] for name in ("K1", "K2", "K3")}
    for row in shop.actions():
        if row["mode"] != "none":
            first, last = (row[name][11:16] for name in ("contact_from", "contact_to"))
            windows[row["clerk_id"]].append((first, last))
    assert windows["K2"]
    assert windows["K3"]
    assert all("16:00" <= first < last <= "21:00" for first, last in windows["K2"])
    assert all("14:00" <= first < last <= "21:00" for first, last in windows["K3"])
    assert "quiet hours" not in said


def test_13_store_in_another_time_zone(night) -> None:
    shop, _ = night("13-store-in-another-time-zone", "Australia/Sydney")
    answer = shop.client().get("/v1/clerks/K1/actions", params={"date": DAY}).json()
    assert answer["actions"]
    for item in answer["actions"]:
        first, last = item["contact_from"], item["contact_to"]
        assert first.endswith("+08:00")
        assert "10:00" <= first[11:16] < last[11:16] <= "19:00"


def test_14_negative_stock(night) -> None:
    shop, said = night("14-negative-stock")
    assert "WARN" in said
    brought = {p for row in shop.actions() for p in json.loads(row["product_ids"] or "[]")}
    gone = {f"P{number:02d}" for number in range(5, 15)}
    assert brought & {f"P{number:02d}" for number in range(5)}
    assert not brought & gone
    found = shop.client().get("/v1/customers/C001/products", params={"in_stock": True}).json()
    assert not gone & {item["product_id"] for item in found["products"]}


def test_15_leap_day_in_a_leap_year(night) -> None:
    shop, _ = night("15-leap-day-in-a-leap-year", "Asia/Shanghai", "2028-02-26", "2028-02-29")
    for day, away in (("2028-02-26", "3"), ("2028-02-29", "0")):
        said = shop.nba("features", "show", "C000", "--as-of", day)
        (line,) = [line for line in said.splitlines() if "days_to_birthday" in line]
        assert line.split()[1].removesuffix(".0") == away
    explained = shop.nba("plan", "--as-of", "2028-02-29", "--explain", "C000")
    (gift, *_) = [line for line in explained.splitlines() if "birthday_gift" in line]
    assert "not_applicable" not in gift


def test_16_slash_in_a_customer_id(night) -> None:
    shop, _ = night("16-slash-in-a-customer-id")
    client, known = shop.client(), "WX/0001"
    path = f"/v1/customers/{quote(known, safe='')}"
    card = client.get(path)
    assert (card.status_code, card.json()["customer_id"]) == (200, known)
    consent = {
        "consent_contact": False,
        "consent_profiling": False,
        "consent_at": "2027-02-25T01:00:00+08:00",
    }
    assert client.put(f"{path}/consent", json=consent).status_code == 200
    tag = f"/v1/customers/C004/tags/{quote('复/购', safe='')}"
    assert client.put(tag, json={}).status_code in {200, 201, 204}
    assert "复/购" in str(client.get("/v1/customers/C004/tags").json())
    assert client.get("/v1/customers/C001%2Ftags").status_code == 404
    assert client.delete(path).status_code in {200, 202}
    assert client.get(path).status_code == 404


def test_18_hour_that_happens_twice(tmp_path: Path) -> None:
    shop = new_shop(tmp_path / "london", "Europe/London")
    said = shop.nba("ingest", CASES / "18-hour-that-happens-twice" / "in")
    assert "happens twice" in said
    by_file = shop.lines
    assert by_file[0][2] == at(1, 30, 25, 10, 2026)
    row = {
        "order_id": "D1", "line_no": "1", "customer_id": "c1", "product_id": "p1",
        "ts": "2026-10-25T01:30:00", "quantity": 1, "unit_price": 25,
    }  # fmt: skip
    answer = shop.client(Scope.SOURCE, "POS").post("/v1/events", json={"transactions": [row]})
    told = answer.json()["rows"][0]
    assert (told["status"], "happens twice" in str(told)) == ("accepted", True)
    shop.nba("ingest", CASES / "18-hour-that-happens-twice" / "in")
    assert shop.lines == by_file
    shop.close()


def test_19_feast_aware_timestamps(night) -> None:
    sydney, _ = night("13-store-in-another-time-zone", "Australia/Sydney")
    asked = sydney.wiring.feature_store

    def days(moment: object, store=asked) -> list[int | None]:
        frame = pl.DataFrame({"customer_id": ["C000"], "event_timestamp": [moment]})
        return store.historical("timing", frame)["purchase_days"].to_list()

    naive = days(datetime(2027, 2, 25, 7))
    assert naive != [None]
    assert days(datetime(2027, 2, 24, 20, tzinfo=UTC)) == naive
    assert days("2027-02-25T12:00:00") == naive
    assert days(datetime(2027, 2, 24, 23)) == [None]
    york, _ = night("11-first-month-of-a-shop", "America/New_York", "2026-11-20")
    there = york.wiring.feature_store
    assert days(datetime(2026, 11, 19, 21), there) == [None]
    assert days(datetime(2026, 11, 20, 2, tzinfo=UTC), there) == [None]
    assert days(datetime(2026, 11, 20, 6, tzinfo=UTC), there) != [None]


def test_20_export_opened_in_excel(night) -> None:
    shop, _ = night("20-export-opened-in-excel")
    out = shop.root / "a.csv"
    shop.nba("actions", "export", "--as-of", DAY, "--out", out, "--all", "--bom")
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    cells = {cell for row in shop.actions(DAY, "--all") for cell in row.values()}
    assert "'=1+1" in cells
    texts = [cell for cell in cells if cell[:1] in set("=+-@")]
    assert not [cell for cell in texts if not cell.lstrip("+-").replace(".", "", 1).isdigit()]


def test_21_no_price_anywhere(shop: Shop, tmp_path: Path) -> None:
    folder, draft = CASES / "21-no-price-anywhere" / "in", tmp_path / "m.yaml"
    draft.write_text(shop.nba("ingest", folder, "--suggest"), encoding="utf-8")
    shop.nba("ingest", folder, "--mapping", draft)
    assert shop.lines[0][4] == Decimal("1234.5")
    bare = tmp_path / "bare"
    bare.mkdir()
    with (folder / "sales.csv").open(encoding="utf-8", newline="") as file:
        rows = [row[:5] for row in csv.reader(file)]
    header = ["ts", "order_id", "customer_id", "product_id", "quantity"]
    with (bare / "transactions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows[1:]])
    other = new_shop(tmp_path / "other")
    assert "no_price" in other.nba("ingest", bare)
    other.close()
