"""Absence as normal: what nothing has is said, with a count and an example, and rows are kept."""

from __future__ import annotations

HEADER = "order_id,customer_id,product_id,ts,quantity\n"
LINES = HEADER + "o1,c1,p1,2026-05-01,1\no2,c2,p2,2026-05-02,1\n"


def test_no_price_anywhere(shop, warned) -> None:
    found = warned(shop.load(transactions=LINES))
    assert found["no_price"] == (2, "product p1")
    assert shop.lake.rows("transactions") == 2


def test_a_price_of_the_product_is_enough(shop, warned) -> None:
    found = warned(shop.load(transactions=LINES, products="product_id,price\np1,3\np2,4\n"))
    assert "no_price" not in found


def test_some_products_without_a_price(shop, warned) -> None:
    found = warned(shop.load(transactions=LINES, products="product_id,price\np1,3\np2,\n"))
    assert found["no_price"] == (1, "product p2")


def test_no_cost_and_no_margin_anywhere(shop, warned) -> None:
    assert "no_cost" in warned(shop.load(transactions=LINES, products="product_id,price\np1,3\n"))
    found = warned(
        shop.load(categories="category,margin_rate\ntea,0.4\n", products="product_id\np3\n")
    )
    assert "no_cost" not in found


def test_customers_without_a_clerk(shop, warned) -> None:
    report = shop.load(
        transactions=LINES,
        customers="customer_id,clerk_id\nc1,k1\nc2,\nc3,k2\n",
        clerks="clerk_id\nk1\nk2\n",
    )
    assert warned(report)["no_clerk"] == (1, "c2")
    served = HEADER.strip() + ",clerk_id\no3,c2,p1,2026-05-03,1,k1\n"
    assert "no_clerk" not in warned(shop.load(transactions=served, customers="customer_id\nc2\n"))


def test_ids_that_a_spreadsheet_has_damaged(shop, warned) -> None:
    rows = "o1,1.38001E+10,p1,2026-05-01,1\no2,#N/A,'00042,2026-05-01,1\no3,NULL,p2,2026-05-01,1\n"
    found = warned(shop.load(transactions=HEADER + rows))
    assert found["damaged.customer_id"] == (3, "#N/A")
    assert found["damaged.product_id"] == (1, "'00042")
    assert shop.column("customer_id") == ["1.38001E+10", "#N/A", "NULL"]


def test_ids_that_a_spreadsheet_was_to_take_for_text(shop, warned) -> None:
    rows = 'o1,="00123",p1,2026-05-01,1\no2,"=""00124""",=p2,2026-05-01,1\n'
    found = warned(shop.load(transactions=HEADER + rows))
    assert found["damaged.customer_id"] == (2, '="00123"')
    assert "damaged.product_id" not in found


def test_ids_that_only_look_odd_are_no_damage(shop, warned) -> None:
    rows = "o1,#2001,E+1,2026-05-01,1\no2,#A-B,O'Neil,2026-05-01,1\n"
    assert not [name for name in warned(shop.load(transactions=HEADER + rows)) if "damaged" in name]


def test_a_file_without_a_header(shop, warned) -> None:
    rows = "o1,c1,p1,2026-05-01,1\no2,c2,p2,2026-05-02,1\n"
    assert "`header` in a mapping" in shop.refused(transactions=rows)
    names = ["order_id", "customer_id", "product_id", "ts", "quantity"]
    mapping = {"tables": {"transactions": {"source": "transactions", "header": names}}}
    report = shop.load(mapping, transactions=rows + "o3,,,,\n")
    assert shop.column("order_id") == ["o1", "o2"]
    assert any("line 3" in check.first for check in report.checks)
    extra = warned(
        shop.load(transactions="order_id,product_id,ts,quantity,2026\no9,p,2026-05-01,1,x\n")
    )
    assert extra["no_header"] == (1, "2026")


def test_a_birthday_of_very_many_may_stand_for_none(shop, warned) -> None:
    days = [f"19{80 + n % 20}-{n % 12 + 1:02}-{n % 28 + 1:02}" for n in range(100)]
    people = "".join(f"c{n},{day}\n" for n, day in enumerate(days + ["1900-01-01"] * 30))
    sales = HEADER + "o1,c1,p1,2026-05-01,1\n"
    found = warned(shop.load(transactions=sales, customers="customer_id,birthday\n" + people))
    assert found["same_birthday"] == (32, "01-01")
    few = "customer_id,birthday\n" + "".join(f"c{n},{day}\n" for n, day in enumerate(days))
    assert "same_birthday" not in warned(shop.load(customers=few))


def test_a_birthday_without_a_year(shop) -> None:
    people = "customer_id,birthday\nc1,0000-05-03\nc2,05-03\nc3,0000-02-29\nc4,0000-02-30\n"
    shop.load(transactions=HEADER + "o1,c1,p1,2026-05-01,1\n", customers=people)
    kept = shop.lake.polars("customers").sort("customer_id")["birthday"].to_list()
    assert kept == ["05-03", "05-03", "02-29"]
    assert shop.quarantine == [("birthday", "type", "0000-02-30")]


def test_days_of_clerks_that_may_be_hours(shop, warned) -> None:
    clerks = "clerk_id,minutes_per_day\nk1,8\nk2,60\nk3,0\n"
    found = warned(shop.load(transactions=HEADER + "o1,c1,p1,2026-05-01,1\n", clerks=clerks))
    assert found["short_days"] == (1, "k1")
