"""Prepare one table of a load: find its files, stage them, sum up what was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from nba.data import sql
from nba.data.mapping import Mapping, TableMapping
from nba.data.readers import Dialect, FileGroup, SourceFile, find, group
from nba.data.report import TableReport, Totals
from nba.data.staging import ERROR, Source, Staged, source_of, stage
from nba.errors import InputRefusedError
from nba.schema.tables import ATTRIBUTE_PREFIX, Table

#: Fewer values than this that cannot be read are bad rows, not a column of the wrong type.
WRONG_TYPE_MINIMUM = 3


@dataclass
class Prepared:
    """One table, staged and counted, ready to be merged.

    Parameters
    ----------
    table : Table
    overlap : bool
    staged : list of Staged
    rejects : list of str
        Temporary DuckDB tables of CSV lines that are no records.
    names : dict of str to str
        File as read to file as shown.
    """

    table: Table
    overlap: bool
    report: TableReport
    staged: list[Staged] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)
    files: list[SourceFile] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def staged_files(self) -> list[Path]:
        """The staged Parquet files."""
        return [staged.path for staged in self.staged]

    @property
    def rows(self) -> str:
        """The relation of all staged rows, good and bad."""
        return sql.parquet(self.staged_files)


def prepare(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    table: Table,
    mapping: Mapping,
    *,
    zone: str,
    now: datetime,
    scratch: Path,
) -> Prepared | None:
    """Stage one table; None where the folder holds no file for it.

    Raises
    ------
    InputRefusedError
        Where a file or a column makes the whole table unusable.
    """
    own = mapping.tables[table.name]
    dialect = Dialect(mapping.delimiter, mapping.encoding)
    space = scratch / table.name
    space.mkdir(exist_ok=True)
    if own.query:
        found = _named_sources(connection, folder, own, mapping, dialect, space)
    else:
        found = group(
            connection, find(folder, own.source), dialect, space, _hints(table, own, mapping)
        )
    if not found:
        return None
    report = TableReport(table.name, [str(file.path) for one in found for file in one.files])
    prepared = Prepared(table, own.overlap, report)
    for one in found:
        prepared.files.extend(one.files)
        prepared.names.update(one.read_from)
    _stage_all(connection, prepared, own, found, mapping, zone, now, space)
    return prepared


def _hints(table: Table, own: TableMapping, mapping: Mapping) -> frozenset[str]:
    renamed = {name for names in own.rename.values() for name in names}
    return frozenset({*table.by_name, *renamed, *mapping.aliases})


def _stage_all(
    connection: duckdb.DuckDBPyConnection,
    prepared: Prepared,
    own: TableMapping,
    found: list[FileGroup],
    mapping: Mapping,
    zone: str,
    now: datetime,
    space: Path,
) -> None:
    """Stage every group of files; CSV lines are numbered only where that is needed."""
    table = prepared.table
    for number, one in enumerate(found if not own.query else found[:1]):
        rejects = f"rejects_{table.name}_{number}" if one.is_text and not own.query else ""

        def run(
            with_lines: bool, number: int = number, one: FileGroup = one, rejects: str = rejects
        ) -> Staged:
            if rejects:
                connection.execute(f'DROP TABLE IF EXISTS "{rejects}"')
                connection.execute(f'DROP TABLE IF EXISTS "{rejects}_scan"')
            source = (
                _query_source(connection, own, found)
                if own.query
                else source_of(one, rejects, mapping.aliases, with_lines=with_lines)
            )
            return stage(
                connection,
                table,
                source,
                mapping,
                zone=zone,
                now=now,
                target=space / f"staged-{number}.parquet",
            )

        staged = run(with_lines=False)
        if one.is_text and not own.query and _needs_lines(connection, table, staged, rejects):
            staged = run(with_lines=True)
        prepared.staged.append(staged)
        if rejects:
            prepared.rejects.append(rejects)
    _sum_up(connection, prepared)
    _refuse_wrong_types(connection, prepared)


def _needs_lines(
    connection: duckdb.DuckDBPyConnection, table: Table, staged: Staged, rejects: str
) -> bool:
    rows = sql.parquet([staged.path])
    bad = connection.execute(
        f"SELECT (SELECT count(*) FROM {rows} WHERE {ERROR} IS NOT NULL)"
        f" + (SELECT count(*) FROM {sql.name(rejects)})"
    ).fetchone()
    assert bad is not None
    if bad[0]:
        return True
    key = [name for name in table.key if name in staged.columns]
    if table.name == "transactions" and "line_no" not in key:
        return False
    twice = connection.execute(
        f"SELECT 1 FROM {rows} GROUP BY hash({sql.names(key)}) HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    return twice is not None


def _query_source(
    connection: duckdb.DuckDBPyConnection, own: TableMapping, found: list[FileGroup]
) -> Source:
    """Return the relation of a mapping's query over its named sources."""
    shown = " + ".join(file.path.name for one in found for file in one.files)
    relation = (
        f"(SELECT *, {sql.text(shown)} AS _file, row_number() OVER () AS _line FROM ({own.query}))"
    )
    rows = connection.execute(f"DESCRIBE SELECT * FROM ({own.query})").fetchall()
    return Source(relation, {row[0]: row[1] for row in rows}, shown)


