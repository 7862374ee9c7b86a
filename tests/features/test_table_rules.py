"""Two rules before any view: services are no taste, and every category has a margin."""

from __future__ import annotations

import ibis

from nba.features.table_rules import apply_table_rules

COLUMNS = {
    "products": "product_id, category",
    "categories": "category, margin_rate",
    "transactions": "product_id, customer_id",
}


def test_services_count_like_anonymous_sales_and_margins_are_filled() -> None:
    connection = ibis.duckdb.connect()
    for name, rows in {
        "products": "VALUES ('tea', 'drinks'), ('post', 'service'), ('odd', NULL)",
        "categories": "VALUES ('drinks', .6::DOUBLE), ('service', NULL)",
        "transactions": "VALUES ('tea', 'a'), ('post', 'a'), ('odd', 'b')",
    }.items():
        connection.raw_sql(f"CREATE TABLE {name} AS SELECT * FROM ({rows}) AS t({COLUMNS[name]})")
    tables = {name: connection.table(name) for name in COLUMNS}
    found = apply_table_rules(tables, margin_rate=0.25)
    lines = found["transactions"].order_by("product_id").execute()
    assert lines["customer_id"].where(lines["customer_id"].notna(), "").tolist() == ["b", "", "a"]
    categories = found["categories"].order_by("category").execute()
    assert dict(zip(categories["category"], categories["margin_rate"], strict=True)) == {
        "drinks": 0.6,
        "service": 0.25,
        "unknown": 0.25,
    }
    assert (
        found["products"].filter(ibis._.product_id == "odd").execute()["category"][0] == "unknown"
    )
