"""Prepare one table of a load: find its inputs, stage them, sum up what was read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from nba.data import keys, readings, sql
from nba.data.direct import can_place, is_clean, stage_in_place, stage_placed
from nba.data.folder import Folder, SourceFile
from nba.data.inputs import CsvInput, Input, ParquetInput, QueryInput, materialise
from nba.data.kept_out import blank_lines, keep_out
from nba.data.mapping import TableMapping
from nba.data.measure import ERROR, LINE_AMOUNT, MONEY, VALUE, Measure, measure
from nba.data.readers import Dialect, FileGroup, group
from nba.data.report import TableReport, Totals
from nba.data.settle import settle
from nba.data.staging import Context, Staged, expressions, replaced, stage
from nba.errors import InputRefusedError
from nba.schema.tables import LIMITS, Table

#: Fewer values than this that cannot be read are bad rows, not a column of the wrong type.
WRONG_TYPE_MINIMUM = 3
#: A number with a point that may be a thousand.
_THOUSAND: Final = r"[-+]?[1-9]\d{0,2}\.\d{3}"


@dataclass
class Prepared:
    """One table, staged and counted, ready to be merged.

    Parameters
    ----------
    table : Table
    overlap : bool
    report : TableReport
    staged : list of Staged
    rejected : list of str
        Temporary tables of CSV lines that are no records.
    files : list of SourceFile
    names : dict of str to str
        File as read to file as shown.
    measured : Measure
        The accepted rows.
    replaced : dict of str to (int, str)
        Values of states that a safe one replaces, by column: how many, and one of them.
    headers : dict of str to tuple of str
        CSV file to the names in its first line.
    encodings : dict of str to str
        CSV file to its encoding, where only its bytes say it and it is not UTF-8.
    whole : str
        Of `transactions`: the relation (order_id, line_no, customer_id, ts) of orders that the load
        has as a whole, with no number for orders that are no sales; empty where there are none.
    titles : dict of str to (int, str)
        CSV file to how many lines stand above its header, and the first of them.
    """

    table: Table
    overlap: bool
    report: TableReport
    staged: list[Staged] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    files: list[SourceFile] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    measured: Measure = field(default_factory=Measure)
    replaced: dict[str, tuple[int, str]] = field(default_factory=dict)
    headers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)
    whole: str = ""
    titles: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def rows(self) -> str:
        """The relation of all staged rows, good and bad."""
        return _union([staged.relation for staged in self.staged])

    @property
    def good(self) -> str:
        """The relation of the rows that are accepted."""
        return _union([staged.good for staged in self.staged])

    @property
    def unique(self) -> bool:
        """Whether it is known that no key stands twice."""
        return len(self.staged) == 1 and self.staged[0].unique

    @property
    def placed(self) -> dict[str, list[Path]] | None:
        """Files by partition, where the rows have been written as the lake keeps them."""
        return self.staged[0].placed if len(self.staged) == 1 else None

    @property
    def columns(self) -> set[str]:
        """The columns that the input brought."""
        return {name for staged in self.staged for name in staged.columns}


def _union(relations: list[str]) -> str:
    """Return one relation of several, by the names of their columns."""
    if len(relations) == 1:
        return relations[0]
    return f"({' UNION ALL BY NAME '.join(f'SELECT * FROM {relation}' for relation in relations)})"


def stage_inputs(
    context: Context, table: Table, inputs: list[Input], rejected: list[str]
) -> Prepared:
    """Stage the rows of `inputs`; `count_rows` is to follow.

    Parameters
    ----------
    context : Context
    table : Table
    inputs : list of Input
        What to read, in order; several may come from one file.
    rejected : list of str
        Temporary tables of CSV lines that were no records.

    Raises
    ------
    InputRefusedError
        Where a file or a column makes the whole table unusable.
    """
    files = [file for incoming in inputs for file in incoming.files]
    context = settle(context, table, inputs)
    own = context.mapping.tables[table.name]
    shown = [name for incoming in inputs for name in incoming.shown]
    report = TableReport(table.name, list(dict.fromkeys(shown)))
    prepared = Prepared(table, own.overlap, report, files=files, rejected=rejected)
    for number, incoming in enumerate(inputs):
        staged = _stage(context, table, incoming, number, alone=len(inputs) == 1)
        _refuse_mixed_marks(context, table, incoming, staged)
        prepared.staged.append(staged)
        prepared.names.update(incoming.names)
        prepared.titles.update(incoming.titles)
        source = incoming.source()
        if incoming.encoding:
            prepared.encodings |= dict.fromkeys(incoming.shown, incoming.encoding)
        if source.header:
            prepared.headers[source.shown] = tuple(source.header.values())
        for column, (count, example) in replaced(context, table, source).items():
            earlier = prepared.replaced.get(column, (0, example))
            prepared.replaced[column] = (earlier[0] + count, earlier[1])
    if own.filter and not own.distinct:
        report.filtered = sum(_filtered(context, own, incoming) for incoming in inputs)
    return prepared


def note_aliases(context: Context, prepared: Sequence[Prepared]) -> None:
    """Find out, from tables of customers and their keys, under which ids erased ones come."""
    if context.keeper is None:
        return
    # what one table says of somebody, the other may say of their keys
    for table in (*prepared, *prepared):
        for staged in table.staged:
            context.keeper.note_aliases(table.table.name, staged.good, staged.columns)


def count_rows(context: Context, prepared: Prepared) -> None:
    """Take out the rows of erased customers, and count what was read.

    Raises
    ------
    InputRefusedError
        Where not one value of a column can be read.
    """
    _keep_out(context, prepared)
    _sum_up(context.connection, prepared)
    _refuse_wrong_types(context.connection, prepared)


def _keep_out(context: Context, prepared: Prepared) -> None:
    """Take erased customers out of what was staged."""
    keeper, report = context.keeper, prepared.report
    if keeper is None:
        return
    for staged in prepared.staged:
        rows, others = keep_out(staged, keeper)
        report.kept_out += rows
        report.kept_out_by_key += others
    for name in (*prepared.rejected, *(staged.rejected for staged in prepared.staged)):
        if name:
            report.kept_out += blank_lines(name, keeper)


def find_inputs(context: Context, folder: Folder, table: Table) -> tuple[list[Input], list[str]]:
    """Return the inputs of `table`, and tables of CSV lines that were rejected before."""
    mapping = context.mapping
    own = mapping.tables[table.name]
    space = context.scratch / table.name
    space.mkdir(exist_ok=True)
    if own.query:
        return _query_inputs(context, folder, own, space)
    groups = group(
        context.connection,
        folder.find(own.source),
        Dialect(mapping.delimiter, mapping.encoding, own.header),
        space,
        _hints(context, table, own),
    )
    return [_input(context, files, space) for files in groups], []


def _hints(context: Context, table: Table, own: TableMapping) -> frozenset[str]:
    renamed = {name for names in own.rename.values() for name in names}
    return frozenset({*table.by_name, *renamed, *context.mapping.aliases})


def _input(context: Context, files: FileGroup, space: Path) -> Input:
    if files.is_text:
        return CsvInput(files, context.mapping.aliases, space)
    return ParquetInput(files, context.mapping.aliases)


def _query_inputs(
    context: Context, folder: Folder, own: TableMapping, space: Path
) -> tuple[list[Input], list[str]]:
    """Make a view per named source that the query mentions; nothing where one is absent."""
    connection, mapping = context.connection, context.mapping
    inputs: list[Input] = []
    rejected: list[str] = []
    for name, patterns in mapping.sources.items():
        if name not in own.query:
            continue
        dialect = Dialect(mapping.delimiter, mapping.encoding)
        groups = group(connection, folder.find(patterns), dialect, space)
        if not groups:
            return [], []
        parts = []
        for number, described in enumerate(groups):
            incoming = _input(context, described, space)
            parts.append(materialise(connection, incoming, space / f"{name}-{number}.parquet"))
            inputs.append(incoming)
            rejected += [incoming.rejected] if incoming.rejected else []
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM {part}" for part in parts)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {sql.name(name)} AS {union}")
    return [QueryInput(connection, own.query, inputs)], rejected


def _stage(context: Context, table: Table, incoming: Input, number: int, *, alone: bool) -> Staged:
    """Stage one input, in one go where it is clean."""
    own = context.mapping.tables[table.name]
    if isinstance(incoming, ParquetInput) and not (own.distinct or own.derive):
        view = f"staged_{table.name}_{number}"
        in_place = stage_in_place(context, table, incoming.source(), view)
        if in_place is not None:
            return in_place
    dirty = False
    if isinstance(incoming, CsvInput) and alone and can_place(table, own):
        placed = _stage_placed(context, table, incoming)
        if is_clean(context.connection, table, placed):
            placed.rejected = incoming.rejected
            return placed
        dirty = True
    return _stage_apart(context, table, incoming, number, dirty=dirty)


def _stage_placed(context: Context, table: Table, incoming: CsvInput) -> Staged:
    """Write the rows as the lake keeps them; a second time where quotes were broken."""
    folder = context.scratch / table.name / "placed"
    staged = stage_placed(context, table, incoming.source(), folder)
    if incoming.settle(context.connection):
        shutil.rmtree(folder)
        staged = stage_placed(context, table, incoming.source(), folder)
        incoming.settle(context.connection)
    return staged


def _stage_apart(
    context: Context, table: Table, incoming: Input, number: int, *, dirty: bool
) -> Staged:
    """Stage one input to a file; once more where quotes were broken or lines must be numbered.

    Where it is known to be `dirty`, its rejected lines have been set aside and it is numbered
    at once.
    """
    target = context.scratch / table.name / f"staged-{number}.parquet"
    target.parent.mkdir(exist_ok=True)
    staged = stage(context, table, incoming.source(with_lines=dirty), target)
    if not dirty and incoming.settle(context.connection):
        staged = stage(context, table, incoming.source(), target)
        incoming.settle(context.connection)
    if isinstance(incoming, CsvInput) and not dirty:
        if _needs_lines(context.connection, table, staged):
            staged = stage(context, table, incoming.source(with_lines=True), target)
        else:
            numbered = "line_no" in staged.columns or table.name != "transactions"
            staged.unique = numbered and not table.history
    staged.rejected = incoming.rejected
    return staged


def _filtered(context: Context, own: TableMapping, incoming: Input) -> int:
    """Count the source rows that the mapping's filter leaves out."""
    relation = incoming.source().relation
    row = context.connection.execute(
        f"SELECT count(*) FROM {relation} AS source WHERE ({own.filter}) IS NOT TRUE"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _needs_lines(connection: duckdb.DuckDBPyConnection, table: Table, staged: Staged) -> bool:
    """Whether a row is bad, or two rows have one key of which the later must win."""
    if connection.execute(f"SELECT 1 FROM {staged.bad} LIMIT 1").fetchone() is not None:
        return True
    key = [name for name in table.key if name in staged.columns]
    if table.name == "transactions" and "line_no" not in key:
        return False
    return keys.repeated(connection, staged.relation, key) > 0


def _sum_up(connection: duckdb.DuckDBPyConnection, prepared: Prepared) -> None:
    """Measure the rows that were accepted, those that were not, and all that were read."""
    report, table, columns = prepared.report, prepared.table, prepared.columns
    report.has_money = columns >= MONEY
    known = prepared.staged[0].measured if len(prepared.staged) == 1 else None
    prepared.measured = known or measure(connection, table, columns, prepared.good)
    report.accepted = _totals(prepared.measured)
    report.read = report.accepted
    if known is None:
        bad = _union([staged.bad for staged in prepared.staged])
        report.quarantined, report.read = (
            _counted(connection, rows, report.has_money) for rows in (bad, prepared.rows)
        )
    tables = [*prepared.rejected, *(staged.rejected for staged in prepared.staged)]
    prepared.rejected = [name for name in tables if name]
    rejected = Totals(
        sum(
            keys.single_number(connection, f"SELECT count(*) FROM {name}")
            for name in prepared.rejected
        )
    )
    report.read += rejected
    report.quarantined += rejected


def _totals(measured: Measure) -> Totals:
    return Totals(measured.rows, measured.quantity, measured.money)


def _counted(connection: duckdb.DuckDBPyConnection, rows: str, has_money: bool) -> Totals:
    sums = f"coalesce(sum(quantity), 0), coalesce(sum({LINE_AMOUNT}), 0)"
    row = connection.execute(
        f"SELECT count(*), {sums if has_money else '0, 0'} FROM {rows}"
    ).fetchone()
    assert row is not None
    return Totals(*row)


def _refuse_wrong_types(connection: duckdb.DuckDBPyConnection, prepared: Prepared) -> None:
    """Refuse a column of which not one value can be read: it is another column, or format."""
    for staged in prepared.staged:
        rows = staged.relation
        broken = connection.execute(
            f"SELECT {ERROR}, count(*), min(_value), min(_file) FROM {staged.bad} GROUP BY 1"
        ).fetchall()
        for number, count, value, file in broken:
            rule = staged.rules[number]
            if rule.name != "type" or count < WRONG_TYPE_MINIMUM:
                continue
            good = connection.execute(
                f"SELECT count({sql.name(rule.column)}) FROM {rows}"
            ).fetchone()
            assert good is not None
            if not good[0]:
                raise InputRefusedError(
                    f"{prepared.table.name}: the column {rule.column} of "
                    f"{prepared.names.get(file, file)} has the wrong type",
                    expected=rule.expected,
                    found=f"{count:,} values of which none can be read, such as {value!r}",
                    next_step="correct the export, or rename or derive the column in a mapping",
                )


def _refuse_mixed_marks(context: Context, table: Table, incoming: Input, staged: Staged) -> None:
    """Refuse a column of numbers of which some have a decimal comma and others, it seems, points.

    Beside `12,50` a `1.250` is more likely a thousand than one and a quarter.
    """
    own = context.mapping.tables[table.name]
    for number, rule in enumerate(staged.rules):
        column = table.by_name.get(rule.column)
        if rule.name != "type" or column is None or column.kind not in LIMITS:
            continue
        if rule.column in own.numbers:
            continue
        comma = _first(
            context,
            f"{staged.bad} WHERE {ERROR} = {number} AND contains({VALUE}, ',') "
            f"AND {readings.number_sql(VALUE, readings.COMMA)} IS NOT NULL",
            VALUE,
        )
        if not comma:
            continue
        source = incoming.source()
        text = f"trim(CAST({expressions(table, own, source)[rule.column]} AS VARCHAR))"
        group = _first(
            context,
            f"{source.relation} AS source WHERE regexp_full_match({text}, {sql.text(_THOUSAND)})",
            text,
        )
        if group:
            raise InputRefusedError(
                f"{table.name}: nobody can tell the decimal mark of the column {rule.column} of "
                f"{source.shown}",
                expected="one mark before the decimals",
                found=f"{comma!r}, and {group!r}, which may be a thousand",
                next_step=f"say `numbers: {{{rule.column}: comma}}` (or `point`) in a mapping, or "
                "correct the export",
            )


def _first(context: Context, rows: str, text: str) -> str:
    """Return the least of some texts, empty where there are no rows."""
    found = context.connection.execute(f"SELECT min({text}) FROM {rows}").fetchone()
    return found[0] or "" if found is not None else ""
