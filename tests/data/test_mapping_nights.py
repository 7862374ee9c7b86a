"""A public data set's format, rows made up, through the whole nightly job to a list.

The command line alone: `init`, `ingest --mapping`, `run --as-of`, `actions export`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.command import nba

CUSTOMERS, ORDERS, GOODS = 60, 8, 24
Rows = dict[str, list[object]]


def orders(seed: int) -> list[tuple[int, int, int, list[int]]]:
    """Return (customer, day, hour, products) of customers with rhythms and tastes of their own."""
    rng = np.random.default_rng(seed)
    found = []
    for customer in range(CUSTOMERS):
        rhythm, day = rng.integers(5, 30), int(rng.integers(0, 20))
        taste = rng.permutation(GOODS)[:6]
        for _ in range(ORDERS):
            products = rng.choice(taste, size=rng.integers(1, 4), replace=False).tolist()
            found.append((customer, day, int(rng.integers(9, 21)), products))
            day += int(rng.poisson(rhythm)) + 1
    return found


def complete_journey(folder: Path) -> str:
    """Write transaction_data, product and coupon_redempt; return the day to plan for."""
    rows = [
        [
            *(customer + 1, 26984850000 + order, day + 1, 1000 + product, 1, 2 + product / 4),
            *("364", "-0.10", f"{hour}31", day // 7 + 1, "0.0", "0.0"),
        ]
        for order, (customer, day, hour, products) in enumerate(orders(1))
        for product in products
    ]
    write(
        folder / "transaction_data.csv",
        "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,RETAIL_DISC,"
        "TRANS_TIME,WEEK_NO,COUPON_DISC,COUPON_MATCH_DISC",
        rows,
    )
    write(
        folder / "product.csv",
        "PRODUCT_ID,MANUFACTURER,DEPARTMENT,BRAND,COMMODITY_DESC,SUB_COMMODITY_DESC,"
        "CURR_SIZE_OF_PRODUCT",
        [
            [1000 + n, 69, "PRODUCE", "Private", f"GROUP {n % 5}", f"GOOD {n}", "1 LB"]
            for n in range(GOODS)
        ],
    )
    write(
        folder / "coupon_redempt.csv",
        "household_key,DAY,COUPON_UPC,CAMPAIGN",
        [[1, 42, 10000085364, 8]],
    )
    return "2017-05-15"


def instacart(folder: Path) -> str:
    """Write orders, order_products__prior and __train, products, aisles and departments."""
    heads, lines, last, number = [], [], {}, {}
    for order, (customer, day, hour, products) in enumerate(orders(2), start=1):
        number[customer] = number.get(customer, 0) + 1
        gap = "" if customer not in last else f"{float(min(30, day - last[customer]))}"
        is_last = number[customer] == ORDERS
        heads.append(
            [
                order,
                customer,
                "train" if is_last else "prior",
                number[customer],
                day % 7,
                f"{hour:02d}",
                gap,
            ]
        )
        lines += [
            [order, product, position, 0, is_last]
            for position, product in enumerate(products, start=1)
        ]
        last[customer] = day
    write(
        folder / "orders.csv",
        "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order",
        heads,
    )
    for name, of_last in (("prior", False), ("train", True)):
        write(
            folder / f"order_products__{name}.csv",
            "order_id,product_id,add_to_cart_order,reordered",
            [line[:4] for line in lines if line[4] is of_last],
        )
    write(
        folder / "products.csv",
        "product_id,product_name,aisle_id,department_id",
        [[n, f'"Good {n}, organic"', n % 5, n % 2] for n in range(GOODS)],
    )
    write(folder / "aisles.csv", "aisle_id,aisle", [[n, f"aisle {n}"] for n in range(5)])
    write(folder / "departments.csv", "department_id,department", [[0, "food"], [1, "home"]])
    return "2017-05-15"


def olist(folder: Path) -> str:
    """Write orders, items, customers, products and the translation of categories."""
    start = datetime(2017, 1, 2)
    heads, lines, buyers = [], [], []
    for order, (customer, day, hour, products) in enumerate(orders(3)):
        at = start + timedelta(days=day, hours=hour, minutes=56)
        status = "canceled" if order % 50 == 0 else "delivered"
        heads.append([f"e{order}", f"c{order}", status, at, "", "", "", at.date()])
        lines += [
            [f"e{order}", n, f"g{product}", "s1", at, f"{20 + product}.99", "8.72"]
            for n, product in enumerate(products, start=1)
        ]
        buyers.append([f"c{order}", f"u{customer}", "01234", "sao paulo", "SP"])
    write(
        folder / "olist_orders_dataset.csv",
        "order_id,customer_id,order_status,"
        "order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,"
        "order_delivered_customer_date,order_estimated_delivery_date",
        heads,
    )
    write(
        folder / "olist_order_items_dataset.csv",
        "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
        lines,
    )
    write(
        folder / "olist_customers_dataset.csv",
        "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
        buyers,
    )
    write(
        folder / "olist_products_dataset.csv",
        "product_id,product_category_name,"
        "product_name_lenght,product_description_lenght,product_photos_qty,product_weight_g,"
        "product_length_cm,product_height_cm,product_width_cm",
        [
            [f"g{n}", ("perfumaria", "artes")[n % 2], 40, 287, 1, 225, 16, 10, 14]
            for n in range(GOODS)
        ],
    )
    write(
        folder / "product_category_name_translation.csv",
        "product_category_name,product_category_name_english",
        [["perfumaria", "perfumery"], ["artes", "art"]],
    )
    return "2017-05-15"


def write(path: Path, header: str, rows: list[list[object]]) -> None:
    """Write a CSV file as the publisher does."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("mapping", "zone", "make"),
    [
        ("dunnhumby_complete_journey", "America/New_York", complete_journey),
        ("instacart", "America/New_York", instacart),
        ("olist", "America/Sao_Paulo", olist),
    ],
)
def test_the_nightly_job_ends_in_a_list(
    tmp_path: Path, mapping: str, zone: str, make: Callable[[Path], str]
) -> None:
    source, project, out = (tmp_path / name for name in ("in", "project", "actions.csv"))
    source.mkdir()
    as_of = make(source)
    nba("init", project, "--time-zone", zone)
    printed = nba("--project", project, "ingest", source, "--mapping", mapping)
    assert "FAIL" not in printed
    assert " 0 quarantined" in printed
    nba("--project", project, "run", "--as-of", as_of)
    nba("--project", project, "actions", "export", "--as-of", as_of, "--out", out)
    actions = pl.read_csv(out, infer_schema=False)
    listed = actions.filter(pl.col("mode") != "none")
    assert listed.height >= 5
    assert listed["talking_point"].null_count() == 0
    assert listed["clerk_id"].n_unique() > 1
    buyers = {f"u{n}" if mapping == "olist" else str(n) for n in range(CUSTOMERS + 1)}
    assert set(actions["customer_id"]) <= buyers
