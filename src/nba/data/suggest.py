"""Draft a mapping from a folder of unknown files, by names, types and values.

The draft is a start for a person: what was guessed is said, what is missing is marked.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import yaml

from nba.data import sql
from nba.data.lake import connect
from nba.data.readers import SUFFIXES, Dialect, FileGroup, base_name, group
from nba.data.rules import input_columns, is_required
from nba.errors import InputRefusedError
from nba.schema.tables import TABLES, Column, Kind, Table

SAMPLE_ROWS = 5000
#: Other names of columns, in the order of how much they say.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "order_id": ("orderid", "order", "invoice", "invoiceno", "invoiceid", "basketid", "basket",
                 "ticket", "ticketid", "receipt", "receiptid", "transactionid", "orderno",
                 "ordernumber", "billno", "订单号", "订单编号"),
    "line_no": ("lineno", "line", "linenumber", "orderitemid", "itemno", "position", "行号"),
    "customer_id": ("customerid", "customer", "userid", "user", "memberid", "member", "clientid",
                    "householdkey", "household", "buyerid", "visitorid", "customerno", "openid",
                    "unionid", "会员号", "会员编号", "客户编号"),
    "product_id": ("productid", "product", "itemid", "item", "sku", "skuid", "stockcode",
                   "articleid", "article", "goodsid", "upc", "ean", "商品编码", "商品编号"),
    "ts": ("ts", "timestamp", "datetime", "date", "time", "orderdate", "invoicedate",
           "purchasedate", "transactiondate", "createdat", "ordertime", "saledate", "soldat",
           "tdat", "orderpurchasetimestamp", "下单时间", "交易时间"),
    "quantity": ("quantity", "qty", "units", "count", "pieces", "amountofitems", "numberofitems",
                 "数量"),
    "unit_price": ("unitprice", "price", "itemprice", "sellprice", "pricepaid", "单价"),
    "price": ("price", "listprice", "unitprice", "retailprice", "msrp", "单价"),
    "cost": ("cost", "unitcost", "purchaseprice", "成本"),
    "discount": ("discount", "discountamount", "rebate", "折扣"),
    "store_id": ("storeid", "store", "shopid", "shop", "branch", "branchid", "门店编号"),
    "clerk_id": ("clerkid", "clerk", "employeeid", "staffid", "salesperson", "seller", "导购编号"),
    "name": ("name", "title", "description", "productname", "prodname", "itemname", "storename",
             "名称"),
    "category": ("category", "categoryname", "categoryid", "producttype", "producttypename",
                 "department", "class", "productcategoryname", "品类"),
    "brand": ("brand", "brandname", "manufacturer", "品牌"),
    "birthday": ("birthday", "birthdate", "dateofbirth", "dob", "生日"),
    "gender": ("gender", "sex", "性别"),
    "city": ("city", "town", "customercity", "城市"),
    "joined_at": ("joinedat", "joindate", "registeredat", "registrationdate", "signupdate",
                  "membersince", "注册时间"),
    "kind": ("kind", "type", "event", "eventtype", "action"),
    "channel": ("channel", "saleschannel", "saleschannelid", "渠道"),
}  # fmt: skip
#: What a file's name says of its table.
FILE_WORDS: dict[str, tuple[str, ...]] = {
    "transactions": ("transaction", "order", "sale", "line", "invoice", "purchase", "basket",
                     "receipt", "item", "订单", "交易"),
    "customers": ("customer", "user", "member", "client", "buyer", "household", "会员", "客户"),
    "products": ("product", "article", "item", "goods", "sku", "catalog", "商品"),
    "stores": ("store", "shop", "branch", "门店"),
    "clerks": ("clerk", "employee", "staff", "seller", "导购"),
    "categories": ("categor", "department", "aisle", "品类"),
    "stock": ("stock", "inventory", "库存"),
    "interactions": ("interaction", "contact", "campaign", "message"),
    "responses": ("response", "click", "reply"),
}  # fmt: skip
_NUMERIC = (Kind.MONEY, Kind.QUANTITY, Kind.NUMBER, Kind.INTEGER)


@dataclass(frozen=True)
class _Seen:
    """One source column: its name, and the shares of values that read as times or numbers."""

    name: str
    times: float
    numbers: float
    filled: float


@dataclass(frozen=True)
class _Guess:
    """One file taken for one table."""

    path: Path
    table: Table
    columns: dict[str, str]
    left: tuple[str, ...]
    score: float

    @property
    def missing(self) -> list[str]:
        """Required columns for which nothing was found."""
        return [
            column.name
            for column in self.table.columns
            if is_required(self.table, column) and column.name not in self.columns
        ]


def suggest_mapping(folder: Path | str) -> str:
    """Return the draft of a mapping for the files of `folder`, as YAML with comments.

    Parameters
    ----------
    folder : Path or str

    Returns
    -------
    str
        Tables with `source` and `rename`; comments name required columns that were not found
        and source columns that were left over.

    Raises
    ------
    InputRefusedError
        Where the folder is missing or holds no file that can be read.
    """
    folder = Path(folder)
    paths = [path for path in sorted(folder.glob("*")) if path.name.endswith(SUFFIXES)]
    if not paths:
        raise InputRefusedError(
            f"the folder {folder} holds no tables",
            expected="CSV or Parquet files",
            found=", ".join(path.name for path in sorted(folder.glob("*"))[:10]) or "nothing",
            next_step="check the path",
        )
    guesses = _best([guess for path in paths for guess in _guesses(path)])
    unused = [path.name for path in paths if path not in {guess.path for guess in guesses}]
    return _draft(folder, guesses, unused)


def _guesses(path: Path) -> list[_Guess]:
    with connect() as connection, tempfile.TemporaryDirectory(prefix="nba-suggest-") as scratch:
        one = group(connection, [path], Dialect(), Path(scratch))[0]
        seen = _look(connection, one)
    return [_match(path, table, seen) for table in TABLES.values()]


def _look(connection: duckdb.DuckDBPyConnection, one: FileGroup) -> list[_Seen]:
    """Read a sample and say what its columns hold."""
    result = []
    for name in one.columns:
        value = f"nullif(CAST({sql.name(name)} AS VARCHAR), '')"
        row = connection.execute(
            f"""SELECT count(v), count(*) FILTER (WHERE TRY_CAST(v AS TIMESTAMP) IS NOT NULL
                AND TRY_CAST(v AS DOUBLE) IS NULL),
                count(*) FILTER (WHERE TRY_CAST(v AS DOUBLE) IS NOT NULL), count(*)
            FROM (SELECT {value} AS v FROM {one.scan()} LIMIT {SAMPLE_ROWS})"""
        ).fetchone()
        assert row is not None
        filled = max(row[0], 1)
        result.append(_Seen(name, row[1] / filled, row[2] / filled, row[0] / max(row[3], 1)))
    return result


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _match(path: Path, table: Table, seen: list[_Seen]) -> _Guess:
    """Give each column of the table the source column that fits best, each used once."""
    pairs = sorted(
        (
            (_fit(column, source, table), -position, column.name, source.name)
            for column in input_columns(table)
            for position, source in enumerate(seen)
        ),
        reverse=True,
    )
    columns: dict[str, str] = {}
    score = 0.0
    for fit, _, column, source in pairs:
        if fit > 0 and column not in columns and source not in columns.values():
            columns[column] = source
            score += fit
    left = tuple(source.name for source in seen if source.name not in columns.values())
    guess = _Guess(path, table, columns, left, 0.0)
    name = base_name(path).lower()
    words = FILE_WORDS.get(table.name, (table.name,))
    named = max((1.0 - 0.1 * rank for rank, word in enumerate(words) if word in name), default=0.0)
    required = max(1, len([c for c in table.columns if is_required(table, c)]))
    share = 1 - len(guess.missing) / required
    return _Guess(path, table, columns, left, share * (2 + named * 2) + score / 10)


def _fit(column: Column, source: _Seen, table: Table) -> float:
    """Return how well a source column fits, 0 for not at all."""
    name = _plain(source.name)
    synonyms = SYNONYMS.get(column.name, ())
    if name == _plain(column.name):
        fit = 1.0
    elif name in synonyms:
        fit = 0.9 - 0.4 * synonyms.index(name) / len(synonyms)
    elif column.name == "name" and name == f"{table.name.rstrip('s')}name":
        fit = 0.9
    else:
        return 0.0
    if column.kind is Kind.TIMESTAMP and source.times < 0.5:
        fit *= 0.3
    if column.kind in _NUMERIC and source.numbers < 0.5:
        return 0.0
    return fit


def _best(guesses: list[_Guess]) -> list[_Guess]:
    """One table per file and one file per table, the best guesses first."""
    chosen: list[_Guess] = []
    for guess in sorted(guesses, key=lambda guess: (-guess.score, str(guess.path))):
        taken = {other.path for other in chosen} | {other.table.name for other in chosen}
        key = [column for column in guess.table.key if column in guess.columns]
        if guess.path not in taken and guess.table.name not in taken and key and guess.score > 1:
            chosen.append(guess)
    order = list(TABLES)
    return sorted(chosen, key=lambda guess: order.index(guess.table.name))


def _draft(folder: Path, guesses: list[_Guess], unused: list[str]) -> str:
    lines = [
        f"# Drafted from {folder.name}; read every line, then try it with `nba ingest --check`.",
        "description: a draft",
        "tables:",
    ]
    for guess in guesses:
        source = _scalar(base_name(guess.path))
        lines += [f"  {guess.table.name}: # from {guess.path.name}", f"    source: {source}"]
        renamed = {column: name for column, name in guess.columns.items() if column != name}
        if renamed:
            lines.append("    rename:")
            lines += [f"      {column}: {_scalar(name)}" for column, name in renamed.items()]
        if guess.missing:
            lines.append(
                f"    # required and not found: {', '.join(guess.missing)} (use `derive` or "
                "`constants`)"
            )
        if guess.left:
            lines.append(f"    # left over: {', '.join(guess.left)} (keep one as attr_…)")
    if unused:
        lines.append(f"# no table was found for: {', '.join(unused)}")
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, allow_unicode=True, width=1000).splitlines()[0]
