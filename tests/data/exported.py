"""Files in the exact shape of well-known exports, and what their money comes to."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

CENT = Decimal("0.01")
_ADDRESS = ["Name", "Street", "Address1", "Address2", "Company", "City", "Zip", "Province",
            "Country", "Phone"]  # fmt: skip
SHOPIFY_ORDERS = [
    "Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Fulfilled at",
    "Accepts Marketing", "Currency", "Subtotal", "Shipping", "Taxes", "Total", "Discount Code",
    "Discount Amount", "Shipping Method", "Created at", "Lineitem quantity", "Lineitem name",
    "Lineitem price", "Lineitem compare at price", "Lineitem sku", "Lineitem requires shipping",
    "Lineitem taxable", "Lineitem fulfillment status", *[f"Billing {name}" for name in _ADDRESS],
    *[f"Shipping {name}" for name in _ADDRESS], "Notes", "Note Attributes", "Cancelled at",
    "Payment Method", "Payment Reference", "Refunded Amount", "Vendor", "Outstanding Balance",
    "Employee", "Location", "Device ID", "Id", "Tags", "Risk Level", "Source", "Lineitem discount",
    *[f"Tax {number} {what}" for number in range(1, 6) for what in ("Name", "Value")], "Phone",
    "Receipt Number", "Duties", "Billing Province Name", "Shipping Province Name", "Payment ID",
    "Payment Terms Name", "Next Payment Due At", "Payment References",
]  # fmt: skip
SHOPIFY_CUSTOMERS = [
    "Customer ID", "First Name", "Last Name", "Email", "Accepts Email Marketing",
    *[f"Default Address {name}" for name in ("Company", "Address1", "Address2", "City",
      "Province Code", "Country Code", "Zip", "Phone")],
    "Phone", "Accepts SMS Marketing", "Total Spent", "Total Orders", "Note", "Tax Exempt", "Tags",
]  # fmt: skip
SQUARE_ITEMS = [
    "Date", "Time", "Time Zone", "Category", "Item", "Qty", "Price Point Name", "SKU",
    "Modifiers Applied", "Gross Sales", "Discounts", "Net Sales", "Tax", "Transaction ID",
    "Payment ID", "Device Name", "Notes", "Details", "Event Type", "Location", "Dining Option",
    "Customer ID", "Customer Name", "Customer Reference ID", "Unit", "Count", "GTIN",
    "Itemization Type", "Commission", "Employee", "Fulfillment Note", "Channel", "Token",
    "Card Brand", "PAN Suffix",
]  # fmt: skip
WOO_ITEMS = [
    "order_id", "order_number", "order_number_formatted", "date", "status", "shipping_total",
    "shipping_tax_total", "fee_total", "fee_tax_total", "tax_total", "discount_total",
    "order_total",
    "refunded_total", "order_currency", "payment_method", "shipping_method", "customer_id",
    "billing_first_name", "billing_last_name", "billing_company", "billing_email", "billing_phone",
    "billing_address_1", "billing_postcode", "billing_city", "billing_state", "billing_country",
    "customer_note", "item_id", "item_product_id", "item_name", "item_sku", "item_quantity",
    "item_subtotal", "item_subtotal_tax", "item_total", "item_total_tax", "item_refunded",
    "item_refunded_qty", "item_meta", "shipping_items", "fee_items", "tax_items", "coupon_items",
    "order_notes", "download_permissions",
]  # fmt: skip
LIGHTSPEED = [
    "Date", "Receipt Number", "Line Type", "Customer Code", "Customer Name", "Note", "Quantity",
    "Subtotal", "Sales Tax", "Discount", "Loyalty", "Total", "Paid", "Details", "Register", "User",
    "Status", "Sku", "AccountCodeSale", "AccountCodePurchase",
]  # fmt: skip
LINKWECHAT_ORDERS = [
    "id", "order_no", "mch_no", "order_state", "total_fee", "pay_time", "product_id", "product_num",
    "contact", "phone", "address", "external_userid", "external_name", "external_avatar",
    "external_type", "we_user_id", "we_user_name", "mch_name", "mch_id", "create_time", "create_by",
    "create_by_id", "update_time", "update_by", "update_by_id", "del_flag", "payment_type",
    "remark",
    "total_refund_fee",
]  # fmt: skip
LINKWECHAT_CUSTOMERS = [
    "external_userid", "name", "avatar", "type", "gender", "unionid", "birthday", "corp_name",
    "corp_full_name", "position",
]  # fmt: skip
LINKWECHAT_TAGS = [
    "id", "flower_customer_rel_id", "tag_id", "tag_name", "external_userid", "user_id",
    "is_company_tag", "create_time", "create_by", "create_by_id", "update_time", "update_by",
    "update_by_id", "del_flag",
]  # fmt: skip
LINKWECHAT_MEMBERS = [
    "id", "user_id", "chat_id", "union_id", "join_time", "join_scene", "type", "group_nick_name",
    "name", "invitor_user_id", "create_time", "create_by", "create_by_id", "update_time",
    "update_by", "update_by_id", "del_flag",
]  # fmt: skip
MOCHAT_CONTACTS = [
    "id", "employee_id", "contact_id", "remark", "description", "remark_corp_name",
    "remark_mobiles", "add_way", "oper_userid", "state", "corp_id", "status", "create_time",
    "created_at", "updated_at", "deleted_at",
]  # fmt: skip
MOCHAT_RESULTS = [
    "id", "batch_id", "employee_id", "contact_id", "external_user_id", "user_id", "status",
    "send_time", "created_at", "updated_at",
]  # fmt: skip
Row = dict[str, Any]
Money = Counter[str]
_START = datetime(2025, 3, 1, 9, 30)


def write(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return CSV text with the columns in this order, empty where a row has none."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def money(cents: int) -> str:
    return f"{Decimal(cents) / 100:.2f}"


def shopify_orders(
    lines: int, seed: int = 1, currencies: str = "USD EUR"
) -> tuple[list[Row], Money]:
    """Orders of one to four lines, with discounts, refunds, tips and gift cards.

    Returns the rows, and what was sold less what came back, in cents per currency.
    """
    draw = random.Random(seed)
    rows: list[Row] = []
    sums: Money = Counter()
    while len(rows) < lines:
        number = 1000 + len(rows)
        currency = draw.choices(currencies.split(), [9, 1][: len(currencies.split())])[0]
        status = draw.choices(["paid", "refunded", "partially_refunded", "voided"], [88, 4, 5, 3])[
            0
        ]
        items = [_item(draw) for _ in range(min(draw.randint(1, 4), lines - len(rows)))]
        gross = sum(price * count for _, price, count, _ in items)
        own = sum(off for *_, off in items)
        code = draw.choice([0, 0, 0, (gross - own) // 7])
        subtotal = gross - own - code
        back = {"refunded": subtotal, "partially_refunded": subtotal // 3}.get(status, 0)
        when = _START + timedelta(minutes=437 * len(rows) % 500_000)
        who = draw.randint(1, 60)
        head = {
            "Email": f"Anna{who}@Example.com" if who % 5 else "", "Financial Status": status,
            "Currency": currency, "Subtotal": money(subtotal), "Shipping": "5.00", "Taxes": "1.10",
            "Total": money(subtotal + 610), "Discount Code": "SPRING" if code else "",
            "Discount Amount": money(code), "Created at": f"{when:%Y-%m-%d %H:%M:%S} -0400",
            "Accepts Marketing": "no", "Refunded Amount": money(back),
            "Id": str(5_000_000 + number),
            "Source": draw.choice(["web", "pos"]),
            "Notes": 'Ring "twice",\nthen wait' if who == 7 else "",
            "Phone": f"'+1 555 010 {who:04d}", "Billing City": "Boston", "Risk Level": "Low",
            "Location": "Main Street", "Employee": "Ines",
        }  # fmt: skip
        for place, (name, price, count, off) in enumerate(items):
            line = {
                "Name": f"#{number}", "Lineitem quantity": str(count), "Lineitem name": name,
                "Lineitem price": money(price), "Lineitem sku": f"SKU-{name[:5]}",
                "Lineitem requires shipping": "true", "Lineitem taxable": "true",
                "Lineitem fulfillment status": "fulfilled", "Lineitem discount": money(off),
                "Vendor": "House",
            }  # fmt: skip
            rows.append(line | (head if place == 0 else {}))
        if status != "voided":
            sums[currency] += subtotal - back
    return rows, sums


def _item(draw: random.Random) -> tuple[str, int, int, int]:
    name = draw.choice(["Green tea", "Black tea", "Mug, blue", "Kettle", "Biscuits"])
    price, count = draw.choice([450, 799, 1999, 12_345]), draw.randint(1, 3)
    return name, price, count, draw.choice([0, 0, 0, price * count // 10])


def shopify_customers(count: int = 60) -> list[Row]:
    return [
        {"Customer ID": f"'{7_000_000_000 + who}", "First Name": f"Anna {who}", "Last Name": "Li",
         "Email": f"anna{who}@example.com" if who % 5 else "", "Accepts Email Marketing": "no",
         "Phone": f"'+1555010{who:04d}", "Default Address City": "Boston", "Total Orders": "3",
         "Tags": "vip, tea"}
        for who in range(1, count + 1)
    ]  # fmt: skip


def square_items(lines: int, seed: int = 2) -> tuple[list[Row], Money]:
    draw = random.Random(seed)
    rows: list[Row] = []
    sums: Money = Counter()
    for number in range(lines):
        name, price, count, off = _item(draw)
        sign = -1 if draw.random() < 0.04 else 1
        gross, off = sign * price * count, sign * off
        when = _START + timedelta(minutes=53 * number % 500_000)
        who = draw.randint(0, 40)
        rows.append({
            "Date": f"{when:%Y-%m-%d}", "Time": f"{when:%H:%M:%S}",
            "Time Zone": "Eastern Time (US & Canada)", "Category": "Tea", "Item": name,
            "Qty": f"{sign * count}.0", "Price Point Name": "Regular", "SKU": "",
            "Gross Sales": _dollars(gross), "Discounts": _dollars(-off),
            "Net Sales": _dollars(gross - off), "Tax": "$0.00", "Transaction ID": f"T{number // 2}",
            "Event Type": "Payment" if sign > 0 else "Refund", "Location": "Main Street",
            "Customer ID": f"CUST{who}" if who else "", "Customer Name": f"Bo {who}" if who else "",
            "Itemization Type": "Physical Good", "Employee": "Linh",
        })  # fmt: skip
        sums[""] += gross - off
    return rows, sums


def _dollars(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}${Decimal(abs(cents)) / 100:,.2f}"


def woocommerce_orders(lines: int, seed: int = 3) -> tuple[list[Row], Money]:
    draw = random.Random(seed)
    rows: list[Row] = []
    sums: Money = Counter()
    for number in range(lines):
        name, price, count, off = _item(draw)
        order = number // 2
        status = "cancelled" if order % 25 == 3 else "completed"
        net = price * count - off
        back = net if number % 20 == 0 else 0
        rows.append({
            "order_id": str(order), "order_number": f"W{order}",
            "date": f"{_START + timedelta(hours=5 * order % 9_000):%Y-%m-%d %H:%M:%S}",
            "status": status,
            "order_total": money(net), "order_currency": "GBP", "customer_id": str(order % 30),
            "billing_first_name": "Cy", "billing_last_name": "Fox",
            "billing_email": f"anna{order % 30}@example.com", "billing_phone": "",
            "billing_city": "Leeds", "item_id": str(90_000 + number), "item_product_id": "12",
            "item_name": name, "item_sku": name[:3], "item_quantity": str(count),
            "item_subtotal": money(price * count), "item_total": money(net),
            "item_refunded": money(-back), "item_refunded_qty": str(-count if back else 0),
        })  # fmt: skip
        if status != "cancelled":
            sums["GBP"] += net - back
    return rows, sums


def lightspeed_sales(lines: int, seed: int = 4) -> tuple[list[Row], Money]:
    """Half of the lines are items; a receipt has its own line, and one per payment."""
    draw = random.Random(seed)
    rows: list[Row] = []
    sums: Money = Counter()
    while len(rows) < lines:
        number = len(rows)
        when = f"{_START + timedelta(minutes=31 * number):%Y-%m-%d %H:%M:%S}"
        who = draw.randint(0, 30)
        head = {"Date": when, "Receipt Number": f"R{number}", "Register": "Till 1", "User": "Mo",
                "Status": "voided" if number % 40 == 0 else "closed"}  # fmt: skip
        code = {"Customer Code": f"C{who}", "Customer Name": f"Di {who}"} if who else {}
        rows.append(head | code | {"Line Type": "Sale"})
        for _ in range(2):
            name, price, count, off = _item(draw)
            sign = -1 if draw.random() < 0.05 else 1
            net = sign * (price * count - off)
            rows.append(
                {"Date": when, "Receipt Number": f"R{number}", "Line Type": "Sale Line",
                 "Quantity": str(sign * count), "Subtotal": money(net),
                 "Discount": money(sign * off),
                 "Details": name, "Sku": name[:4]}
            )  # fmt: skip
            sums[""] += net if head["Status"] == "closed" else 0
        rows.append({"Date": when, "Receipt Number": f"R{number}", "Line Type": "Payment"})
    return rows, sums


def linkwechat_orders(lines: int, seed: int = 5) -> tuple[list[Row], Money]:
    draw = random.Random(seed)
    rows: list[Row] = []
    sums: Money = Counter()
    for number in range(lines):
        name, price, count, _ = _item(draw)
        back = price * count if number % 30 == 0 else 100 if number % 17 == 0 else 0
        who = draw.randint(1, 50)
        rows.append({
            "id": str(number), "order_no": f"L{number}", "total_fee": str(price * count),
            "pay_time": f"{_START + timedelta(hours=number % 9_000):%Y-%m-%d %H:%M:%S}",
            "order_state": "1",
            "product_id": name, "product_num": str(count), "phone": f"138{who:08d}",
            "external_userid": f"wm{who:04d}", "external_name": f"小{who}",
            "we_user_id": "ZhangSan",
            "del_flag": "1" if number % 50 == 49 else "0", "total_refund_fee": str(back),
            "create_time": "2025-01-01 00:00:00",
        })  # fmt: skip
        if number % 50 != 49:
            sums[""] += price * count - back
    return rows, sums


def linkwechat_customers(count: int = 50) -> list[Row]:
    return [
        {"external_userid": f"wm{who:04d}", "name": f"小{who}", "avatar": f"https://a.example/{who}",
         "type": "1", "gender": str(who % 3), "unionid": f"un{who}",
         "birthday": "1990-05-06 00:00:00"}
        for who in range(1, count + 1)
    ]  # fmt: skip


def linkwechat_tags(count: int = 200) -> list[Row]:
    return [
        {"id": str(n), "flower_customer_rel_id": str(n), "tag_id": f"et{n % 7}",
         "tag_name": f"爱好{n % 7}", "external_userid": f"wm{n:04d}", "user_id": "ZhangSan",
         "is_company_tag": "1", "create_time": "2025-04-01 12:00:00", "del_flag": "0"}
        for n in range(count)
    ]  # fmt: skip


def linkwechat_members(count: int = 200) -> list[Row]:
    return [
        {"id": str(n), "user_id": f"wm{n:04d}", "chat_id": f"wr{n % 9}", "union_id": f"un{n}",
         "join_time": "2025-04-02 08:00:00", "join_scene": "3", "type": "2", "name": f"小{n}",
         "del_flag": "0"}
        for n in range(count)
    ]  # fmt: skip


def mochat_contacts(count: int = 200) -> list[Row]:
    return [
        {"id": str(n), "employee_id": str(n % 4), "contact_id": str(1000 + n), "remark": f"王{n}",
         "remark_mobiles": f'["139{n:08d}"]', "status": "321"[n % 3] if n % 10 == 0 else "1",
         "create_time": "2025-02-03 10:00:00", "updated_at": "2025-05-05 10:00:00"}
        for n in range(count)
    ]  # fmt: skip


def mochat_results(count: int = 200) -> list[Row]:
    return [
        {"id": str(n), "batch_id": str(n // 50), "employee_id": str(n % 4),
         "contact_id": str(1000 + n), "external_user_id": f"wm{n:04d}", "status": str(n % 4),
         "send_time": "2025-06-01 10:00:00" if n % 4 == 1 else ""}
        for n in range(count)
    ]  # fmt: skip


def segment_events(lines: int, seed: int = 6) -> tuple[str, Money]:
    draw = random.Random(seed)
    events: list[Row] = []
    sums: Money = Counter()
    for number in range(lines):
        name, price, count, _ = _item(draw)
        who = draw.randint(1, 40)
        when = f"{_START + timedelta(minutes=17 * number):%Y-%m-%dT%H:%M:%S}.123Z"
        event: Row = {"type": "track", "messageId": f"m{number}", "timestamp": when,
                      "anonymousId": f"an{who}"}  # fmt: skip
        if number % 3 or who % 4 == 0:
            event["userId"] = f"u{who}"
        product = {"product_id": name, "name": name, "price": price / 100, "quantity": count}
        what = draw.choice(
            ["Product Viewed", "Products Searched", "Product Added", "Order Completed"]
        )
        event["event"] = what
        if what == "Order Completed":
            off = 100
            event["properties"] = {
                "order_id": f"S{number}",
                "currency": "USD",
                "discount": off / 100,
                "products": [product, {**product, "product_id": "Second"}],
            }
            sums["USD"] += 2 * price * count - off
        else:
            event["properties"] = {"query": "tea"} if what == "Products Searched" else product
        events.append(event)
    return "".join(json.dumps(one) + "\n" for one in events), sums


#: Export: its columns, and a maker of so many rows with what they come to.
LINE_EXPORTS: dict[str, tuple[list[str], Callable[[int], tuple[list[Row], Money]]]] = {
    "shopify_orders": (SHOPIFY_ORDERS, shopify_orders),
    "square_items": (SQUARE_ITEMS, square_items),
    "woocommerce_orders": (WOO_ITEMS, woocommerce_orders),
    "lightspeed_sales": (LIGHTSPEED, lightspeed_sales),
    "linkwechat_orders": (LINKWECHAT_ORDERS, linkwechat_orders),
}

#: Export: its columns, a maker of so many rows, and the table that has one row of each.
PEOPLE_EXPORTS: dict[str, tuple[list[str], Callable[[int], list[Row]], str]] = {
    "shopify_customers": (SHOPIFY_CUSTOMERS, shopify_customers, "customers"),
    "linkwechat_customers": (LINKWECHAT_CUSTOMERS, linkwechat_customers, "customers"),
    "linkwechat_tags": (LINKWECHAT_TAGS, linkwechat_tags, "tags"),
    "linkwechat_members": (LINKWECHAT_MEMBERS, linkwechat_members, "memberships"),
    "mochat_contacts": (MOCHAT_CONTACTS, mochat_contacts, "friendships"),
    "mochat_results": (MOCHAT_RESULTS, mochat_results, "interactions"),
}
