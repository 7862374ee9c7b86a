"""The packed online store: one value per entity and view, in SQLite.

A value is a JSON array of the view's features in the order of its schema, so that a look-up
reads one row however many features it wants. The store keeps two promises that Feast's own
SQLite store does not: a value is never replaced by an older one, and a value past its time to
live is not handed out. It knows nothing of Feast; `nba.stores.online_feast` puts it behind
Feast's interface.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

Key: TypeAlias = tuple[str, ...]
#: Keys, event time and creation time in microseconds of UTC, the values as a JSON array.
Row: TypeAlias = tuple[Key, int, int, str]

DAY_MICROSECONDS: Final = 86_400_000_000
#: SQLite takes at most 32,766 parameters in a statement.
_MAX_PARAMETERS: Final = 30_000
#: Rows that are pushed by one statement.
_PUSHED: Final = 500

_META = """
CREATE TABLE IF NOT EXISTS nba_schemas (
  id INTEGER PRIMARY KEY, view TEXT NOT NULL, columns TEXT NOT NULL, UNIQUE (view, columns));
CREATE TABLE IF NOT EXISTS nba_views (
  view TEXT PRIMARY KEY, keys TEXT NOT NULL, snapshot_us INTEGER NOT NULL,
  newest_us INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class OnlineView:
    """What the store needs to know of a view.

    Parameters
    ----------
    name : str
    keys : tuple of str
        Names of the entity keys, in order.
    columns : tuple of str
        Names of the features, in the order in which values are packed.
    ttl_us : int
        Microseconds after its event time for which a value is handed out; 0 for ever.
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    ttl_us: int = 0


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _upsert_sql(view: OnlineView, rows: int) -> str:
    """Return the statement that writes so many rows, none over a later one."""
    names = [*view.keys, "event_us", "created_us", "schema_id", "packed"]
    one = f"({', '.join('?' * len(names))})"
    return (
        f"INSERT INTO {_quoted('view_' + view.name)} ({', '.join(map(_quoted, names))}) "
        f"VALUES {', '.join([one] * rows)} ON CONFLICT ({', '.join(map(_quoted, view.keys))}) "
        "DO UPDATE SET event_us = excluded.event_us, created_us = excluded.created_us, "
        "schema_id = excluded.schema_id, packed = excluded.packed "
        "WHERE (excluded.event_us, excluded.created_us) >= (event_us, created_us)"
    )


class PackedStore:
    """Packed values per view in one SQLite file.

    Parameters
    ----------
    path : Path
        The file; made with its folder where it does not exist.

    Notes
    -----
    One connection per thread. Readers never wait for the writer (WAL), and see a
    materialisation as a whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._schemas: dict[int, tuple[str, ...]] = {}

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        opened: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if opened is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            opened = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            opened.execute("PRAGMA journal_mode=WAL")
            opened.execute("PRAGMA synchronous=NORMAL")
            opened.execute("PRAGMA secure_delete=ON")
            opened.executescript(_META)
            self._local.connection = opened
        return opened

    def close(self) -> None:
        """Close the connection of this thread."""
        opened = getattr(self._local, "connection", None)
        if opened is not None:
            opened.close()
            self._local.connection = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all writes inside visible at once, or none of them."""
        connection = self.connection
        if connection.in_transaction:
            yield
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def create(self, view: OnlineView) -> None:
        """Make the table of a view where it does not exist, anew where its keys changed."""
        with self.transaction():
            keys = json.dumps(view.keys)
            row = self.connection.execute(
                "SELECT keys FROM nba_views WHERE view = ?", (view.name,)
            ).fetchone()
            if row and row[0] == keys:
                return
            if row:
                self.drop(view.name)
            columns = ", ".join(f"{_quoted(key)} TEXT NOT NULL" for key in view.keys)
            key_list = ", ".join(map(_quoted, view.keys))
            self.connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_quoted('view_' + view.name)} ({columns}, "
                "event_us INTEGER NOT NULL, created_us INTEGER NOT NULL, "
                "schema_id INTEGER NOT NULL, packed TEXT NOT NULL, "
                f"PRIMARY KEY ({key_list})) WITHOUT ROWID"
            )
            self.connection.execute("INSERT INTO nba_views VALUES (?, ?, 0, 0)", (view.name, keys))

    def drop(self, name: str) -> None:
        """Forget a view with all its values."""
        with self.transaction():
            self.connection.execute(f"DROP TABLE IF EXISTS {_quoted('view_' + name)}")
            self.connection.execute("DELETE FROM nba_views WHERE view = ?", (name,))

    def replace(self, view: OnlineView, rows: Iterable[Row], *, moment_us: int) -> bool:
        """Bring a complete snapshot of `moment_us` online.

        Entities that are not in the snapshot are forgotten, unless they were pushed later.

        Returns
        -------
        bool
            False where a later snapshot is online already; then nothing is changed.
        """
        with self.transaction():
            self.create(view)
            if self.snapshot_us(view.name) > moment_us:
                return False
            self._upsert(view, rows)
            self.connection.execute(
                f"DELETE FROM {_quoted('view_' + view.name)} WHERE event_us < ?", (moment_us,)
            )
            self.connection.execute(
                "UPDATE nba_views SET snapshot_us = ?, newest_us = max(newest_us, ?) "
                "WHERE view = ?",
                (moment_us, moment_us, view.name),
            )
        return True

    def push(
        self,
        view: OnlineView,
        rows: Iterable[Row],
        *,
        whole: Sequence[str] = (),
        moment_us: int = 0,
    ) -> None:
        """Write single values; one that is older than what is online changes nothing.

        Parameters
        ----------
        view : OnlineView
        rows : iterable of Row
        whole : sequence of str
            First keys of which `rows` holds all that there is at `moment_us`: what else is
            online of them from before is forgotten.
        moment_us : int
        """
        with self.transaction():
            self.create(view)
            floor = self.snapshot_us(view.name)
            fresh = [row for row in rows if row[1] >= floor]
            if moment_us >= floor:
                for start in range(0, len(whole), _PUSHED):
                    part = whole[start : start + _PUSHED]
                    self.connection.execute(
                        f"DELETE FROM {_quoted('view_' + view.name)} WHERE event_us < ? "
                        f"AND {_quoted(view.keys[0])} IN ({', '.join('?' * len(part))})",
                        [moment_us, *part],
                    )
            if not fresh:
                return
            self._upsert_few(view, fresh)
            self.connection.execute(
                "UPDATE nba_views SET newest_us = max(newest_us, ?) WHERE view = ?",
                (max(row[1] for row in fresh), view.name),
            )

    def forget(self, name: str, key: str, values: Sequence[str]) -> int:
        """Delete every row of a view whose `key` is among `values`; return how many."""
        with self.transaction():
            if not self._exists(name):
                return 0
            cursor = self.connection.executemany(
                f"DELETE FROM {_quoted('view_' + name)} WHERE {_quoted(key)} = ?",
                [(value,) for value in values],
            )
            return cursor.rowcount

    def purge(self) -> None:
        """Overwrite what was deleted: free pages and the write-ahead log hold no old rows."""
        if self.path.exists():
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _upsert(self, view: OnlineView, rows: Iterable[Row]) -> None:
        schema = self._schema_id(view)
        self.connection.executemany(
            _upsert_sql(view, 1),
            ((*keys, event, created, schema, packed) for keys, event, created, packed in rows),
        )

    def _upsert_few(self, view: OnlineView, rows: Sequence[Row]) -> None:
        """Write rows by few statements: after each this thread waits for the interpreter again."""
        schema = self._schema_id(view)
        for start in range(0, len(rows), _PUSHED):
            part = rows[start : start + _PUSHED]
            values = [
                value
                for keys, event, created, packed in part
                for value in (*keys, event, created, schema, packed)
            ]
            self.connection.execute(_upsert_sql(view, len(part)), values)

    def _schema_id(self, view: OnlineView) -> int:
        columns = json.dumps(view.columns)
        self.connection.execute(
            "INSERT OR IGNORE INTO nba_schemas (view, columns) VALUES (?, ?)", (view.name, columns)
        )
        row = self.connection.execute(
            "SELECT id FROM nba_schemas WHERE view = ? AND columns = ?", (view.name, columns)
        ).fetchone()
        return int(row[0])

    def _columns(self, schema_id: int) -> tuple[str, ...]:
        if schema_id not in self._schemas:
            row = self.connection.execute(
                "SELECT columns FROM nba_schemas WHERE id = ?", (schema_id,)
            ).fetchone()
            self._schemas[schema_id] = tuple(json.loads(row[0]))
        return self._schemas[schema_id]

    def snapshot_us(self, name: str) -> int:
        """Return the moment of the last snapshot brought online, 0 before the first."""
        row = self.connection.execute(
            "SELECT snapshot_us FROM nba_views WHERE view = ?", (name,)
        ).fetchone()
        return int(row[0]) if row else 0

    def event_us(self, name: str, key: str, value: str) -> int:
        """Return the event time of an entity of a view with one key, 0 where there is none."""
        if not self._exists(name):
            return 0
        query = f"SELECT event_us FROM {_quoted('view_' + name)} WHERE {_quoted(key)} = ?"
        row = self.connection.execute(query, (value,)).fetchone()
        return int(row[0]) if row else 0

    def read(
        self, view: OnlineView, keys: Sequence[Key], *, now_us: int | None = None
    ) -> list[tuple[int, dict[str, Any]] | None]:
        """Return event time and features for each key, None where there is nothing to serve.

        Parameters
        ----------
        view : OnlineView
        keys : sequence of tuple of str
        now_us : int, optional
            The moment against which the time to live counts; by default that of the last
            snapshot (without one, the newest event time), so that a project replayed in the past is
            served, and what is pushed for one entity ends no other.
        """
        oldest = self._oldest(view, now_us)
        if oldest is None:
            return [None] * len(keys)
        found: dict[Key, tuple[int, dict[str, Any]]] = {}
        step = max(1, _MAX_PARAMETERS // len(view.keys))
        distinct = list(dict.fromkeys(keys))
        for start in range(0, len(distinct), step):
            found.update(self._select(view, distinct[start : start + step], oldest))
        return [found.get(key) for key in keys]

    def scan(
        self, view: OnlineView, first_keys: Sequence[str], *, now_us: int | None = None
    ) -> list[tuple[Key, int, dict[str, Any]]]:
        """Return every entity of `view` whose first key is among `first_keys`, in key order."""
        oldest = self._oldest(view, now_us)
        if oldest is None or not first_keys:
            return []
        marks = ", ".join("?" * len(first_keys))
        where = f"{_quoted(view.keys[0])} IN ({marks})"
        rows = self._rows(view, where, list(first_keys), oldest)
        return [(key, event, values) for key, event, values in rows]

    def _exists(self, name: str) -> bool:
        query = "SELECT 1 FROM nba_views WHERE view = ?"
        return self.connection.execute(query, (name,)).fetchone() is not None

    def _oldest(self, view: OnlineView, now_us: int | None) -> int | None:
        """Return the event time from which on rows are served, None where there is no such view.

        Without `now_us` age is against the last snapshot: what was pushed since for one entity
        makes no other any older.
        """
        row = self.connection.execute(
            "SELECT coalesce(nullif(snapshot_us, 0), newest_us) FROM nba_views WHERE view = ?",
            (view.name,),
        ).fetchone()
        if row is None:
            return None
        if not view.ttl_us:
            return 0
        return (int(row[0]) if now_us is None else now_us) - view.ttl_us

    def _select(
        self, view: OnlineView, keys: Sequence[Key], oldest: int
    ) -> dict[Key, tuple[int, dict[str, Any]]]:
        if len(view.keys) == 1:
            where = f"{_quoted(view.keys[0])} IN ({', '.join('?' * len(keys))})"
        else:
            one = f"({', '.join('?' * len(view.keys))})"
            columns = ", ".join(map(_quoted, view.keys))
            where = f"({columns}) IN (VALUES {', '.join([one] * len(keys))})"
        parameters = [part for key in keys for part in key]
        rows = self._rows(view, where, parameters, oldest)
        return {key: (event, values) for key, event, values in rows}

    def _rows(
        self, view: OnlineView, where: str, parameters: list[str], oldest: int
    ) -> Iterator[tuple[Key, int, dict[str, Any]]]:
        n = len(view.keys)
        columns = ", ".join(map(_quoted, view.keys))
        cursor = self.connection.execute(
            f"SELECT {columns}, event_us, schema_id, packed "
            f"FROM {_quoted('view_' + view.name)} WHERE {where} ORDER BY {columns}",
            parameters,
        )
        for row in cursor:
            if row[n] >= oldest:
                values = dict(zip(self._columns(row[n + 1]), json.loads(row[n + 2]), strict=True))
                yield row[:n], row[n], values
