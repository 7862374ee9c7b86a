"""Make the contract's tables of recognised exports: query by query, with files and lines kept."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

from nba.data import keys, readings, sql
from nba.data.exports import functions, overlaps, texts
from nba.data.exports.identities import FEW, KEYS, Resolved, resolve, who_sql
from nba.data.exports.kinds import ExportKind
from nba.data.exports.recognise import Found
from nba.data.folder import SourceFile
from nba.data.inputs import FILE, LINE, CsvInput, Input, ParquetInput, RowsInput
from nba.data.mapping import Mapping, TableMapping
from nba.data.report import IngestReport, Status
from nba.data.rules import input_columns
from nba.data.staging import Context, reading
from nba.schema.tables import ATTRIBUTE_PREFIX, LIMITS, TABLES, Kind
from nba.schema.words import CUSTOMER_ID

IDENTITIES: Final = "identities"
SALES: Final = "transactions"
_TIMES: Final = (Kind.TIMESTAMP, Kind.DATE, Kind.BIRTHDAY)
#: Money of a line, which is that of the project's currency only where the line says so.
_MONEY: Final = ("unit_price", "discount")
#: Whether a spreadsheet has cut an id or a phone number of the line.
_CUT: Final = "_cut"


@dataclass(frozen=True)
class Made:
    """One table of one export: a Parquet file of text, and where its rows come from.

    Lines of orders that are no sales are apart, `is_left_out`.
    """

    kind: ExportKind
    table: str
    path: Path
    columns: tuple[str, ...]
    files: tuple[SourceFile, ...]
    is_left_out: bool = False

    @property
    def rows(self) -> str:
        """The relation."""
        return sql.parquet([self.path])


@dataclass
class Translated:
    """What a folder's exports became.

    Parameters
    ----------
    mapping : Mapping
        How the texts are read.
    inputs : dict of str to list of Input
        By table.
    rejected : dict of str to list of str
        Tables of lines that are no records, by the table that they would have been of.
    is_whole : list of bool
        Of the inputs of `transactions`: whether they hold each of their orders as a whole.
    left_out : list of Input
        Lines of orders that are no sales: never paid, called off.
    """

    mapping: Mapping
    inputs: dict[str, list[Input]] = field(default_factory=dict)
    rejected: dict[str, list[str]] = field(default_factory=dict)
    is_whole: list[bool] = field(default_factory=list)
    left_out: list[Input] = field(default_factory=list)


class Translation:
    """The translation of one folder.

    Parameters
    ----------
    context : Context
        Its mapping is that of files which keep the contract.
    report : IngestReport
        Takes what was recognised and what needs a look.
    currency : str
        The project's.
    is_new : bool
        There are no sales yet, so that the first ones may be in another currency.
    dates : str
        The order of day and month in dates, see `nba.data.readings`; empty: as the dates show.
    """

    def __init__(
        self,
        context: Context,
        report: IngestReport,
        currency: str,
        *,
        is_new: bool,
        dates: str = "",
    ) -> None:
        self.context = context
        self.connection = context.connection
        self.report = report
        self.currency = currency
        self.is_new = is_new
        self.dates = dates
        self.space = context.scratch / "exports"
        self.space.mkdir(exist_ok=True)

    def run(self, found: Sequence[Found], known: str, past: str, secret: bytes) -> Translated:
        """Return the inputs of every table that the exports make.

        Parameters
        ----------
        found : sequence of Found
            All of them usable.
        known : str
            The relation of keys that are known, see `nba.data.exports.identities.resolve`.
        past : str
            The relation of the lake's sales.
        secret : bytes
            With which keys of customers are hashed.
        """
        functions.make(self.connection)
        self._past(past)
        kinds = list({export.kind.name: export.kind for export in found}.values())
        translated = Translated(_mapping(kinds, self.dates))
        made: list[Made] = []
        for kind in kinds:
            mine = overlaps.in_order([export for export in found if export.kind is kind])
            rejected = self._source(kind, mine)
            for name, query in kind.steps.items():
                self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
            self._note(kind, mine)
            tables = [self._make(kind, table, query, mine) for table, query in kind.tables.items()]
            for name in kind.steps:
                self.connection.execute(f"DROP TABLE {name}")
            translated.rejected.setdefault(tables[0].table, []).extend(rejected)
            made += tables
            if kind.left_out:
                self.connection.execute("CREATE OR REPLACE TEMP VIEW sales AS FROM left_out")
                query = kind.tables[SALES]
                made.append(self._make(kind, SALES, query, mine, is_left_out=True))
        self._resolve(made, known, secret, translated)
        return translated

    # ------------------------------------------------------------------ files to `source`

    def _source(self, kind: ExportKind, found: Sequence[Found]) -> list[str]:
        """Make the views of all files of a kind; return tables of rejected lines."""
        parts: list[str] = []
        rejected: list[str] = []
        for place, export in enumerate(found):
            target = self.space / f"{kind.name}-{place}-source.parquet"
            if export.file.is_json:
                rejected.append(self._json(export, target))
            else:
                rejected += self._rows(export, target)
            said = "true" if export.file.is_json else texts.says_something(export)
            parts.append(
                f"SELECT *, {place} AS {overlaps.PLACE} FROM {sql.parquet([target])} WHERE {said}"
            )
        everything = " UNION ALL BY NAME ".join(parts)
        overlaps.make_views(self.connection, kind, everything, self.report)
        return rejected

    def _past(self, sales: str) -> None:
        """Make the view `past` of the lake's sales, in the currency in which each was made."""
        columns = {row[0] for row in self.connection.execute(f"DESCRIBE {sales}").fetchall()}
        said = {
            name: sql.name(column) if (column := f"{ATTRIBUTE_PREFIX}{name}") in columns else "NULL"
            for name in ("currency", *_MONEY)
        }
        self.connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW past AS
            SELECT order_id, line_no, customer_id, product_id, ts, quantity,
                coalesce(unit_price, num({said["unit_price"]})) AS unit_price,
                coalesce(discount, num({said["discount"]}), 0) AS discount,
                {said["currency"]} AS currency FROM ({sales})"""
        )

    def _rows(self, one: Found, target: Path) -> list[str]:
        """Write the columns that the queries use, by their plain names."""
        incoming: Input = (
            CsvInput(one.group, {}, self.space)
            if one.group.is_text
            else ParquetInput(one.group, {})
        )
        marks, mark = texts.Marks(), ""
        with reading(one.kind.title, one.name), _in_order(self.connection):
            for _ in range(3):
                source = incoming.source(with_lines=True)
                cells = [texts.cell(one, name, mark) for name in one.kind.used]
                self._copy(
                    f"SELECT {', '.join(cells)}, {texts.cut(one)} AS {_CUT}, "
                    f"{sql.text(one.shown)} AS {FILE}, {LINE} FROM {source.relation}",
                    target,
                )
                again = incoming.settle(self.connection)
                if not again and mark:
                    break
                marks = texts.marks_of(self.connection, one, sql.parquet([target]))
                mark = marks.decimal
                if not again and mark == readings.POINT:
                    break
        self._tell_cells(one, target)
        self._tell_marks(one, marks)
        if not incoming.rejected:
            return []
        self.connection.execute(f"UPDATE {incoming.rejected} SET file = {sql.text(one.shown)}")
        return [incoming.rejected]

    def _tell_cells(self, one: Found, target: Path) -> None:
        """Say which lines of a file say nothing, and which a spreadsheet has cut."""
        rows = sql.parquet([target])
        counted = {
            "repeated_header": (texts.repeats_header(one), "lines repeat the header"),
            "blank_lines": (texts.is_blank(one), "lines are blank"),
            "cut_numbers": (
                _CUT,
                "lines hold ids or phone numbers that a spreadsheet has cut (such as 1.55501E+10): "
                "they join nobody; export again and load the file as it comes",
            ),
        }
        for name, (condition, what) in counted.items():
            count = keys.single_number(
                self.connection, f"SELECT count(*) FROM {rows} WHERE {condition}"
            )
            if count:
                text = f"{count:,} {what}, in {one.name}"
                self.report.add(Status.WARN, "input", name, text, count=count)
        if not keys.single_number(self.connection, f"SELECT count(*) FROM {rows}"):
            self.report.add(Status.WARN, "input", "no_rows", f"{one.name} has a header and no rows")

    def _tell_marks(self, one: Found, marks: texts.Marks) -> None:
        """Say how amounts are read where that is not as usual, or where nobody can tell."""
        if marks.unclear:
            text = (
                f"{marks.unclear:,} amounts in {one.name} may be thousands or have three "
                f"decimals, and no other shows which: {marks.example} is read as {marks.read_as}; "
                "where that is wrong, export amounts with two decimals, or say `numbers` in a "
                "mapping"
            )
            self.report.add(Status.WARN, "input", "unclear_amounts", text, count=marks.unclear)
        if marks.decimal != readings.POINT:
            text = f"amounts in {one.name} are read with a decimal comma"
            self.report.add(Status.PASS, "input", "decimal_comma", text)

    def _json(self, one: Found, target: Path) -> str:
        """Write the members that the queries use; return the table of lines that are no JSON."""
        lines = f"json_lines_{target.stem.replace('-', '_')}"
        with reading(one.kind.title, one.name), _in_order(self.connection):
            self.connection.execute(
                f"""CREATE OR REPLACE TEMP TABLE {lines} AS
                SELECT content, row_number() OVER () AS line, json_valid(content) AS good
                FROM {_objects(one.path)}"""
            )
            cells = [_member(one, name) for name in one.kind.used]
            self._copy(
                f"SELECT {', '.join(cells)}, {sql.text(one.shown)} AS {FILE}, line AS {LINE} "
                f"FROM {lines} WHERE good",
                target,
            )
        rejected = f"{lines}_rejected"
        self.connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE {rejected} AS
            SELECT {sql.text(one.shown)} AS file, line, '' AS "column", content,
                'no JSON' AS message FROM {lines} WHERE NOT good AND trim(content) <> ''"""
        )
        self.connection.execute(f"DROP TABLE {lines}")
        return rejected

    def _copy(self, query: str, target: Path) -> None:
        self.connection.execute(
            f"COPY ({query}) TO {sql.text(str(target))} (FORMAT parquet, COMPRESSION lz4)"
        )

    def _note(self, kind: ExportKind, found: Sequence[Found]) -> None:
        """Say what was recognised, which columns are not known, and what was counted."""
        for export in found:
            known = len(export.columns) - len(export.unknown)
            written = f", text in {export.group.encoding.upper()}" if export.group.encoding else ""
            self.report.recognised.append(
                f"{export.name}: {kind.title} ({known} of {len(export.columns)} columns known)"
                f"{written}"
            )
            if export.unknown:
                self.report.add(
                    Status.WARN,
                    "input",
                    "unknown_columns",
                    f"{len(export.unknown)} columns of {export.name} are not known of "
                    f"{kind.title} and were left out: {', '.join(export.unknown)}",
                    count=len(export.unknown),
                )
        for note in kind.notes:
            count = keys.single_number(self.connection, note.count)
            if count:
                text = f"{count:,} {note.text}"
                self.report.add(Status.WARN, "input", f"note.{kind.name}", text, count=count)

    # ------------------------------------------------------------------ `source` to tables

    def _make(
        self,
        kind: ExportKind,
        table: str,
        query: str,
        found: Sequence[Found],
        *,
        is_left_out: bool = False,
    ) -> Made:
        """Run one query; every column is text, with `_who` for all keys of the row."""
        rows = self.connection.execute(f"DESCRIBE {query}").fetchall()
        columns = [row[0] for row in rows]
        kept = ", ".join(
            f"CAST({sql.name(name)} AS VARCHAR) AS {sql.name(name)}"
            for name in columns
            if name not in (FILE, LINE, *KEYS)
        )
        target = self.space / f"{kind.name}-{table}{'-out' if is_left_out else ''}.parquet"
        self._copy(
            f"SELECT {kept}, {FILE}, {LINE}, {who_sql(kind.system, columns)} AS _who "
            f"FROM ({query})",
            target,
        )
        columns_left = tuple(name for name in columns if name not in (FILE, LINE, *KEYS))
        files = tuple(file for export in found for file in export.group.files)
        return Made(kind, table, target, columns_left, files, is_left_out)

    def _resolve(
        self, made: Sequence[Made], known: str, secret: bytes, translated: Translated
    ) -> None:
        """Put the customer in the place of the keys, and hand out the inputs."""
        outcome = resolve(
            self.connection, [part.rows for part in made], known, secret, self.context.keeper
        )
        self._tell(outcome)
        sold = [part for part in made if not part.is_left_out]
        main = self._main_currency(sold)
        translated.left_out = [self._final(part, main) for part in made if part.is_left_out]
        translated.is_whole = [bool(part.kind.order) for part in sold if part.table == SALES]
        for table in {part.table: None for part in sold}:
            mine = [part for part in sold if part.table == table]
            if table == "customers":
                translated.inputs[table] = [self._customers(mine)]
            else:
                translated.inputs[table] = [self._final(part, main) for part in mine]
        identities = f"SELECT *, 'identities' AS {FILE}, row_number() OVER () AS {LINE} "
        identities += "FROM found_identities ORDER BY kind, value"
        if keys.single_number(self.connection, "SELECT count(*) FROM found_identities"):
            columns = ["kind", "value", CUSTOMER_ID]
            translated.inputs[IDENTITIES] = [self._input(identities, IDENTITIES, columns, ())]

    def _tell(self, outcome: Resolved) -> None:
        words = {
            "joined": "customers are known to more than one system and were joined by exact keys",
            "shared": "e-mail addresses or phone numbers belong to several customers of one system "
            "and join nobody",
            "crowded": "e-mail addresses, phone numbers or browsers stand with more than "
            f"{FEW} phone numbers or e-mail addresses each, as placeholders do, and join nobody",
            "conflicts": "groups of keys would have made one of several customers of one system: "
            "they stay apart",
            "late": "customers known before turned out to be one with another: load their exports "
            "again to bring their past together",
        }
        for name, text in words.items():
            count = getattr(outcome, name)
            if count:
                status = Status.PASS if name == "joined" else Status.WARN
                line = f"{count:,} {text}"
                self.report.add(status, IDENTITIES, f"identities.{name}", line, count=count)

    def _input(
        self, query: str, name: str, columns: Sequence[str], files: Iterable[SourceFile]
    ) -> Input:
        target = self.space / f"final-{name}.parquet"
        self._copy(query, target)
        return RowsInput(target, list(columns), list(files))

    def _final(self, one: Made, main: str) -> Input:
        """One table of one export with its customers, and money of one currency only."""
        columns = _kept(one.table, one.columns)
        cells = [sql.name(name) for name in columns]
        if "currency" in one.columns:
            cells = [_money(name, main) for name in columns]
            extra = [f"attr_{name}" for name in ("currency", *_MONEY)]
            cells += ["currency AS attr_currency"]
            cells += [
                f"CASE WHEN upper(currency) <> {sql.text(main)} THEN {name} END AS attr_{name}"
                for name in _MONEY
            ]
            columns = [*columns, *extra]
        who = [f"{part}.{CUSTOMER_ID}" for part in ("t", "r")]
        who = who if CUSTOMER_ID in one.columns else who[1:]
        query = (
            f"SELECT {', '.join(cells)}, coalesce({', '.join(who)}) AS customer_id, {FILE}, {LINE} "
            f"FROM {one.rows} AS t "
            "LEFT JOIN resolved AS r ON t._who = r.who"
        )
        name = f"{one.kind.name}-{one.table}{'-out' if one.is_left_out else ''}"
        return self._input(query, name, [*columns, CUSTOMER_ID], one.files)

    def _customers(self, made: Sequence[Made]) -> Input:
        """All exports' customers, one row each: what the first export says counts."""
        columns = _kept("customers", {name: None for part in made for name in part.columns})
        parts = " UNION ALL BY NAME ".join(
            f"SELECT *, {place} AS _place FROM {part.rows}" for place, part in enumerate(made)
        )
        since = "friend_since"
        if since in columns and not keys.single_number(
            self.connection, f"SELECT count({since}) FROM ({parts})"
        ):
            columns.remove(since)  # no version of the tables says it: all are friends
        cells = [
            f"any_value({sql.name(name)} ORDER BY _place, {LINE}) AS {sql.name(name)}"
            for name in columns
        ]
        cells += [f"min({name}) AS {name}" for name in (FILE, LINE)]
        query = (
            f"SELECT r.customer_id, {', '.join(cells)} FROM ({parts}) AS t "
            "JOIN resolved AS r ON t._who = r.who GROUP BY r.customer_id"
        )
        files = [file for part in made for file in part.files]
        return self._input(query, "customers", [CUSTOMER_ID, *columns], files)

    def _main_currency(self, made: Sequence[Made]) -> str:
        """Return the project's currency; that of most lines where no line and no sale has it."""
        parts = [f"SELECT * FROM {part.rows}" for part in made if "currency" in part.columns]
        if not parts:
            return self.currency
        rows = self.connection.execute(
            "SELECT upper(currency), count(*), coalesce(sum(num(quantity) * num(unit_price) "
            f"- coalesce(num(discount), 0)), 0) FROM ({' UNION ALL BY NAME '.join(parts)}) "
            "WHERE currency IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        currencies = [row[0] for row in rows]
        if not currencies:
            return self.currency
        main = currencies[0] if self.is_new and self.currency not in currencies else self.currency
        self.report.currency = main
        for name, count, money in rows:
            text = f"{count:,} lines in {name} of {money:,.2f} in all"
            if name != main:
                text += f": no rate is known, they count with what their products cost in {main}"
            status = Status.PASS if name == main else Status.WARN
            self.report.add(status, "transactions", f"currency.{name}", text, count=count)
        return str(main)


def _in_order(connection: duckdb.DuckDBPyConnection) -> _Ordered:
    return _Ordered(connection)


class _Ordered:
    """While it lasts rows come in the order of their file, so that lines can be counted."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("SET preserve_insertion_order = true")

    def __exit__(self, *_: object) -> None:
        self._connection.execute("SET preserve_insertion_order = false")


def _objects(path: str) -> str:
    """SQL of the objects of a file of JSON as texts: one per line, or those of an array."""
    opener: Any = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig") as text:
        is_array = text.read(1 << 10).lstrip().startswith("[")
    if is_array:
        return (
            "(SELECT CAST(json AS VARCHAR) AS content "
            f"FROM read_json_objects({sql.text(path)}, format = 'array'))"
        )
    return (
        f"read_csv({sql.text(path)}, columns = {{'content': 'VARCHAR'}}, delim = chr(1), "
        "quote = '', escape = '', header = false, auto_detect = false, "
        "max_line_size = 100000000)"
    )


def _member(one: Found, name: str) -> str:
    """SQL of one member of a line of JSON; lines need not all have the same members."""
    path = sql.text(f'$."{one.kind.spelling.get(name, name)}"')
    return f"nullif(json_extract_string(content, {path}), '') AS {sql.name(name)}"


def _kept(table: str, columns: Iterable[str]) -> list[str]:
    """Return the columns that the contract has or keeps."""
    known = {column.name for column in input_columns(TABLES[table])} - {CUSTOMER_ID}
    return [name for name in columns if name in known or name.startswith(ATTRIBUTE_PREFIX)]


def _money(name: str, main: str) -> str:
    if name not in _MONEY:
        return sql.name(name)
    own = f"coalesce(upper(currency), {sql.text(main)}) = {sql.text(main)}"
    return f"CASE WHEN {own} THEN {name} END AS {name}"


def _mapping(kinds: Sequence[ExportKind], dates: str) -> Mapping:
    """Return how the texts of all tables are read."""
    times = tuple(dict.fromkeys(reading for kind in kinds for reading in kind.times))
    if dates:
        times = (dates, *(one for one in times if one not in readings.ORDERS))
    tables = {}
    for table in TABLES.values():
        columns = input_columns(table)
        tables[table.name] = TableMapping(
            source=(table.name,),
            numbers={column.name: "point" for column in columns if column.kind in LIMITS},
            times={column.name: times for column in columns if column.kind in _TIMES and times},
        )
    title = ", ".join(kind.title for kind in kinds)
    return Mapping(name=f"by header ({title})", tables=tables)
