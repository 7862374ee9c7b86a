"""Packed records hold what the lake and the scores hold."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import cast

import polars as pl
import pytest

from nba.data.ingest import ingest
from nba.data.lake import Lake, connect
from nba.errors import UnavailableError
from nba.stores.customers import CustomerRows
from nba.stores.feature_store import FeastFeatureStore
from nba.stores.operational import OperationalStore
from nba.stores.records import (
    NEWEST,
    Relations,
    ahead,
    newest_of,
    pack_records,
    person_of,
    unpacked,
)

DAY = date(2026, 3, 2)
ENDS = datetime(2026, 3, 2, 16, tzinfo=UTC)
Actions = Callable[..., pl.DataFrame]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake of two customers, one of them with more purchases than a card shows."""
    tables = tmp_path / "tables"
    tables.mkdir()
    sales = ["order_id,line_no,customer_id,product_id,ts,quantity,unit_price,discount"]
    for number in range(NEWEST + 5):
        ts = datetime(2026, 3, 2, 1, tzinfo=UTC) - timedelta(days=number, microseconds=number)
        sales.append(f"o{number},1,c1,p{number % 3},{ts.isoformat()},1,9.99,0.5")
    sales.append("o-new,1,c1,p1,2026-03-03T10:00:00+08:00,1,9.99,")
    sales.append("o-two,1,c2,p1,2026-03-01T10:00:00+08:00,-2,9.99,0.5")
    (tables / "transactions.csv").write_text("\n".join(sales))
    (tables / "interactions.csv").write_text(
        "interaction_id,customer_id,ts,mode,channel\n"
        "i1,c2,2026-02-01T10:00:00+08:00,private_partner,chat\n"
        "i2,c2,2026-02-01T10:00:00+08:00,private_partner,chat\n"
    )
    (tables / "customers.csv").write_text("customer_id,name,alias\nc1,王芳,小王\nc2,,\n")
    (tables / "service_cases.csv").write_text(
        "case_id,customer_id,kind,opened_at,closed_at\n"
        "s1,c1,complaint,2026-02-01T10:00:00+08:00,\n"
        "s2,c1,question,2026-02-01T10:00:00+08:00,2026-02-02T10:00:00+08:00\n"
    )
    (tables / "benefits.csv").write_text(
        "benefit_id,customer_id,kind,amount,expires_at\nb1,c1,coupon,5,2026-04-01T00:00:00+08:00\n"
    )
    (tables / "responses.csv").write_text(
        "response_id,interaction_id,ts,kind\n"
        "r1,i1,2026-02-01T11:00:00+08:00,read\n"
        "r2,i1,2026-02-01T12:00:00+08:00,replied\n"
    )
    made = Lake(tmp_path / "lake")
    ingest(tables, made, time_zone="Asia/Shanghai", now=ENDS + timedelta(days=3))
    return made


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    folder = tmp_path / "scores"
    folder.mkdir()
    timing = {"customer_id": ["c1"], "p_purchase_30d": [0.1 + 0.2], "survival": [[1.0, 0.5]]}
    pl.DataFrame(timing).write_parquet(folder / "timing.parquet")
    return folder


def packed(lake: Lake, scores: Path, tmp_path: Path) -> dict[str, bytes]:
    parts = pack_records(lake, scores, before=ENDS, memory="1GB", scratch=tmp_path / "tmp")
    return {customer: record for part in parts for customer, record in part}


@pytest.mark.parametrize("name", ["purchases", "contacts", "matters", "person"])
@pytest.mark.parametrize("customer", ["c1", "c2"])
def test_a_record_holds_the_rows_that_the_lake_gives(
    lake: Lake, scores: Path, tmp_path: Path, name: str, customer: str
) -> None:
    with connect() as connection:
        newest = newest_of(name, Relations(lake, connection))
        query = connection.execute(newest, [customer, ENDS, NEWEST])
        expected = query.to_arrow_table().to_pylist()
    record = unpacked(packed(lake, scores, tmp_path)[customer])
    assert record.get(name, []) == expected


def test_records_are_the_same_in_shares(lake: Lake, scores: Path, tmp_path: Path) -> None:
    parts = pack_records(
        lake, scores, before=ENDS, memory="1GB", scratch=tmp_path / "tmp", together=1
    )
    shares = {customer: unpacked(record) for part in parts for customer, record in part}
    whole = packed(lake, scores, tmp_path)
    assert shares == {customer: unpacked(record) for customer, record in whole.items()}
    assert set(shares) == {"c1", "c2"}


