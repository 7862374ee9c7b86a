"""Mappings: the keys, the errors, and every shipped mapping on rows in the documented format."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import ibis
import polars as pl
import pytest
import yaml
from openpyxl import Workbook

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.mapping import Mapping, read_mapping, reference, shipped_mappings
from nba.data.suggest import suggest_mapping
from nba.data.tables import load_tables
from nba.errors import ConfigError

NOW = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)


def draft(**tables) -> Mapping:
    return Mapping.model_validate({"name": "draft", "tables": tables})


def test_every_shipped_mapping_reads() -> None:
    names = set(shipped_mappings())
    assert {"online_retail_ii", "online_retail_ii_tidy", "cdnow", "olist", "hm"} <= names
    for name in names:
        mapping = read_mapping(name)
        assert mapping.name == name
        assert mapping.description


def test_unknown_mapping() -> None:
    with pytest.raises(ConfigError, match="no mapping 'nope'") as caught:
        read_mapping("nope")
    assert "olist" in str(caught.value)
    assert caught.value.exit_code == 78


def test_all_problems_of_a_mapping_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "colour: red\ntables:\n  transactions: {source: a, renamed: {}}\n  customers: {}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_mapping(path)
    assert len(caught.value.problems) == 3
    path.write_text(
        "tables:\n  transactions: {source: a, rename: {sku: b}}\n  sales: {source: a}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_mapping(path)
    text = str(caught.value)
    assert "transactions.sku is no column" in text
    assert "'sales' is no table" in text
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match="not a mapping"):
        read_mapping(path)
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="not readable YAML"):
        read_mapping(path)


def test_rename_derive_constants_values_filter_and_spread(load, lake: Lake) -> None:
    mapping = draft(
        transactions={
            "source": "sales",
            "rename": {"order_id": "Bon", "product_id": ["EAN", "Artikel"], "ts": "Zeit"},
            "derive": {
                "quantity": "CASE WHEN Art = 'R' THEN -1 ELSE 1 END * CAST(Menge AS INTEGER)",
                "unit_price": "replace(Preis, ',', '.')",
            },
            "constants": {"store_id": "s1"},
            "values": {"channel": {"L": "store", "N": "web"}},
            "filter": "Art <> 'X'",
        },
        customers={
            "source": "sales",
            "distinct": True,
            "filter": "Kunde <> ''",
            "rename": {"customer_id": "Kunde"},
            "constants": {"valid_from": "2026-01-01"},
            "spread": {"clerk_id": {"over": 12}},
        },
    )
    mapping = mapping.model_copy(update={"time_formats": ("%d.%m.%Y %H:%M",)})
    rows = "Bon;Artikel;Zeit;Menge;Preis;Art;channel;Kunde\n"
    rows += "1;a;03.01.2026 10:00;2;3,50;V;L;k1\n2;b;04.01.2026 11:00;1;2,00;R;N;k2\n"
    rows += "3;b;04.01.2026 11:00;1;2,00;X;N;k2\n"
    report = load({"sales.csv": rows}, mapping=mapping)
    assert report.tables["transactions"].filtered == 1
    found = lake.polars("transactions").sort("order_id")
    assert found["quantity"].to_list() == [Decimal(2), Decimal(-1)]
    assert found["unit_price"].to_list() == [Decimal("3.5"), Decimal(2)]
    assert found["channel"].to_list() == ["store", "web"]
    assert found["store_id"].to_list() == ["s1", "s1"]
    clerks = lake.polars("customers").sort("customer_id")["clerk_id"].to_list()
    assert all(clerk.startswith("clerk_") and len(clerk) == 8 for clerk in clerks)


def test_an_expression_that_does_not_fit(load) -> None:
    mapping = draft(transactions={"source": "sales", "derive": {"order_id": "nothing_there"}})
    files = {"sales.csv": "product_id,ts,quantity\np,2026-01-01,1\n"}
    with pytest.raises(Exception, match="does not fit") as caught:
        load(files, mapping=mapping)
    assert caught.value.exit_code == 65
    assert "nothing_there" in str(caught.value)


# --- made-up rows in the documented formats ----------------------------------------------------

COMPLETE_JOURNEY = {
    "transaction_data.csv": "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,"
    "RETAIL_DISC,TRANS_TIME,WEEK_NO,COUPON_DISC,COUPON_MATCH_DISC\n"
    "2375,26984851472,1,1004906,2,1.39,364,-0.60,1631,1,0.0,0.0\n"
    "2375,26984851516,2,1033142,0,0.82,364,0.00,0942,1,0.0,0.0\n",
    "product.csv": "PRODUCT_ID,MANUFACTURER,DEPARTMENT,BRAND,COMMODITY_DESC,SUB_COMMODITY_DESC,"
    "CURR_SIZE_OF_PRODUCT\n1004906,69,PRODUCE,Private,POTATOES,POTATOES RUSSET,5 LB\n"
    "1033142,2,PRODUCE,National,ONIONS,ONIONS SWEET,40 LB\n",
    "coupon_redempt.csv": "household_key,DAY,COUPON_UPC,CAMPAIGN\n2375,421,10000085364,8\n",
}
INSTACART = {
    "orders.csv": "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,"
    "days_since_prior_order\n1,7,prior,1,2,08,\n2,7,prior,2,3,10,15.0\n3,7,train,3,3,09,7.0\n",
    "order_products__prior.csv": "order_id,product_id,add_to_cart_order,reordered\n"
    "1,196,1,0\n1,14084,2,0\n2,196,1,1\n",
    "order_products__train.csv": "order_id,product_id,add_to_cart_order,reordered\n3,196,1,1\n",
    "products.csv": "product_id,product_name,aisle_id,department_id\n196,Soda,77,7\n"
    '14084,"Organic Milk, Unsweetened",91,16\n',
    "aisles.csv": "aisle_id,aisle\n77,soft drinks\n91,soy lactosefree\n",
    "departments.csv": "department_id,department\n7,beverages\n16,dairy eggs\n",
}
OLIST = {
    "olist_orders_dataset.csv": "order_id,customer_id,order_status,order_purchase_timestamp,"
    "order_approved_at,order_delivered_carrier_date,order_delivered_customer_date,"
    "order_estimated_delivery_date\n"
    "e1,c1,delivered,2017-10-02 10:56:33,,,,2017-10-18\n"
    "e2,c2,canceled,2017-10-03 10:56:33,,,,2017-10-18\n"
    "e3,c3,delivered,2018-02-02 10:56:33,,,,2018-02-18\n",
    "olist_order_items_dataset.csv": "order_id,order_item_id,product_id,seller_id,"
    "shipping_limit_date,price,freight_value\n"
    "e1,1,g1,s1,2017-10-06 11:07:15,29.99,8.72\ne1,2,g1,s1,2017-10-06 11:07:15,29.99,8.72\n"
    "e2,1,g2,s1,2017-10-06 11:07:15,10.00,8.72\ne3,1,g2,s1,2018-02-06 11:07:15,10.00,8.72\n",
    "olist_customers_dataset.csv": "customer_id,customer_unique_id,customer_zip_code_prefix,"
    "customer_city,customer_state\nc1,u1,01234,sao paulo,SP\nc2,u2,01234,santos,SP\n"
    "c3,u1,01234,sao paulo,SP\n",
    "olist_products_dataset.csv": "product_id,product_category_name,product_name_lenght,"
    "product_description_lenght,product_photos_qty,product_weight_g,product_length_cm,"
    "product_height_cm,product_width_cm\ng1,perfumaria,40,287,1,225,16,10,14\n"
    "g2,artes,44,276,1,1000,30,18,20\n",
    "product_category_name_translation.csv": "product_category_name,"
    "product_category_name_english\nperfumaria,perfumery\nartes,art\n",
}
HM = {
    "transactions_train.csv": "t_dat,customer_id,article_id,price,sales_channel_id\n"
    "2018-09-20,000058a1,0663713001,0.050830,2\n2018-09-20,000058a1,0541518023,0.030492,1\n",
    "articles.csv": "article_id,product_code,prod_name,product_type_no,product_type_name,"
    "product_group_name,colour_group_name,index_name\n"
    "0663713001,0663713,Atlanta Push Body,283,Underwear body,Underwear,Black,Lingeries\n",
    "customers.csv": "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,"
    "postal_code\n000058a1,,,ACTIVE,NONE,49.0,52043ee2\n",
}
RETAILROCKET = {
    "events.csv": "timestamp,visitorid,event,itemid,transactionid\n"
    "1433221332117,257597,view,355908,\n1433222276276,599528,transaction,356475,4000\n",
    "item_properties_part1.csv": "timestamp,itemid,property,value\n"
    "1435460400000,356475,categoryid,1338\n1441508400000,356475,888,1116713\n",
    "item_properties_part2.csv": "timestamp,itemid,property,value\n"
    "1435470400000,356475,categoryid,1339\n",
}
MADE_UP = {
    "dunnhumby_complete_journey": COMPLETE_JOURNEY,
    "instacart": INSTACART,
    "olist": OLIST,
    "hm": HM,
    "retailrocket": RETAILROCKET,
}


def clean(report) -> None:
    assert report.exit_code == 0
    for table in report.tables.values():
        assert table.quarantined.rows == 0, report.lines()
        assert table.read == table.accepted


@pytest.mark.parametrize("name", sorted(MADE_UP))
def test_made_up_rows_reach_the_tables(load, name: str) -> None:
    report = load(MADE_UP[name], mapping=name)
    clean(report)


def test_complete_journey(load, lake: Lake) -> None:
    load(COMPLETE_JOURNEY, mapping="dunnhumby_complete_journey")
    rows = lake.polars("transactions").sort("order_id")
    assert rows["quantity"].to_list() == [Decimal(2), Decimal(1)]
    paid = rows["quantity"] * rows["unit_price"] - rows["discount"]
    assert [float(value) for value in paid] == [1.39, 0.82]
    assert rows["ts"][0] == datetime(2017, 1, 1, 21, 31, tzinfo=UTC)
    assert lake.polars("benefits")["kind"].to_list() == ["coupon"]


def test_instacart(load, lake: Lake) -> None:
    load(INSTACART, mapping="instacart")
    rows = lake.polars("transactions").sort("order_id", "line_no")
    assert rows["line_no"].to_list() == ["1", "2", "1", "1"]
    days = rows["ts"].dt.convert_time_zone("America/New_York").dt.date().to_list()
    assert [day.isoformat() for day in days] == [
        "2017-01-03",
        "2017-01-03",
        "2017-01-18",
        "2017-01-25",
    ]
    names = dict(lake.polars("products").select("product_id", "name").iter_rows())
    assert names["14084"] == "Organic Milk, Unsweetened"


def test_olist(load, lake: Lake) -> None:
    load(OLIST, mapping="olist")
    rows = lake.polars("transactions")
    assert rows.height == 3
    assert set(rows["customer_id"]) == {"u1"}
    assert set(lake.polars("products")["category"]) == {"perfumery", "art"}


def test_a_broken_line_of_a_joined_source_is_kept_in_quarantine(load, lake: Lake) -> None:
    from nba.data.quarantine import quarantined

    files = {**OLIST}
    files["olist_order_items_dataset.csv"] += "e3,2\n"
    report = load(files, mapping="olist")
    assert report.tables["transactions"].quarantined.rows == 1
    assert quarantined(lake)["value"].to_list() == ["e3,2"]


def test_retailrocket(load, lake: Lake) -> None:
    report = load(RETAILROCKET, mapping="retailrocket")
    assert report.tables["transactions"].filtered == 1
    assert lake.polars("products")["category"].to_list() == ["1339"]
    assert lake.polars("transactions")["ts"].to_list() == [
        datetime(2015, 6, 2, 5, 17, 56, 276_000, tzinfo=UTC)
    ]


@pytest.mark.requires("data")
def test_cdnow_both_layouts(real_data: Path, tmp_path: Path) -> None:
    full = Lake(tmp_path / "full")
    report = ingest(real_data / "cdnow", full, mapping="cdnow", time_zone="UTC", now=NOW)
    clean(report)
    assert full.rows("transactions") == 69_659
    assert full.polars("transactions")["customer_id"].n_unique() == 23_570
    (tmp_path / "in").mkdir()
    name = "sample_transactions.parquet"
    (tmp_path / "in" / name).symlink_to(real_data / "cdnow" / name)
    sample = Lake(tmp_path / "sample")
    clean(ingest(tmp_path / "in", sample, mapping="cdnow", time_zone="UTC", now=NOW))
    assert sample.rows("transactions") == 6_919
    assert sample.polars("transactions")["customer_id"].n_unique() == 2_357


@pytest.mark.requires("data")
def test_tafeng(real_data: Path, lake: Lake) -> None:
    report = ingest(real_data / "tafeng_nbr", lake, mapping="tafeng_nbr", time_zone="UTC", now=NOW)
    clean(report)
    rows = lake.polars("transactions")
    assert rows.height == 571_933
    assert rows["order_id"].n_unique() == 91_227
    assert rows["customer_id"].n_unique() == 13_858
    assert not read_mapping("tafeng_nbr").time_features


@pytest.mark.requires("data")
def test_original_columns_give_the_same_lake(real_data: Path, tmp_path: Path) -> None:
    names = {
        "invoice_no": "Invoice",
        "stock_code": "StockCode",
        "description": "Description",
        "quantity": "Quantity",
        "invoice_date": "InvoiceDate",
        "unit_price": "Price",
        "customer_id": "Customer ID",
        "country": "Country",
    }
    frame = pl.read_parquet(real_data / "online_retail_ii" / "year_2009_2010.parquet").head(60_000)
    for folder in ("tidy", "original"):
        (tmp_path / folder).mkdir()
    frame.write_parquet(tmp_path / "tidy" / "transactions.parquet")
    original = (
        frame.select(list(names)).rename(names).with_columns(pl.col("Customer ID").cast(pl.Float64))
    )
    original.write_csv(tmp_path / "original" / "online_retail_II.csv")
    lakes = [Lake(tmp_path / "a"), Lake(tmp_path / "b")]
    ingest(tmp_path / "tidy", lakes[0], mapping="online_retail_ii_tidy", time_zone="UTC", now=NOW)
    ingest(tmp_path / "original", lakes[1], mapping="online_retail_ii", time_zone="UTC", now=NOW)
    assert lakes[0].version == lakes[1].version
    tables = load_tables(
        lakes[0], as_of=None, time_zone="Europe/London", connection=ibis.duckdb.connect()
    )
    kinds = tables["products"].to_polars()
    assert "service" in set(kinds["category"])


# --- drafts ----------------------------------------------------------------------------------


def test_suggest_drafts_a_mapping_that_loads(tmp_path: Path, lake: Lake) -> None:
    source = tmp_path / "export"
    source.mkdir()
    (source / "orders_2026.csv").write_text(
        "OrderID;CustomerNo;SKU;Order Date;Qty;Price;Remark\n1;05;a;2026-01-03;2;3.5;x\n"
    )
    (source / "members.csv").write_text("MemberID,Gender,Birthdate,City\n05,f,1990-01-02,Wuhan\n")
    (source / "articles.csv").write_text("SKU,Product Name,Category,List Price\na,Tea,tea,3.5\n")
    (source / "weather.csv").write_text("station,rain\nx,1\n")
    text = suggest_mapping(source)
    found = yaml.safe_load(text)["tables"]
    assert found["transactions"]["source"] == "orders_2026"
    assert found["transactions"]["rename"] == {
        "order_id": "OrderID",
        "customer_id": "CustomerNo",
        "product_id": "SKU",
        "ts": "Order Date",
        "quantity": "Qty",
        "unit_price": "Price",
    }
    assert found["customers"]["rename"]["customer_id"] == "MemberID"
    assert found["products"]["rename"]["product_id"] == "SKU"
    assert "weather.csv" in text
    assert "Remark" in text
    path = tmp_path / "draft.yaml"
    path.write_text(text)
    report = ingest(source, lake, mapping=path, time_zone="UTC", now=NOW)
    clean(report)
    assert lake.polars("customers")["birthday"].to_list() == ["1990-01-02"]


def test_suggest_reads_other_languages_dates_and_commas(tmp_path: Path, lake: Lake) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Verkauf_2024.csv").write_text(
        "Bonnr;Kundennr;Artikel;Datum;Menge;Preis;Kasse\n"
        "1001;K01;A-1;03.01.2024 10:22;2;1.012,50;7\n1002;;A-2;14.01.2024 11:05;-1;3,00;7\n"
    )
    (folder / "Kunden.csv").write_text("Kundennr;Geburtstag;Ort\nK01;1980-02-03;Berlin\n")
    draft = tmp_path / "draft.yaml"
    draft.write_text(suggest_mapping(folder))
    assert "left over: Kasse (like '7')" in draft.read_text()
    report = ingest(folder, lake, mapping=draft, time_zone="Europe/Berlin", now=NOW)
    clean(report)
    rows = lake.polars("transactions").sort("order_id")
    assert rows["unit_price"].to_list() == [Decimal("1012.5"), Decimal(3)]
    assert rows["ts"][1] == datetime(2024, 1, 14, 10, 5, tzinfo=UTC)
    assert lake.polars("customers")["city"].to_list() == ["Berlin"]


LINES = "order_id,order_date,customer_id,sku,qty,price"


def lines_of(*numbers: int, header: str = LINES) -> str:
    rows = (f"R{n},2024-0{n}-13,c{n},A,1,5.00\n" for n in numbers)
    return f"{header}\n{''.join(rows)}"


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({f"sales-2024-0{n}.csv": lines_of(n) for n in (1, 2, 3)}, "sales-2024-*"),
        ({f"sales/{n}.csv": lines_of(n) for n in (1, 2, 3)}, "sales"),
        ({"sales.xlsx": {"Jan": 1, "Feb": 2, "Mar": 3}}, "sales/*"),
        (
            {
                "sales-2023.xlsx": {"Jan": 1, "Feb": 2},
                "sales-2024.xlsx": {"Jan": 3},
            },
            "{sales-2023/Jan,sales-2023/Feb,sales-2024/Jan}",
        ),
        (
            {
                "jan.csv": lines_of(1, 2),
                "feb.csv": lines_of(3, header=LINES.upper()),
                "customers.csv": "customer_id,name\nc1,x\n",
                "products.csv": "product_id,name\nA,x\n",
            },
            "{feb,jan}",
        ),
    ],
    ids=["files", "folder", "sheets", "workbooks", "names"],
)
def test_suggest_takes_files_with_the_same_columns_for_one(
    tmp_path: Path, lake: Lake, files: dict[str, str | dict[str, int]], source: str
) -> None:
    folder = tmp_path / "in"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            (folder / name).write_text(content)
            continue
        book = Workbook()
        book.remove(book.worksheets[0])
        for title, number in content.items():
            sheet = book.create_sheet(title)
            for row in lines_of(number).splitlines():
                sheet.append(row.split(","))
        book.save(folder / name)
    draft = tmp_path / "draft.yaml"
    draft.write_text(suggest_mapping(folder))
    tables = yaml.safe_load(draft.read_text())["tables"]
    assert tables["transactions"]["source"] == source
    ingest(folder, lake, mapping=draft, time_zone="UTC", now=NOW)
    assert set(lake.polars("transactions")["order_id"]) == {"R1", "R2", "R3"}
    others = {path.removesuffix(".csv") for path in files} & {"customers", "products"}
    assert set(tables) - {"transactions"} == others


def test_suggest_takes_no_more_of_what_is_taken_for_another_table(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(lines_of(1))
    (tmp_path / "returns.csv").write_text(lines_of(2))
    text = suggest_mapping(tmp_path)
    assert "# no table was found for: returns.csv" in text
    assert set(yaml.safe_load(text)["tables"]) == {"transactions"}


@pytest.mark.parametrize("above", ["sep=,\n", "Report\nof our shop, 2024\n\n"])
def test_suggest_finds_the_header_below_other_lines(tmp_path: Path, lake: Lake, above: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "sales.csv").write_text(above + lines_of(1, 2))
    draft = tmp_path / "draft.yaml"
    draft.write_text(suggest_mapping(folder))
    ingest(folder, lake, mapping=draft, time_zone="UTC", now=NOW)
    assert set(lake.polars("transactions")["order_id"]) == {"R1", "R2"}


def test_suggest_of_files_that_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    draft = tmp_path / "draft.yaml"
    draft.write_text(suggest_mapping(tmp_path))
    assert "no table was found for: a.csv" in draft.read_text()
    assert read_mapping(draft).tables == {}


def test_suggest_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("receipt,sku,qty\n1,a,2\n")
    assert "required and not found: ts" in suggest_mapping(tmp_path)


def test_the_page_has_every_key_and_every_shipped_mapping(repository: Path) -> None:
    page = (repository / "docs" / "mapping.md").read_text()
    assert reference() in page
    for name in shipped_mappings():
        assert f"| `{name}` |" in page


def test_the_example_of_the_page_reads(repository: Path, tmp_path: Path) -> None:
    page = (repository / "docs" / "mapping.md").read_text()
    for block in page.split("```yaml\n")[1:]:
        path = tmp_path / "example.yaml"
        path.write_text(block.split("```")[0])
        assert read_mapping(path).tables


def test_the_data_page_names_every_rule(repository: Path) -> None:
    page = (repository / "docs" / "data.md").read_text()
    source = (repository / "src" / "nba" / "data" / "rules.py").read_text()
    for rule in re.findall(r"`(\w+)`", source.split("name : str")[1].split("expected : str")[0]):
        assert f"| `{rule}` |" in page


def test_every_proof_that_the_data_page_names_is_there(repository: Path) -> None:
    page = (repository / "docs" / "data.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\btest_\w+", page.split("## What is proved")[1]))
    paths = sorted((repository / "tests").rglob("test_*.py"))
    tests = "".join(path.read_text(encoding="utf-8") for path in paths)
    files = {path.stem for path in paths}
    assert len(named) > 25
    assert not [name for name in named if f"def {name}(" not in tests and name not in files]
