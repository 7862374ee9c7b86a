"""Packed records: what the lake and a night's scores hold of each customer, one row each.

A card would otherwise scan Parquet for one customer. Publishing writes the records; a card reads
one. What the night did not know is read from the outbox, as before.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import duckdb
from pydantic_core import from_json
from sqlalchemy import Connection, bindparam, delete, insert, select

from nba.cores import cores
from nba.data import sql
from nba.data.lake import Lake, connect, relation
from nba.data.tables import with_contract
from nba.errors import UnavailableError
from nba.schema.tables import TABLES
from nba.stores.database import Quick
from nba.stores.schema import records

_T = TypeVar("_T")
Row = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: The most purchases, and the most contacts, that a record keeps.
NEWEST: Final = 50
#: Customers written at once, and about how many one statement puts together.
_PART, _TOGETHER = 2_000, 10_000
#: The tables of scores that a record keeps.
SCORES: Final = ("timing", "timing_category", "affinity", "mode")
#: The tables whose rows name the customer they are about.
_OF_CUSTOMERS: Final = ("customers", "transactions", "interactions", "service_cases", "benefits")
#: Columns by which rows are shared out.
_OWNER, _SHARE = "nba_owner", "nba_share"
_ORDER: Final = {
    "purchases": "ts DESC, product_id, quantity, amount",
    "contacts": "ts DESC, interaction_id",
    "matters": "opened_at NULLS LAST, expires_at NULLS LAST, kind, amount",
    "person": "valid_from DESC",
}
#: How many rows of each a record keeps.
_KEPT: Final = {"purchases": NEWEST, "contacts": NEWEST, "matters": NEWEST, "person": 1}
#: Columns that rows are told apart and put in order by, and that nobody reads.
_KEYS: Final = {
    "purchases": (),
    "contacts": ("interaction_id",),
    "matters": (),
    "person": ("valid_from",),
}
_MOMENTS: Final = {
    "purchases": ("ts",),
    "contacts": ("ts",),
    "matters": ("opened_at", "expires_at", "settled_at"),
    "person": ("valid_from",),
}
#: Which rows were there before a moment.
_BEFORE: Final = {
    "purchases": "ts < ?",
    "contacts": "ts < ?",
    "matters": "opened_at < ? OR opened_at IS NULL",
    "person": "valid_from < ? OR true",
}
#: The rows that a record begins with, how it begins, and how many bytes nearly always hold them.
_FIRST: Final = "person"
_OPENING: Final = f'{{"{_FIRST}":'
_BEGINNING: Final = 2_048
#: How a record that is not whole shows.
_DAMAGES: Final = (
    zlib.error, ValueError, KeyError, TypeError, AttributeError, OverflowError,
)  # fmt: skip
#: Relations over the lake, each row about one customer; moments in UTC.
RELATIONS: Final[Mapping[str, str]] = {
    "purchases": """
        SELECT customer_id, ts, product_id, CAST(quantity AS DOUBLE) AS quantity,
            CAST(quantity * unit_price - sign(quantity) * abs(coalesce(discount, 0)) AS DOUBLE)
                AS amount
        FROM ({transactions}) WHERE customer_id IS NOT NULL
    """,
    "contacts": """
        SELECT i.customer_id, i.ts, i.mode, i.channel, i.action_type, i.clerk_id, i.interaction_id,
            list(r.kind ORDER BY r.ts) FILTER (r.kind IS NOT NULL) AS responses
        FROM ({interactions}) AS i
        LEFT JOIN ({responses}) AS r ON r.interaction_id = i.interaction_id
        GROUP BY ALL
    """,
    "matters": """
        SELECT customer_id, kind, opened_at, CAST(NULL AS TIMESTAMPTZ) AS expires_at,
            CAST(NULL AS DOUBLE) AS amount, closed_at AS settled_at
        FROM ({service_cases})
        UNION ALL
        SELECT customer_id, kind, NULL, expires_at, CAST(amount AS DOUBLE), used_at
        FROM ({benefits})
    """,
    "person": """
        SELECT customer_id, name, alias, external_id, avatar, phone_tail, valid_from
        FROM ({customers})
    """,
}


class Relations(dict[str, str]):
    """The lake's tables by name, each as a SELECT with every column of the contract."""

    def __init__(self, lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__()
        self._lake, self.connection = lake, connection

    def __missing__(self, name: str) -> str:
        return with_contract(self.connection, TABLES[name], self._lake.relation(name))


def newest_of(name: str, tables: Relations) -> str:
    """Return a SELECT of one customer's newest rows: parameters customer, before, limit."""
    keys = ", ".join(("customer_id", *_KEYS[name]))
    return (
        f"SELECT * EXCLUDE ({keys}) FROM ({RELATIONS[name].format_map(tables)}) "
        f"WHERE customer_id = ? AND ({_BEFORE[name]}) ORDER BY {_ORDER[name]} LIMIT ?"
    )


def pack_records(
    lake: Lake,
    scores: Path,
    *,
    before: datetime,
    memory: str,
    scratch: Path,
    threads: int | None = None,
    together: int = _TOGETHER,
) -> Generator[list[tuple[str, bytes]]]:
    """Yield the records of all customers, some thousand at a time: customer_id and record.

    Parameters
    ----------
    lake : Lake
    scores : Path
        The folder of a run's scores.
    before : datetime
        Aware: later rows are not packed.
    memory : str
        That DuckDB may use.
    scratch : Path
        Where goes what does not fit.
    threads : int, optional
        Of DuckDB and of what compresses; None: as many as there are cores.
    together : int
        Customers put together by one statement: DuckDB holds their texts in memory.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    workers = threads or cores()
    step = -(-_PART // workers)
    with (
        connect(threads=threads, memory=memory, scratch=scratch) as connection,
        ThreadPoolExecutor(workers) as pool,
        TemporaryDirectory(prefix="records-", dir=scratch) as folder,
    ):
        tables = Relations(lake, connection)
        count = connection.execute(
            f"SELECT count(DISTINCT customer_id) FROM ({tables['customers']})"
        ).fetchone()
        shares = 1 + (count[0] if count else 0) // together
        files = {name: scores / f"{name}.parquet" for name in SCORES}
        whole = {name: [path] for name, path in files.items() if path.is_file()}
        given = [(tables, whole)] if shares == 1 else _shares(tables, whole, shares, Path(folder))
        for relations, kept in given:
            query = _packed_customers(relations, kept)
            cursor = connection.execute(query, [before] * len(RELATIONS))
            while found := cursor.fetchmany(_PART):
                slices = [found[first : first + step] for first in range(0, len(found), step)]
                yield [record for some in pool.map(_all_packed, slices) for record in some]


def ahead(parts: Generator[_T]) -> Iterator[_T]:
    """Yield parts, each of which is made while the one before it is used.

    What making a part raises is raised where the part would be used.
    """
    with closing(parts), ThreadPoolExecutor(1) as pool:
        made = pool.submit(next, parts, None)
        while (part := made.result()) is not None:
            made = pool.submit(next, parts, None)
            yield part


def _shares(
    tables: Relations, scores: Mapping[str, list[Path]], shares: int, folder: Path
) -> Iterator[tuple[Mapping[str, str], Mapping[str, list[Path]]]]:
    """Yield tables and scores of some customers at a time: each is read once, and shared out."""
    queries = {name: f"SELECT * FROM ({tables[name]})" for name in _OF_CUSTOMERS}
    queries |= {
        # an answer goes where the contact is that it answers
        "responses": f"SELECT r.*, i.customer_id AS {_OWNER} FROM ({tables['responses']}) AS r "
        f"JOIN ({tables['interactions']}) AS i USING (interaction_id)",
        **{
            f"scores-{name}": f"SELECT * FROM {sql.parquet(files)}"
            for name, files in scores.items()
        },
    }
    for name, query in queries.items():
        owner = _OWNER if name == "responses" else "customer_id"
        tables.connection.execute(
            f"COPY (SELECT *, hash({owner}) % {shares} AS {_SHARE} FROM ({query})) "
            f"TO {sql.text(str(folder / name))} (FORMAT parquet, PARTITION_BY ({_SHARE}))"
        )
    for share in range(shares):
        found = {name: sorted((folder / name).glob(f"{_SHARE}={share}/*")) for name in queries}
        yield (
            {name: relation(TABLES[name], found[name]) for name in (*_OF_CUSTOMERS, "responses")},
            {name: files for name in scores if (files := found[f"scores-{name}"])},
        )


def _packed_customers(tables: Mapping[str, str], scores: Mapping[str, list[Path]]) -> str:
    """Return a SELECT of what is packed of each customer in some tables, a row for each."""
    parts = {name: _packed_relation(name, tables) for name in RELATIONS}
    parts |= {
        name: f"SELECT customer_id, string_agg(CAST(to_json(t) AS VARCHAR), ',') AS rows "
        f"FROM {sql.parquet(files)} AS t GROUP BY customer_id"
        for name, files in scores.items()
    }
    union = " UNION ALL ".join(
        f"SELECT customer_id, {sql.text(name)} AS name, rows FROM ({part})"
        for name, part in parts.items()
    )
    return (
        "SELECT customer_id, list(name), list(rows) "
        f"FROM ({union}) GROUP BY customer_id ORDER BY customer_id"
    )


def _packed_relation(name: str, tables: Mapping[str, str]) -> str:
    """Return a SELECT of the newest rows of each customer as the JSON of a list, unbracketed.

    Each row becomes text by itself: a list of rows takes several times the memory.
    """
    moments = ", ".join(f"epoch_us({column}) AS {column}" for column in _MOMENTS[name])
    return f"""
        SELECT customer_id, string_agg(CAST(to_json(t) AS VARCHAR), ',' ORDER BY place) AS rows
        FROM (
            SELECT * REPLACE ({moments}),
                row_number() OVER (PARTITION BY customer_id ORDER BY {_ORDER[name]}) AS place
            FROM ({RELATIONS[name].format_map(tables)}) WHERE ({_BEFORE[name]})
            QUALIFY place <= {_KEPT[name]}
        ) AS t GROUP BY customer_id
    """


def _all_packed(found: Sequence[tuple[str, list[str], list[str]]]) -> list[tuple[str, bytes]]:
    return [(customer, _packed(names, rows)) for customer, names, rows in found]


def _packed(names: Sequence[str], rows: Sequence[str]) -> bytes:
    """Return a record; who it is about stands first, so that a list need not read the rest."""
    together = sorted(zip(names, rows, strict=True), key=lambda part: part[0] != _FIRST)
    parts = (f"{json.dumps(name)}:[{text}]" for name, text in together)
    return zlib.compress(f"{{{','.join(parts)}}}".encode(), 1)


def person_of(record: bytes) -> list[dict[str, Any]]:
    """Return the rows `person` of a record, from its first bytes where they stand there.

    Raises
    ------
    UnavailableError
        As `unpacked`.
    """
    try:
        beginning = zlib.decompressobj().decompress(record, _BEGINNING)
        text = beginning.decode(errors="ignore")
        if text.startswith(_OPENING):
            rows, _ = json.JSONDecoder().raw_decode(text, len(_OPENING))
            return [_as_read(_FIRST, row) for row in rows]
    except _DAMAGES:
        pass  # it stands elsewhere, is longer, or the record is damaged: the whole of it says
    return unpacked(record).get(_FIRST, [])


def unpacked(record: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a record by name; moments are aware.

    Raises
    ------
    UnavailableError
        Where it is no record, or not whole.
    """
    try:
        found: dict[str, list[dict[str, Any]]] = from_json(zlib.decompress(record))
        for name in RELATIONS:
            for row in found.get(name, ()):
                _as_read(name, row)
    except _DAMAGES as error:
        raise UnavailableError(
            "the packed record of a customer cannot be read",
            expected="what publishing wrote",
            found=type(error).__name__,
            next_step="publish the plan again: `nba publish --as-of DAY --force`",
        ) from None
    return found


def _as_read(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a relation, changed in place, with moments, without what only orders it."""
    for column in _MOMENTS[name]:
        row[column] = _moment(row[column])
    for key in ("customer_id", "place", *_KEYS[name]):
        del row[key]
    return row


def _moment(microseconds: int | None) -> datetime | None:
    if microseconds is None:
        return None
    return _EPOCH + timedelta(microseconds=microseconds)


#: A customer's record of a day; parameters `day` and `customer`.
READ: Final = Quick(
    select(records.c.record).where(
        records.c.as_of == bindparam("day"), records.c.customer_id == bindparam("customer")
    )
)


def insert_records(connection: Connection, as_of: date, part: Sequence[tuple[str, bytes]]) -> None:
    """Write some records of a day."""
    rows = [{"as_of": as_of, "customer_id": one, "record": record} for one, record in part]
    connection.execute(insert(records), rows)


def delete_records(connection: Connection, as_of: date) -> None:
    """Delete the records of a day."""
    connection.execute(delete(records).where(records.c.as_of == as_of))


def sweep_records(connection: Connection, as_of: date) -> int:
    """Delete a part of the records of days before; return how many."""
    part = (
        select(records.c.as_of, records.c.customer_id).where(records.c.as_of < as_of).limit(_PART)
    )
    keys = connection.execute(part).all()
    for day in {key.as_of for key in keys}:
        ids = [key.customer_id for key in keys if key.as_of == day]
        connection.execute(
            delete(records).where(records.c.as_of == day, records.c.customer_id.in_(ids))
        )
    return len(keys)
