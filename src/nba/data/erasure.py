"""Take customers out of the lake: every version that is kept, the quarantine and the reports."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, ClassVar, Final

import duckdb

from nba.data import sql
from nba.data.identity_keys import WHOLE_ID, IdentityKey, guest_id, hashed_sql, key_of_id
from nba.data.lake import Lake, Partition, Writer, connect
from nba.data.merge import contents
from nba.data.partitions import columns_of, copy
from nba.data.wordlist import SYNONYMS
from nba.files import write_text
from nba.schema.tables import TABLES, Table

CUSTOMER: Final = "customer_id"
#: Stands in kept reports where an example named an erased customer.
GONE: Final = "(erased)"
#: A number as short as this also counts things: it names a customer only under such a column.
_SHORT_NUMBER: Final = re.compile(r"\d{1,4}")
_CUSTOMER_WORDS: Final = frozenset({"customerid", *SYNONYMS[CUSTOMER]})


#: What stands in the decision log in place of an erased customer's id begins so.
PSEUDONYM: Final = "erased:"


@dataclass(frozen=True)
class Leaving:
    """Whom an erasure is about.

    Parameters
    ----------
    customer_ids : tuple of str
    action_ids : mapping of str to str
        Actions that were planned for them, each with its customer.
    pseudonyms : mapping of str to str
        What stands for each in the decision log: drawn at random, so that nothing leads back.
    """

    customer_ids: tuple[str, ...]
    action_ids: Mapping[str, str]
    pseudonyms: Mapping[str, str]

    @classmethod
    def of(cls, customer_ids: Iterable[str], action_ids: Mapping[str, str]) -> Leaving:
        """Draw a pseudonym for each customer."""
        known = tuple(sorted(set(customer_ids)))
        return cls(
            known, action_ids, {customer_id: PSEUDONYM + token_hex(12) for customer_id in known}
        )


@dataclass
class Tally:
    """What an erasure took out of one place, by customer: rows, and files that held them."""

    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    def add(self, counts: Iterable[tuple[str, int]]) -> bool:
        """Count the rows per customer that one file held; return whether there were any."""
        has_any = False
        for customer_id, rows in counts:
            self.rows[customer_id] = self.rows.get(customer_id, 0) + rows
            self.files[customer_id] = self.files.get(customer_id, 0) + 1
            has_any = True
        return has_any

    def merge(self, other: Tally) -> None:
        """Add what another tally counted."""
        for mine, theirs in ((self.rows, other.rows), (self.files, other.files)):
            for customer_id, count in theirs.items():
                mine[customer_id] = mine.get(customer_id, 0) + count

    @property
    def total(self) -> int:
        """Rows over all customers."""
        return sum(self.rows.values())


def names_customer(column: str) -> bool:
    """Return whether a column of any file is called as those that name a customer.

    >>> names_customer("Customer ID"), names_customer("attr_member_id"), names_customer("order_id")
    (True, True, False)
    """
    plain = re.sub(r"[\W_]+", "", column.lower())
    return plain in _CUSTOMER_WORDS or plain.removeprefix("attr") in _CUSTOMER_WORDS


def mentions(text: str, customer_id: str) -> bool:
    """Return whether `text` names a customer as a whole word.

    >>> mentions("first: 'C1' in line 3", "C1"), mentions("C10", "C1")
    (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(customer_id)}(?!\w)", text) is not None


@dataclass(frozen=True)
class LakeEraser:
    """Takes customers out of a lake.

    Parameters
    ----------
    lake : Lake
    clock : callable
        The present moment, aware.
    """

    lake: Lake
    clock: Callable[[], datetime]
    place: ClassVar[str] = "lake"

    def erase(self, leaving: Leaving) -> Tally:
        """Take every row of the customers out of the lake; return what was there.

        Rows that name them, answers to contacts with them, and feedback on their actions go,
        from the version that counts, from the files of older versions that are still kept,
        from the quarantine and from the reports of loads.

        Raises
        ------
        LockHeldError
            Where a load writes to the lake now.
        """
        if not self.lake.root.is_dir():
            return Tally()
        tally, customer_ids = Tally(), leaving.customer_ids
        with self.lake.writing() as writer, connect(scratch=writer.scratch) as connection:
            _register(connection, customer_ids, leaving.action_ids)
            _find_interactions(connection, writer)
            for name in writer.before.tables:
                for partition in writer.before.tables[name]:
                    _erase_partition(connection, writer, TABLES[name], partition, tally)
            _erase_quarantine(connection, writer, customer_ids, tally)
            if writer.has_changes:
                writer.commit(
                    {"id": writer.load_id, "at": self.clock().isoformat(), "erased": tally.total}
                )
            for name in writer.state.retired:
                _erase_retired(connection, writer, name, customer_ids)
        tally.merge(erase_reports(self.lake.root / "reports", customer_ids))
        return tally


