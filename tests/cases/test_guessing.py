"""Guessing: a reading is settled over all values of a column, and asked for where two fit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

HEADER = "order_id,customer_id,product_id,ts,quantity,unit_price\n"


def lines(*moments: str) -> str:
    return HEADER + "".join(
        f"o{number:02},c1,p1,{moment},1,2\n" for number, moment in enumerate(moments)
    )


def sales(**given: Any) -> dict[str, Any]:
    """Return a mapping of `transactions` with more keys."""
    return {"tables": {"transactions": {"source": "transactions", **given}}}


def test_one_late_day_settles_a_column_of_early_ones(shop) -> None:
    both = {"time_formats": ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"], **sales()}
    shop.load(both, transactions=lines("5/2/2024 9:00", "6/2/2024 9:00", "6/27/2024 9:00"))
    assert shop.column("ts") == [
        datetime(2024, 5, 2, 1), datetime(2024, 6, 2, 1), datetime(2024, 6, 27, 1),
    ]  # fmt: skip


def test_a_day_that_no_value_tells_from_a_month_is_asked_for(shop) -> None:
    both = {"time_formats": ["%d/%m/%Y", "%m/%d/%Y"], **sales()}
    message = shop.refused(both, transactions=lines("5/2/2024", "6/2/2024"))
    assert "nobody can tell" in message
    assert "times: {ts:" in message
    shop.load(sales(times={"ts": "month_first"}), transactions=lines("5/2/2024", "6/2/2024"))
    assert shop.column("ts")[0] == datetime(2024, 5, 1, 16)


def test_a_column_that_mixes_two_orders_is_refused(shop) -> None:
    message = shop.refused(
        sales(times={"ts": ["day_first", "month_first"]}),
        transactions=lines("13/2/2024", "2/14/2024", "1/1/2024"),
    )
    assert "mixes days and months" in message


def test_files_of_one_load_are_read_in_one_order(shop) -> None:
    mapping = {
        "tables": {
            "transactions": {"source": "sales*", "times": {"ts": ["day_first", "month_first"]}}
        }
    }
    shop.load(mapping, sales1=lines("5/2/2024"), sales2=lines("6/27/2024").replace("o00", "o01"))
    assert shop.column("ts") == [datetime(2024, 5, 1, 16), datetime(2024, 6, 26, 16)]


@pytest.mark.parametrize(
    ("values", "reading", "first"),
    [
        (("03.05.2024", "23.05.2024"), "day_first", datetime(2024, 5, 3)),
        (("05/03/24 9:05 PM", "05/23/24 9:05 AM"), "month_first", datetime(2024, 5, 3, 21, 5)),
        (
            ("2024年5月3日 下午9:05", "2024年12月23日 上午9:05"),
            "year_first",
            datetime(2024, 5, 3, 21, 5),
        ),
        (("45415.5", "45435.25"), "excel_serial", datetime(2024, 5, 3, 12)),
        (("20240503210500", "20240523090000"), "%Y%m%d%H%M%S", datetime(2024, 5, 3, 21, 5)),
        (
            ("2024年5月3日 凌晨1:05", "2024年5月23日 星期四 傍晚6:05"),
            "year_first",
            datetime(2024, 5, 3, 1, 5),
        ),
        (("1714730400", "1716458400"), "epoch_seconds", datetime(2024, 5, 3, 10)),
        (("1714730400000", "1716458400000"), "epoch_milliseconds", datetime(2024, 5, 3, 10)),
        (("3 May 2024", "23 May 2024"), "%d %b %Y", datetime(2024, 5, 3)),
        (("May 3 2024", "May 23 2024"), "%b %d %Y", datetime(2024, 5, 3)),
        (("2024-05-03 08:00", "2024-05-23 08:00"), None, datetime(2024, 5, 3, 8)),
    ],
)
def test_moments_as_people_write_them(shop, values, reading, first) -> None:
    shop.zone = "UTC"
    rows = "".join(f"{n},m1,s1,{value},2,9.5\n" for n, value in enumerate(values))
    text, draft, folder = shop.draft(sales="Receipt,Member,SKU,Date,Qty,Price\n" + rows)
    assert draft["tables"]["transactions"].get("times", {}).get("ts") == reading
    shop.load_draft(text, folder)
    assert shop.column("ts")[0] == first


@pytest.mark.parametrize(
    ("values", "mark", "read"),
    [
        (("1.250,00", "7,5"), "comma", ("1250", "7.5")),
        (('"1,250.00"', "7.5"), "point", ("1250", "7.5")),
        (("$1250.00", "$7.50"), "point", ("1250", "7.5")),
        (("1\u00a0250,00 €", "7,50 €"), "comma", ("1250", "7.5")),
        (("1'250.00", "7.50"), "point", ("1250", "7.5")),
        (("１２５０．００", "７．５０"), "point", ("1250", "7.5")),
        (("١٢٥٠٫٠٠", "٧٫٥٠"), "point", ("1250", "7.5")),
        (("₹1,250.00", "₹7.50"), "point", ("1250", "7.5")),
        (("1,250.00 USD", "7.50 USD"), "point", ("1250", "7.5")),
        (("1250", "7.5"), None, ("1250", "7.5")),
    ],
)
def test_numbers_as_people_write_them(shop, values, mark, read) -> None:
    rows = "".join(
        f"{n};m1;s1;2024-05-0{n + 1};2;{value.strip(chr(34))}\n" for n, value in enumerate(values)
    )
    text, draft, folder = shop.draft(sales="Receipt;Member;SKU;Date;Qty;Price\n" + rows)
    assert draft["tables"]["transactions"].get("numbers", {}).get("unit_price") == mark
    shop.load_draft(text, folder)
    assert shop.column("unit_price") == [Decimal(value) for value in read]


def test_signs_of_accounting_are_minus(shop) -> None:
    rows = HEADER + 'o1,c1,p1,2024-05-01,(2),3\no2,c1,p1,2024-05-01,1-,"1,000.00"\n'
    numbers = {"quantity": "point", "unit_price": "point"}
    shop.load(sales(numbers=numbers), transactions=rows)
    assert shop.column("quantity") == [Decimal(-2), Decimal(-1)]
    assert shop.column("unit_price") == [Decimal(3), Decimal(1000)]


def test_a_number_that_reads_both_ways_is_asked_for(shop) -> None:
    rows = "1;m1;s1;2024-05-01;2;1.250\n2;m1;s1;2024-05-02;1;2.500\n"
    text, draft, folder = shop.draft(sales="Receipt;Member;SKU;Date;Qty;Price\n" + rows)
    assert draft["tables"]["transactions"]["numbers"] == {"unit_price": "ask"}
    assert "'1.250'" in text
    with pytest.raises(Exception, match="leaves open how unit_price"):
        shop.load_draft(text, folder)
    shop.load_draft(text.replace("ask", "comma"), folder)
    assert shop.column("unit_price") == [Decimal(1250), Decimal(2500)]


def test_two_digits_may_be_a_year_at_either_end(shop) -> None:
    rows = "1,m1,s1,03.05.24,2,9.5\n2,m1,s1,23.05.24,2,9.5\n"
    text, draft, _ = shop.draft(sales="Receipt,Member,SKU,Date,Qty,Price\n" + rows)
    assert draft["tables"]["transactions"]["times"] == {"ts": "ask"}
    assert "year_first or day_first" in text


def test_the_last_line_counts_as_much_as_the_first(shop) -> None:
    rows = "".join(f"{n},m1,s1,{n % 12 + 1}/2/2024,1,3\n" for n in range(6000))
    _, draft, _ = shop.draft(
        sales="Receipt,Member,SKU,Date,Qty,Price\n" + rows + "x,m1,s1,3/25/2024,1,3\n"
    )
    assert draft["tables"]["transactions"]["times"] == {"ts": "month_first"}


@pytest.mark.parametrize("name", ["bestellungen_umsatz", "ventas_2024", "订单明细", "ventes"])
def test_a_file_is_known_by_its_name_in_any_language(shop, name: str) -> None:
    rows = "1,m1,s1,2024-05-01,1,3\n"
    _, draft, _ = shop.draft(**{name: "ticket,client,sku,date,qty,price\n" + rows})
    assert draft["tables"]["transactions"]["source"] == name


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("销售明细", "销售日期,销售单号,会员卡号,商品货号,销售数量,销售单价"),
        ("订单", "支付时间,订单编号,收货人手机号,商品编码,购买数量,商品单价(元)"),
        ("売上", "売上日,伝票番号,会員番号,商品コード,数量,単価"),
        ("매출", "판매일,주문번호,회원번호,상품코드,수량,단가"),
        ("訂單", "訂購時間,訂單編號,會員編號,商品編號,數量,單價"),
        ("продажи", "Дата,Номер заказа,Клиент,Артикул,Количество,Цена"),
        ("vendite", "Data,Ordine,Cliente,Articolo,Quantità,Prezzo"),
        ("vendas", "Data,Pedido,Cliente,Produto,Quantidade,Preço"),
    ],
)
def test_an_export_is_known_by_its_words_in_any_language(shop, name: str, header: str) -> None:
    rows = "2024-05-01,D1,M1,S1,1,12.5\n2024-05-13,D2,M2,S2,2,3\n"
    text, _, folder = shop.draft(**{name: f"{header}\n{rows}"})
    shop.load_draft(text, folder)
    assert shop.column("unit_price") == [Decimal("12.5"), Decimal(3)]
    assert shop.column("customer_id") == ["M1", "M2"]


def test_a_draft_looks_past_lines_that_are_no_records(shop) -> None:
    rows = "1,m1,s1,03.05.2024,2,9\n2,m1,s1,23.05.2024,2\n3,m1,s1,24.05.2024,2,9,9\n"
    _, draft, _ = shop.draft(sales="Receipt,Member,SKU,Date,Qty,Price\n" + rows)
    assert draft["tables"]["transactions"]["times"] == {"ts": "day_first"}


def test_a_draft_in_another_encoding(shop) -> None:
    from nba.data.suggest import suggest_mapping

    content = "订单号,会员号,商品编码,下单时间,数量,单价\n1,v1,s1,2024/5/1 8:05,1,￥3.00\n"
    folder = shop.folder(订单=content.encode("gb18030"))
    text = suggest_mapping(folder, encoding="gb18030")
    shop.load_draft(text, folder)
    assert shop.column("ts") == [datetime(2024, 5, 1, 0, 5)]
    assert shop.column("unit_price") == [Decimal(3)]


def test_twelve_at_night_may_be_either_end_of_the_day(shop) -> None:
    mapping = sales(times={"ts": "year_first"})
    shop.load(mapping, transactions=lines("2024年5月3日 晚上12:05", "2024年5月4日 晚上9:05"))
    assert shop.column("ts") == [datetime(2024, 5, 4, 13, 5)]
    assert shop.quarantine == [("ts", "type", "2024年5月3日 晚上12:05")]


def priced(*prices: str) -> str:
    rows = (f"o{n:02};c1;p1;2024-05-01;1;{price}\n" for n, price in enumerate(prices))
    return HEADER.replace(",", ";") + "".join(rows)


def test_a_point_beside_decimal_commas_is_asked_for(shop) -> None:
    message = shop.refused(transactions=priced("12,50", "1.250"))
    assert "nobody can tell the decimal mark of the column unit_price" in message
    assert "numbers: {unit_price: comma}" in message
    shop.load(sales(numbers={"unit_price": "comma"}), transactions=priced("12,50", "1.250"))
    assert shop.column("unit_price") == [Decimal("12.5"), Decimal(1250)]


@pytest.mark.parametrize("prices", [("12,50", "1.25", "3"), ("1.250", "0.125", "3")])
def test_points_of_which_none_may_be_a_thousand_are_points(shop, prices) -> None:
    shop.load(transactions=priced(*prices))
    assert len(shop.quarantine) == sum("," in price for price in prices)


@pytest.mark.parametrize(
    ("name", "values", "is_asked"),
    [
        ("Discount", ("0.2", "0"), True),
        ("折扣", ("0.9", "1"), True),
        ("折扣", ("9", "8.5"), True),
        ("Discount", ("0", "0"), False),
        ("优惠金额", ("5", "0.5"), False),
    ],
)
def test_a_discount_may_be_a_share(shop, name, values, is_asked) -> None:
    rows = "".join(f"{n},m1,s1,2024-05-01,2,9.5,{value}\n" for n, value in enumerate(values))
    text, draft, folder = shop.draft(sales=f"Receipt,Member,SKU,Date,Qty,Price,{name}\n{rows}")
    numbers = draft["tables"]["transactions"].get("numbers", {})
    assert (numbers.get("discount") == "ask") is is_asked
    shop.load_draft(text.replace("ask", "point"), folder)
    assert shop.column("discount") == [Decimal(value) for value in values]


def test_discounts_that_cannot_be_money_off_are_told(shop, warned) -> None:
    header = HEADER.strip() + ",discount\n"
    shares = "o1,c1,p1,2024-05-01,2,9,0.2\no2,c1,p1,2024-05-01,2,9,0.1\n"
    found = warned(shop.load(transactions=header + shares))
    assert found["discount.share"][0] == 2
    money = "o3,c1,p1,2024-05-01,2,9,-3\no4,c1,p1,2024-05-01,1,9,10\no5,c1,p1,2024-05-01,-1,9,-1\n"
    found = warned(shop.load(transactions=header + money))
    assert {name: count for name, (count, _) in found.items() if "discount" in name} == {
        "discount.added": 1,
        "discount.worthless": 1,
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Type", "refund"),
        ("Status", "partially_refunded"),
        *(("Status", word) for word in ("Declined", "payment failed", "Abandoned", "Chargeback")),
        *(("Status", word) for word in ("VOIDED", "Cancelled", "Returned")),
        ("Vorgang", "STORNO"),
        *(("Status", word) for word in ("Storniert", "Rückgabe", "Rueckgabe", "Gutschrift")),
        ("Status", "Teilrückerstattung"),
        *(("订单状态", word) for word in ("已退款", "交易关闭", "已关闭", "已取消", "退款成功")),
        *(("Statut", word) for word in ("Annulé", "annule\u0301", "REMBOURSÉ")),
        *(("Estado", word) for word in ("anulado", "Cancelado", "devuelto", "Reembolsado")),
        *(("Stato", word) for word in ("Annullato", "reso", "Rimborsato")),
        *(("Situação", word) for word in ("Devolvido", "Estornado", "Cancelada")),
        *(("状態", word) for word in ("キャンセル", "ｷｬﾝｾﾙ済", "返品")),
        ("상태", "취소"),
        ("Статус", "Отменён"),
    ],
)
def test_a_draft_asks_about_lines_that_are_no_sales(shop, column: str, value: str) -> None:
    rows = f"1,m1,s1,2024-05-01,2,3,sale\n2,m1,s1,2024-05-02,2,3,{value}\n"
    text, _, _ = shop.draft(sales=f"Receipt,Member,SKU,Date,Qty,Price,{column}\n{rows}")
    assert f"# {column} holds {value!r}: lines that are no sales" in text


@pytest.mark.parametrize(
    "value",
    ["Resort", "resolved", "Avoided", "returning", "Not returned", "no refund", "nicht storniert",
     "contra reembolso", "Contre-remboursement", "annuel", "Residential", "未退款", "没有退款",
     "Free", "Devon", "Gutschein"],
)  # fmt: skip
def test_a_draft_does_not_ask_about_ordinary_words(shop, value: str) -> None:
    rows = f"1,m1,s1,2024-05-01,2,3,sale\n2,m1,s1,2024-05-02,2,3,{value}\n"
    text, _, _ = shop.draft(sales=f"Receipt,Member,SKU,Date,Qty,Price,Kind of line\n{rows}")
    assert "no sales" not in text


def test_an_encoding_that_was_recognised_is_said(shop) -> None:
    content = HEADER.strip() + ",attr_product_name\no1,c1,p1,2024-05-01,1,2,真丝围巾\n"
    report = shop.load(transactions=content.encode("gb18030"))
    assert "transactions.csv: text in GB18030" in report.recognised
    assert shop.load(transactions=content.encode()).recognised == []