def test_the_next_part_is_made_while_one_is_used() -> None:
    made, ended = [Event() for _ in range(3)], []

    def parts() -> Generator[int]:
        try:
            for number, event in enumerate(made):
                event.set()
                yield number
            raise UnavailableError("the lake is away")
        finally:
            ended.append(True)

    used = ahead(parts())
    for number in range(3):
        assert next(used) == number
        assert number == 2 or made[number + 1].wait(timeout=10)
    with pytest.raises(UnavailableError):
        next(used)
    left = ahead(parts())
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert ended == [True, True]


def test_scores_keep_every_digit(lake: Lake, scores: Path, tmp_path: Path) -> None:
    record = unpacked(packed(lake, scores, tmp_path)["c1"])
    assert record["timing"][0]["p_purchase_30d"] == 0.1 + 0.2
    assert record["timing"][0]["survival"] == [1.0, 0.5]


@pytest.mark.parametrize("length", [1, 3_000])
def test_who_it_is_is_read_from_the_beginning_of_a_record(
    lake: Lake, scores: Path, tmp_path: Path, length: int
) -> None:
    record = packed(lake, scores, tmp_path)["c1"]
    content = json.loads(zlib.decompress(record))
    assert next(iter(content)) == "person"
    content["person"][0]["name"] = "芳" * length
    longer = zlib.compress(json.dumps(content, ensure_ascii=False).encode())
    assert person_of(longer) == unpacked(longer)["person"]
    assert person_of(longer)[0]["name"] == "芳" * length
    turned = dict(reversed(content.items()))
    assert person_of(zlib.compress(json.dumps(turned).encode())) == unpacked(longer)["person"]


def test_records_go_with_their_plan_and_their_customer(
    store: OperationalStore, make_actions: Actions, lake: Lake, scores: Path, tmp_path: Path
) -> None:
    part = list(packed(lake, scores, tmp_path).items())
    plan = {"as_of": DAY, "policy_version": "p1"}
    store.publish(plan, make_actions(), packed=[part])
    assert store.customer_record("c1", DAY) == unpacked(part[0][1])
    assert store.customer_person("c1", DAY) == person_of(part[0][1])
    store.erase("c1")
    assert store.customer_record("c1", DAY) is None
    tomorrow = DAY + timedelta(days=1)
    store.publish(plan | {"as_of": tomorrow}, make_actions(day=tomorrow), packed=[part])
    assert store.customer_record("c1", tomorrow) is None
    assert store.customer_record("c2", tomorrow) is not None
    assert store.customer_record("c2", DAY) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record[: len(record) // 2],
        lambda record: b"\x00" + record[1:],
        lambda record: b"",
        lambda record: zlib.compress(b"[1, 2]"),
        lambda record: zlib.compress(b'{"purchases": [{"ts": "yesterday"}]}'),
        lambda record: zlib.compress(b'{"purchases": [{"ts": 99999999999999999999}]}'),
    ],
)
def test_a_record_that_was_tampered_with_is_as_none(
    store: OperationalStore,
    make_actions: Actions,
    lake: Lake,
    scores: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    whole = packed(lake, scores, tmp_path)["c1"]
    spoiled = damage(whole)
    plan = {"as_of": DAY, "policy_version": "p1"}
    store.publish(plan, make_actions(), packed=[[("c1", spoiled)]])
    assert store.customer_record("c1", DAY) is None
    assert store.customer_person("c1", DAY) in (None, person_of(whole))
    with pytest.raises(UnavailableError, match="cannot be read"):
        unpacked(spoiled)


def test_a_record_says_when_its_rows_come_and_end(
    store: OperationalStore, make_actions: Actions, lake: Lake, scores: Path, tmp_path: Path
) -> None:
    records = list(packed(lake, scores, tmp_path).items())
    store.publish({"as_of": DAY, "policy_version": "p1"}, make_actions(), packed=[records])
    features = cast("FeastFeatureStore", None)
    rows = CustomerRows(lake, features, tmp_path, store.customer_record)
    coupon_ends = datetime(2026, 3, 31, 16, tzinfo=UTC)
    first_contact = datetime(2026, 2, 1, 2, tzinfo=UTC)
    for customer, now, expected in (
        ("c1", ENDS, coupon_ends),
        ("c1", coupon_ends + timedelta(seconds=1), None),
        ("c2", ENDS, None),
        ("c2", first_contact - timedelta(days=1), first_contact),
        ("c3", ENDS, ENDS),  # of whom nothing was packed: the lake is read
    ):
        assert rows.changes_at(customer, now=now, day=DAY) == expected