def identity_keys(
    lake: Lake, customer_ids: Sequence[str], secret: bytes
) -> dict[str, set[IdentityKey]]:
    """Return every key by which the lake knows some customers: of `identities`, of their ids.

    Parameters
    ----------
    lake : Lake
    customer_ids : sequence of str
    secret : bytes
        With which the lake's keys are hashed.
    """
    keys_by_customer: dict[str, set[IdentityKey]] = {customer: set() for customer in customer_ids}
    for customer in customer_ids:
        if (own := key_of_id(customer, secret)) is not None:
            keys_by_customer[customer].add(own)
    external = hashed_sql("'external_id'", "external_id", secret)
    with connect() as connection:
        state = lake.state()
        connection.execute(
            f"SELECT customer_id, kind, value FROM ({lake.relation('identities', state)}) "
            f"WHERE customer_id IN ({sql.texts(customer_ids)}) "
            f"UNION SELECT customer_id, 'external_id', {external} "
            f"FROM ({lake.relation('customers', state)}) "
            f"WHERE external_id IS NOT NULL AND customer_id IN ({sql.texts(customer_ids)})"
        )
        for customer_id, kind, value in connection.fetchall():
            keys_by_customer[customer_id].add(IdentityKey(kind, value))
    for keys in keys_by_customer.values():
        # of whom nothing but one of these is known goes by an id made of it
        keys |= {IdentityKey(WHOLE_ID, guest_id(key.value)) for key in keys}
    return keys_by_customer


def _register(
    connection: duckdb.DuckDBPyConnection,
    customer_ids: Sequence[str],
    action_ids: Mapping[str, str],
) -> None:
    connection.execute("CREATE TEMP TABLE leaving (customer_id VARCHAR)")
    connection.executemany(
        "INSERT INTO leaving VALUES (?)", [[customer_id] for customer_id in customer_ids]
    )
    connection.execute("CREATE TEMP TABLE leaving_actions (action_id VARCHAR, customer_id VARCHAR)")
    if action_ids:
        pairs = [list(pair) for pair in action_ids.items()]
        connection.executemany("INSERT INTO leaving_actions VALUES (?, ?)", pairs)


def _find_interactions(connection: duckdb.DuckDBPyConnection, writer: Writer) -> None:
    """Note the customers' contacts: answers and feedback name these, not the customer."""
    rows = writer.lake.relation("interactions", writer.before)
    connection.execute(
        "CREATE TEMP TABLE leaving_interactions AS "
        f"SELECT interaction_id, action_id, customer_id FROM ({rows}) SEMI JOIN leaving "
        "USING (customer_id)"
    )
    connection.execute(
        "INSERT INTO leaving_actions SELECT action_id, customer_id FROM leaving_interactions "
        "WHERE action_id IS NOT NULL AND action_id NOT IN (SELECT action_id FROM leaving_actions)"
    )


def _owner(table: Table, columns: Collection[str]) -> str:
    """SQL of the erased customer to whom a row belongs, else NULL."""
    owners = []
    if CUSTOMER in columns:
        owners.append(
            f"(SELECT any_value(l.{CUSTOMER}) FROM leaving l WHERE l.{CUSTOMER} = t.{CUSTOMER})"
        )
    for name, other in (("responses", "interaction"), ("feedback", "action")):
        if table.name == name:
            owners.append(
                f"(SELECT any_value(l.{CUSTOMER}) FROM leaving_{other}s l "
                f"WHERE l.{other}_id = t.{other}_id)"
            )
    return f"coalesce({', '.join(owners)})" if owners else ""


def _counts(
    connection: duckdb.DuckDBPyConnection, source: str, owner: str
) -> list[tuple[str, int]]:
    query = f"SELECT {owner} AS who, count(*) FROM {source} AS t GROUP BY 1 HAVING who IS NOT NULL"
    return [(str(who), int(rows)) for who, rows in connection.execute(query).fetchall()]


def _erase_partition(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    table: Table,
    partition: str,
    tally: Tally,
) -> None:
    """Write a partition anew without the rows that leave; nothing where it has none."""
    files = [writer.lake.root / file for file in writer.before.tables[table.name][partition].files]
    source = sql.parquet(files)
    owner = _owner(table, columns_of(connection, source))
    if not owner or not tally.add(_counts(connection, source, owner)):
        return
    target = writer.scratch / f"{table.name}-{partition}.parquet"
    copy(connection, f"SELECT t.* FROM {source} AS t WHERE {owner} IS NULL", target)
    rows, digest = contents(connection, table, {partition: [target]})[partition]
    names = writer.place(table.name, partition, [target] if rows else [])
    writer.put(table.name, partition, Partition(names, rows, digest))


