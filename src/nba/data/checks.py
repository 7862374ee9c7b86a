"""The checks of a load: one PASS, WARN or FAIL line each, with counts and the first offender."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from nba.data import clock, quarantine, sql
from nba.data.exports.overlaps import APART
from nba.data.folder import Folder
from nba.data.keys import Merged
from nba.data.lake import Writer, relation
from nba.data.mapping import Mapping
from nba.data.measure import Measure
from nba.data.prepare import Prepared
from nba.data.report import IngestReport, Status, Totals
from nba.data.staging import Context
from nba.data.together import PUT_TOGETHER
from nba.schema.tables import TABLES


def of_table(context: Context, report: IngestReport, prepared: Prepared) -> None:
    """Check one staged table: reconciliation, offences by rule, clock changes, its lines."""
    table = prepared.report
    name = table.name
    _reconcile(report, name, table.read, table.accepted + table.quarantined, table.has_money)
    if table.filtered:
        text = f"{table.filtered:,} source rows were left out by the mapping's filter"
        report.add(Status.PASS, name, "filtered", text, count=table.filtered)
    if not table.read.rows and not table.kept_out:
        report.add(Status.WARN, name, "rows", "the files have no rows")
    _unread(report, prepared)
    for file, encoding in prepared.encodings.items():
        report.recognised.append(f"{Path(file).name}: text in {encoding.upper()}")
    for file, (number, title) in prepared.titles.items():
        text = f"{number:,} lines above the header of {Path(file).name} were passed by"
        report.add(Status.WARN, name, "title", text, count=number, first=repr(title[:80]))
    _kept_out(report, prepared)
    _offences(context.connection, report, prepared)
    _clock(context, report, prepared)
    _states(context, report, prepared)
    if name == "transactions":
        _lines(context, report, prepared)


def of_columns(report: IngestReport, tables: list[Prepared]) -> None:
    """Report columns that no table took, by file."""
    ignored: dict[tuple[str, ...], set[str]] = {}
    names: dict[tuple[str, ...], str] = {}
    for prepared in tables:
        files = tuple(prepared.report.files)
        columns = {column for staged in prepared.staged for column in staged.ignored}
        ignored[files] = ignored.get(files, columns) & columns
        names.setdefault(files, prepared.table.name)
    for files, columns in ignored.items():
        if columns:
            listed = ", ".join(sorted(columns))
            report.add(
                Status.WARN,
                names[files],
                "unknown_columns",
                f"{len(columns)} columns are not in the contract and were left out: {listed} "
                "(name them attr_… to keep them)",
                count=len(columns),
                first=files[0] if files else "",
            )


def _clock(context: Context, report: IngestReport, prepared: Prepared) -> None:
    for code, (number, first) in prepared.measured.clock.items():
        name = "clock.missing" if code == clock.MISSING else "clock.ambiguous"
        text = clock.line(code, number, context.zone)
        report.add(Status.WARN, prepared.table.name, name, text, count=number, first=first)


def _states(context: Context, report: IngestReport, prepared: Prepared) -> None:
    """Say which values were replaced so that no older value stands as current."""
    for column, (count, example) in prepared.replaced.items():
        safe = prepared.table.by_name[column].safe
        report.add(
            Status.WARN,
            prepared.table.name,
            f"state.{column}",
            f"{count:,} values of {column} cannot be read or are out of range; they count as "
            f"{safe.meaning}, so that no older value stands as if it were current",
            count=count,
            first=repr(example),
        )
    if prepared.table.name == "stock":
        row = context.connection.execute(
            f"SELECT count(*), min(product_id) FROM {prepared.good} WHERE on_hand < 0"
        ).fetchone()
        assert row is not None
        if row[0]:
            text = f"{row[0]:,} rows of negative stock count as out of stock"
            report.add(
                Status.WARN, "stock", "negative", text, count=int(row[0]), first=f"product {row[1]}"
            )


def _reconcile(
    report: IngestReport, name: str, read: Totals, kept: Totals, with_money: bool
) -> None:
    status = Status.PASS if read == kept else Status.FAIL
    report.add(
        status,
        name,
        "reconciled",
        f"accepted plus quarantined {kept.text(with_money=with_money)} = "
        f"read {read.text(with_money=with_money)}"
        if status is Status.PASS
        else f"accepted plus quarantined {kept.text(with_money=with_money)}, but "
        f"read {read.text(with_money=with_money)}",
    )


def _kept_out(report: IngestReport, prepared: Prepared) -> None:
    """Say how many rows of erased customers were kept out; nothing says whose."""
    rows = prepared.report.kept_out
    if rows:
        text = f"{rows:,} rows of erased customers were kept out"
        others = prepared.report.kept_out_by_key
        if others:
            text += f", {others:,} of them by an e-mail, a phone or another key of theirs"
        report.add(Status.WARN, prepared.table.name, "erased", text, count=rows)


def _offences(
    connection: duckdb.DuckDBPyConnection, report: IngestReport, prepared: Prepared
) -> None:
    name = prepared.table.name
    if not prepared.report.quarantined.rows:
        report.add(Status.PASS, name, "quarantine", "every row keeps every rule")
        return
    rows = connection.execute(
        f"""SELECT "column", rule, expected, count(*), min_by([file, CAST(line AS VARCHAR),
        coalesce(left(value, 80), '')], coalesce(line, 0)) FROM ({quarantine.select(prepared)})
        GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    for column, rule, expected, count, (file, line, value) in rows:
        report.add(
            Status.WARN,
            name,
            f"quarantine.{rule}",
            f"{count:,} rows quarantined, {column or 'record'}: {rule} (expected {expected})",
            count=int(count),
            first=f"{file}, line {line}, {value!r}",
        )