def _named_sources(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    own: TableMapping,
    mapping: Mapping,
    dialect: Dialect,
    space: Path,
) -> list[FileGroup]:
    """Make a view per named source that the query mentions; nothing where one is absent."""
    groups: list[FileGroup] = []
    for name, patterns in mapping.sources.items():
        if name not in own.query:
            continue
        found = group(connection, find(folder, patterns), dialect, space)
        if not found:
            return []
        union = " UNION ALL BY NAME ".join(f"SELECT * FROM {one.scan()}" for one in found)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {sql.name(name)} AS {union}")
        groups.extend(found)
    return groups


def _sum_up(connection: duckdb.DuckDBPyConnection, prepared: Prepared) -> None:
    """Count and sum the rows that were read, those accepted and those that were not."""
    columns = {name for staged in prepared.staged for name in staged.columns}
    report = prepared.report
    report.has_money = {"quantity", "unit_price"} <= columns
    sums = (
        "coalesce(sum(quantity), 0), coalesce(sum(quantity * unit_price), 0)"
        if report.has_money
        else "0, 0"
    )
    rows = connection.execute(
        f"SELECT {ERROR} IS NULL, count(*), {sums} FROM {prepared.rows} GROUP BY ALL"
    ).fetchall()
    for good, count, quantity, money in rows:
        totals = Totals(int(count), quantity, money)
        if good:
            report.accepted = report.accepted + totals
        else:
            report.quarantined = report.quarantined + totals
    total = connection.execute(f"SELECT count(*), {sums} FROM {prepared.rows}").fetchone()
    assert total is not None
    report.read = Totals(int(total[0]), *total[1:])
    for rejects in prepared.rejects:
        lines = connection.execute(
            f"SELECT count(DISTINCT (file_id, line)) FROM {sql.name(rejects)}"
        ).fetchone()
        assert lines is not None
        report.read.rows += int(lines[0])
        report.quarantined.rows += int(lines[0])


def _refuse_wrong_types(connection: duckdb.DuckDBPyConnection, prepared: Prepared) -> None:
    """Refuse a column of which not one value can be read: it is another column, or format."""
    for staged in prepared.staged:
        rows = sql.parquet([staged.path])
        broken = connection.execute(
            f"SELECT {ERROR}, count(*), min(_value), min(_file) FROM {rows} "
            f"WHERE {ERROR} IS NOT NULL GROUP BY 1"
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


def attributes(prepared: Prepared) -> list[str]:
    """Return the `attr_…` columns that the input brought."""
    found = {name for staged in prepared.staged for name in staged.columns}
    return sorted(name for name in found if name.startswith(ATTRIBUTE_PREFIX))