def _erase_retired(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    name: str,
    customer_ids: Sequence[str],
) -> None:
    """Rewrite a file that only readers of an older version still need, under its own name."""
    path = writer.lake.root / name
    if not path.exists():
        return
    folder, _, rest = name.partition("/")
    target = writer.scratch / "retired.parquet"
    source = sql.parquet([path])
    if folder == "quarantine":
        if _rewrite_quarantine(connection, [path], target, customer_ids, Tally()):
            target.replace(path)
        return
    owner = _owner(TABLES[rest.partition("/")[0]], columns_of(connection, source))
    if owner and _counts(connection, source, owner):
        copy(connection, f"SELECT t.* FROM {source} AS t WHERE {owner} IS NULL", target)
        target.replace(path)


def _erase_quarantine(
    connection: duckdb.DuckDBPyConnection,
    writer: Writer,
    customer_ids: Sequence[str],
    tally: Tally,
) -> None:
    files = [writer.lake.root / file for file in writer.before.quarantine]
    target = writer.scratch / "quarantine-kept.parquet"
    if files and _rewrite_quarantine(connection, files, target, customer_ids, tally):
        left = connection.execute(f"SELECT count(*) FROM {sql.parquet([target])}").fetchone()
        writer.put_quarantine(target if left and left[0] else None, keep=False)


def _rewrite_quarantine(
    connection: duckdb.DuckDBPyConnection,
    files: list[Path],
    target: Path,
    customer_ids: Sequence[str],
    tally: Tally,
) -> bool:
    """Write quarantined rows without those of the customers; False where there are none."""
    source = sql.parquet(files, f"file_row_number = true, filename = true, {sql.PLAIN}")
    rows = connection.execute(
        f'SELECT filename, file_row_number, "column", value, row FROM {source}'
    ).fetchall()
    about = [
        (file, number, who)
        for file, number, column, value, row in rows
        if (who := quarantined_customer(column, value, row, customer_ids)) is not None
    ]
    if not about:
        return False
    connection.execute("CREATE OR REPLACE TEMP TABLE leaving_rows (f VARCHAR, n BIGINT)")
    connection.executemany("INSERT INTO leaving_rows VALUES (?, ?)", [one[:2] for one in about])
    copy(
        connection,
        f"SELECT * EXCLUDE (filename, file_row_number) FROM {source} AS t "
        "ANTI JOIN leaving_rows AS l ON t.filename = l.f AND t.file_row_number = l.n",
        target,
    )
    for file in {one[0] for one in about}:
        here = [who for name, _, who in about if name == file]
        tally.add((who, here.count(who)) for who in set(here))
    return True


def quarantined_customer(
    column: str | None, value: str | None, row: str | None, customer_ids: Sequence[str]
) -> str | None:
    """Return the customer of `customer_ids` whom a quarantined row names, or None.

    A row that could be read names a customer under a column that is called so, or anywhere
    by an id that is no short number; a line that is no record by holding the id as a word.

    Parameters
    ----------
    column, value : str, optional
        The column that broke a rule and what stood in it; None where the row was no record.
    row : str, optional
        The row as a JSON object, or None.
    customer_ids : sequence of str
        Whose erasure is under way.
    """
    if row is None:
        return next(
            (customer_id for customer_id in customer_ids if value and mentions(value, customer_id)),
            None,
        )
    wanted = set(customer_ids)
    named = {str(column): value, **_fields(row)}
    for name, content in named.items():
        text = str(content).strip() if content is not None else ""
        if text in wanted and (names_customer(name) or not _SHORT_NUMBER.fullmatch(text)):
            return text
    return None


def _fields(row: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(row)
    return fields


def erase_reports(folder: Path, customer_ids: Sequence[str]) -> Tally:
    """Blank the examples in reports of loads that name one of the customers."""
    tally = Tally()
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        examples = dict(_examples(content, customer_ids))
        if not examples:
            continue
        write_text(path, json.dumps(_blanked(content, examples), ensure_ascii=False, indent=1))
        page = path.with_suffix(".html")
        if page.exists():
            shown = page.read_text(encoding="utf-8")
            for text in examples:
                shown = shown.replace(html.escape(text), GONE).replace(text, GONE)
            write_text(page, shown)
        tally.add((who, list(examples.values()).count(who)) for who in set(examples.values()))
    return tally


def _examples(content: Any, customer_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each example of a report's checks that names a customer, with whom it names."""
    for check in content.get("checks", ()):
        text = check.get("first") or ""
        for customer_id in customer_ids:
            quoted = repr(customer_id) in text
            if quoted or (mentions(text, customer_id) and not _SHORT_NUMBER.fullmatch(customer_id)):
                yield text, customer_id


def _blanked(value: Any, texts: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {name: _blanked(item, texts) for name, item in value.items()}
    if isinstance(value, list):
        return [_blanked(item, texts) for item in value]
    return GONE if isinstance(value, str) and value in texts else value