def _unread(report: IngestReport, prepared: Prepared) -> None:
    """Warn of a table of which no row was accepted: its files are more likely read wrongly."""
    table = prepared.report
    if table.read.rows and not table.accepted.rows:
        report.add(
            Status.WARN,
            table.name,
            "nothing_accepted",
            f"not one of {table.read.rows:,} rows was accepted, so that nothing was loaded: see "
            "what was expected of them; correct the export, or say in a mapping how it is read "
            "(`nba quarantine retry --mapping`, or load again)",
            count=table.read.rows,
            first=table.files[0] if table.files else "",
        )


def _lines(context: Context, report: IngestReport, prepared: Prepared) -> None:
    """Say what the lines are: anonymous sales, returns, lines without a price."""
    lines = prepared.measured
    anonymous, returned, free = lines.anonymous, lines.returned, lines.free
    facts = prepared.report.facts
    facts.update(anonymous=anonymous, returned=returned, free=free)
    first, last = lines.first, lines.last
    if first is None or last is None:
        return
    first, last = (moment.astimezone(ZoneInfo(context.home)) for moment in (first, last))
    facts.update(first=first.isoformat(), last=last.isoformat())
    report.add(Status.PASS, "transactions", "span", f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    if anonymous:
        text = (
            f"{anonymous:,} lines without customer ({anonymous / lines.rows:.1%}) "
            "count for products and stores only"
        )
        report.add(Status.WARN, "transactions", "anonymous", text, count=anonymous)
    if returned:
        report.add(
            Status.PASS,
            "transactions",
            "returns",
            f"{returned:,} lines are returns",
            count=returned,
        )
    if free:
        report.add(
            Status.WARN, "transactions", "free", f"{free:,} lines have the price 0", count=free
        )
    _discounts(report, lines)


def _discounts(report: IngestReport, lines: Measure) -> None:
    """Warn of discounts that look like shares, or have the wrong sign or size."""
    largest = lines.largest_discount
    found = {
        "discount.share": (
            lines.discounted if largest is not None and largest <= 1 else 0,
            "lines have a discount, and none is above 1: it is money off the line; derive it in a "
            "mapping where these are shares",
        ),
        "discount.added": (
            lines.added,
            "sales have a negative discount, which makes them dearer: turn its sign in a mapping "
            "where it is none",
        ),
        "discount.worthless": (
            lines.worthless,
            "sales have a discount above what they cost: they count with less than nothing",
        ),
    }
    for name, (count, text) in found.items():
        if count:
            report.add(Status.WARN, "transactions", name, f"{count:,} {text}", count=count)


def of_orders(report: IngestReport, merged: Merged) -> None:
    """Say what became of orders that the lake knew before."""
    if merged.twins:
        report.add(
            Status.WARN,
            "transactions",
            "twins",
            f"{merged.twins:,} lines were known before with another kind of line number (from the "
            "API, or another export); each counts once",
            count=merged.twins,
        )
    _of_exports(report, merged)
    if not merged.known_orders:
        return
    what = f"{merged.known_orders:,} orders known before came with other lines: "
    what += (
        f"{merged.replaced_lines:,} lines that did not come again were replaced"
        if merged.replaced_lines
        else f"{merged.other_lines:,} lines that did not come again were kept (where the files "
        "hold whole orders, say `whole_orders: true` in a mapping)"
    )
    report.add(
        Status.WARN,
        "transactions",
        "known_orders",
        what,
        count=merged.known_orders,
        first=f"order {merged.first_known_order}",
    )


def _of_exports(report: IngestReport, merged: Merged) -> None:
    """Say which lines left since their orders came as a whole, and which orders are two."""
    if merged.withdrawn_lines:
        report.add(
            Status.WARN,
            "transactions",
            "withdrawn",
            f"{merged.withdrawn_lines:,} lines of {merged.withdrawn_orders:,} orders known before "
            "left the lake: the export now has these orders without them, unpaid or called off",
            count=merged.withdrawn_lines,
            first=f"order {merged.first_withdrawn}",
        )
    if merged.mixed_orders:
        shown = ", ".join(merged.mixed_orders[:3])
        report.add(
            Status.FAIL,
            "transactions",
            "mixed_orders",
            f"{len(merged.mixed_orders):,} order numbers of the export are known as orders of "
            f"other customers at other times ({shown}), as of two shops: {APART}",
            count=len(merged.mixed_orders),
        )


def of_filled(report: IngestReport, table: str, merged: Merged) -> None:
    """Say which columns the load did not have, so that what the lake knew stays."""
    if merged.filled_rows:
        report.add(
            Status.PASS,
            table,
            "absent_columns",
            f"{merged.filled_rows:,} rows keep what was known of columns that the load does not "
            f"have: {', '.join(merged.filled)}",
            count=merged.filled_rows,
        )


def of_merge(
    context: Context,
    report: IngestReport,
    prepared: Prepared,
    state: tuple[Writer, Dict[str, Prepared]],
) -> None:
    """Check one table after its merge: rows add up, repeated keys, orphans.

    Parameters
    ----------
    context : Context
    report : IngestReport
        Where the checks are added.
    prepared : Prepared
        The table, after its merge.
    state : (Writer, mapping of str to Prepared)
        The lake before the load, and what the load brought, by table.
    """
    table = report.tables[prepared.table.name]
    placed = table.new + table.changed + table.unchanged + table.repeated
    status = Status.PASS if placed == table.accepted.rows else Status.FAIL
    report.add(
        status,
        table.name,
        "placed",
        f"{table.new:,} new + {table.changed:,} changed + {table.unchanged:,} unchanged + "
        f"{table.repeated:,} repeated = {table.accepted.rows:,} accepted",
    )
    equal = table.facts.get("equal_lines", 0)
    if equal:
        report.add(
            Status.WARN,
            table.name,
            "exact_duplicates",
            f"{equal:,} lines repeat order, product, time, quantity and price of another "
            f"({table.facts['exact_duplicates']:,} of them are exact duplicates); "
            "each was kept as a line of its own",
            count=equal,
        )
    repeated = table.repeated - table.facts.get(PUT_TOGETHER, 0)
    if repeated > 0:
        report.add(
            Status.WARN,
            table.name,
            "repeated_keys",
            f"{repeated:,} rows repeat a key of the same load; the last by file and line counts",
            count=repeated,
        )
    _orphans(context.connection, report, prepared, state)


def _orphans(
    connection: duckdb.DuckDBPyConnection,
    report: IngestReport,
    prepared: Prepared,
    state: tuple[Writer, Dict[str, Prepared]],
) -> None:
    """Report ids that name nothing; an absent table is derived and has no orphans."""
    for column in prepared.table.columns:
        if not column.references or column.name not in prepared.columns:
            continue
        known = _known_ids(column.references, *state)
        if known is None:
            continue
        row = connection.execute(
            f"SELECT count(*), count(DISTINCT i.id), min(i.id) FROM (SELECT "
            f"{sql.name(column.name)} AS id FROM {prepared.good}) AS i "
            f"WHERE i.id IS NOT NULL AND i.id NOT IN (SELECT id FROM {known})"
        ).fetchone()
        assert row is not None
        if row[0]:
            report.add(
                Status.WARN,
                prepared.table.name,
                f"unknown.{column.name}",
                f"{row[0]:,} rows name {row[1]:,} {column.name} that {column.references} "
                "does not have; they were kept",
                count=int(row[0]),
                first=str(row[2]),
            )


def _known_ids(table: str, writer: Writer, brought: Dict[str, Prepared]) -> str | None:
    """Return a relation of the ids of `table` in the lake and in this load."""
    contract = TABLES[table]
    key = sql.name(contract.key[0])
    files = [
        writer.lake.root / file
        for partition in writer.before.tables.get(table, {}).values()
        for file in partition.files
    ]
    if not files and table not in brought:
        return None
    parts = [f"SELECT {key} AS id FROM ({relation(contract, files)})"]
    if table in brought:
        parts.append(f"SELECT {key} AS id FROM {brought[table].good}")
    return f"({' UNION '.join(parts)})"


def of_folder(report: IngestReport, left: Folder, mapping: Mapping) -> None:
    """Report files of the folder that no table took.

    Parameters
    ----------
    report : IngestReport
        Where the warning is added.
    left : Folder
        The folder of the load, without what some table took.
    mapping : Mapping
        Its name stands in the warning.
    """
    names = [one.shown.removeprefix(f"{left.path}/") for one in left.files]
    names = sorted([*names, *(str(one.path.relative_to(left.path)) for one in left.unread)])
    if names:
        report.add(
            Status.WARN,
            "input",
            "unknown_files",
            f"{len(names)} files were not read: the mapping {mapping.name} has no table for them, "
            "or takes another file first",
            count=len(names),
            first=names[0],
        )
