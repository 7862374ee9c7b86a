"""One engine for SQLite and PostgreSQL: how it begins, reads, writes and migrates.

SQLite runs in WAL mode with `synchronous=FULL`, and a writing transaction begins with
`BEGIN IMMEDIATE`: with a plain `BEGIN`, concurrent writers fail when they upgrade their lock.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event, make_url, text
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from nba.errors import ConfigError, NbaError, UnavailableError

_READ_ONLY = "nba_read_only"
#: PostgreSQL's code for a write to a standby, or to a server that was made read-only.
_READ_ONLY_TRANSACTION = "25006"
_MIGRATION_LOCK = 7_310_201


def canonical(value: object) -> str:
    """Return `value` as JSON that is equal for equal content.

    >>> canonical({"b": 1, "a": Decimal("2.50")})
    '{"a":"2.50","b":1}'
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain
    )


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, halves of characters included."""
    return hashlib.sha256(canonical(value).encode(errors="surrogatepass")).hexdigest()


def _as_json(value: object) -> str:
    """Return JSON that keeps the order of keys, for what is stored."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class NotAtOnceError(Exception):
    """What was asked within `at_once` has to wait for something."""


_thread = threading.local()


@contextmanager
def at_once() -> Iterator[None]:
    """Within it, this thread waits for nothing: what has to raises `NotAtOnceError`."""
    _thread.is_hurried = True
    try:
        yield
    finally:
        _thread.is_hurried = False


def may_wait() -> None:
    """Say that the next step takes a transaction, a file or a server.

    Raises
    ------
    NotAtOnceError
        Within `at_once`.
    """
    if getattr(_thread, "is_hurried", False):
        raise NotAtOnceError


class Quick:
    """A query with named parameters, as SQLAlchemy and as SQLite's own module take it.

    Parameters
    ----------
    statement : Select
        Its columns are whole numbers, texts or bytes.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self.statement = statement
        compiled = statement.compile(dialect=sqlite_dialect.dialect())
        self.text = str(compiled)
        #: The parameter of each question mark, and what some are of themselves.
        self.names: Sequence[str] = compiled.positiontup or ()
        self.own: Mapping[str, object] = compiled.params


def _bare(value: object) -> object:
    """Return a parameter as it is stored."""
    return value.isoformat() if isinstance(value, date) else value


class Database:
    """A connection pool with one way to read and one way to write.

    Parameters
    ----------
    url : str
        `sqlite:///PATH` or `postgresql://…`.
    wait_seconds : float
        The longest that a lock, a free connection or a server is waited for.
    silence_seconds : float, optional
        The longest that a server may say nothing while it works; without it, as long as it takes.
    """

    def __init__(
        self, url: str, *, wait_seconds: float = 30.0, silence_seconds: float | None = None
    ) -> None:
        self.url = _supported(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            self._engine = create_engine(
                self.url,
                json_serializer=_as_json,
                hide_parameters=True,
                connect_args=self._waits(wait_seconds),
                pool_size=8,
                max_overflow=24,
                pool_timeout=wait_seconds,
                pool_pre_ping=not self.is_sqlite,
            )
        except ImportError as error:
            raise _no_store(f"no driver: {error}", "install nba[postgres]") from error
        if self.is_sqlite:
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        elif silence_seconds is not None:
            event.listen(self._engine, "do_connect", _impatient(silence_seconds))
        self._local = threading.local()
        self._numbers = count()
        self._wait_seconds = wait_seconds
        #: SQLite lets its writers ask again and again; those of one process wait in line here.
        self._turn = threading.Lock()
        self._reader = self._engine.execution_options(
            **({_READ_ONLY: True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"})
        )

    def _waits(self, seconds: float) -> dict[str, Any]:
        """Return the driver's arguments by which it waits no longer than that."""
        if self.is_sqlite:
            return {"timeout": seconds}
        return {
            "connect_timeout": max(2, round(seconds)),  # libpq takes less for two
            "tcp_user_timeout": round(seconds * 1000),
            "options": f"-c lock_timeout={round(seconds * 1000)}",
        }

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)})"

    @property
    def engine(self) -> Engine:
        """The engine underneath, for migrations and tests."""
        return self._engine

    def version(self) -> int | None:
        """Return what differs, in one thread, as soon as anybody has committed; None: unknown.

        SQLite alone tells it, in some microseconds.
        """
        if not self.is_sqlite or not self.url.database:
            return None
        found = self.ask("PRAGMA data_version")
        # each connection counts by itself
        return None if found is None else int(self._local.number << 48 | int(found[0]))

    def ask(self, statement: str, *parameters: object) -> tuple[Any, ...] | None:
        """Return the first row of a question to SQLite, as it is stored, in some microseconds.

        None without a row, for another database, and where the file does not answer.
        """
        if not self.is_sqlite or not self.url.database:
            return None
        asking: sqlite3.Connection | None = getattr(self._local, "asking", None)
        try:
            if asking is None:
                # never written by: what this connection commits would not count
                asking = sqlite3.connect(self.url.database, isolation_level=None, timeout=0)
                self._local.asking = asking
                self._local.number = next(self._numbers)
            row: tuple[Any, ...] | None = asking.execute(statement, parameters).fetchone()
        except sqlite3.Error:
            return None
        return row

    def quick(self, query: Quick, **parameters: object) -> tuple[Any, ...] | None:
        """Return the first row of a query of whole numbers, texts and bytes, None without one.

        SQLite is asked itself: the layers between cost ten times what such a row does.
        """
        given = {**query.own, **{name: _bare(value) for name, value in parameters.items()}}
        found = self.ask(query.text, *(given[name] for name in query.names))
        if found is not None:
            return found
        with self.reading() as connection:
            row = connection.execute(query.statement, parameters).first()
        return None if row is None else tuple(row)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the store throughout."""
        may_wait()
        with _translated(self.url), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a writing transaction; it commits as a whole or not at all."""
        may_wait()
        with self._my_turn(), _translated(self.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=self._wait_seconds):
            raise UnavailableError(
                "the operational store does not answer",
                expected="a turn to write within the time that is waited",
                found=f"another write of {self._wait_seconds:g} seconds",
                next_step="try again",
            )
        try:
            yield
        finally:
            self._turn.release()

    def migrate(self) -> None:
        """Bring the schema to the newest version; safe when processes start together."""
        from alembic import command
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = _alembic_config()
        heads = set(ScriptDirectory.from_config(config).get_heads())
        with self.reading() as connection:
            if set(MigrationContext.configure(connection).get_current_heads()) == heads:
                return
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK}
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def purge(self, tables: Sequence[str]) -> None:
        """Overwrite what was deleted from `tables`.

        SQLite zeroes rows as they are deleted (`secure_delete`); here the file is written
        anew and the write-ahead log emptied. PostgreSQL writes the tables anew; its
        write-ahead log and backups age out by the server's own settings.
        """
        with _translated(self.url), self._engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()
                connection.exec_driver_sql("BEGIN")
            else:
                alone = connection.execution_options(isolation_level="AUTOCOMMIT")
                alone.exec_driver_sql(f"VACUUM FULL {', '.join(tables)}")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    """Turn what a database says into the project's own errors.

    A server names values in the details of its errors: they are left out, with the cause.
    """
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise UnavailableError(
            "the operational store does not answer",
            expected=f"a database at {url.render_as_string(hide_password=True)}",
            found=str(error).partition("\n")[0],
            next_step="try again; if it lasts, check the database",
        ) from error
    except DBAPIError as error:
        diagnosis = getattr(error.orig, "diag", None)
        if getattr(diagnosis, "sqlstate", None) == _READ_ONLY_TRANSACTION:
            raise UnavailableError(
                "the operational store takes no writes",
                expected=f"a database to write to at {url.render_as_string(hide_password=True)}",
                found="a server that is read-only",
                next_step="try again; if it lasts, check the database",
            ) from None
        facts = (getattr(diagnosis, name, None) for name in ("sqlstate", "constraint_name"))
        raise NbaError(
            "the operational store refused a statement",
            found=" ".join([type(error.orig).__name__, *(fact for fact in facts if fact)]),
            next_step="this is a fault of nba: please report it with these words",
        ) from None


def _supported(url: str) -> URL:
    """Return the URL of a store that can be kept; `ConfigError` for any other."""
    try:
        made = make_url(url)
        backend = made.get_backend_name()
    except ArgumentError as error:
        raise _no_store("a text that is no URL", "correct `operational_url`") from error
    if backend not in ("sqlite", "postgresql"):
        raise _no_store(f"a database of type {backend}", "name one of the two")
    if not made.database:
        raise _no_store("a URL without a database", "name the file or the database")
    return made


def _no_store(found: str, next_step: str) -> ConfigError:
    """Return an error that names no part of the URL, which may hold a password."""
    return ConfigError(
        "the operational store cannot be opened: `operational_url` or NBA_OPERATIONAL_URL is wrong",
        expected="sqlite:///PATH or postgresql://USER@HOST/DATABASE",
        found=found,
        next_step=next_step,
    )


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _impatient(seconds: float) -> Callable[..., Any]:
    """Return what connects to PostgreSQL and gives up where a server says nothing for so long.

    The driver itself waits for as long as the network holds the connection.
    """
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        """A connection that is closed when its server does not answer in time."""

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, seconds if timeout is None else timeout)
            except psycopg.errors._WaitTimeout:
                self.pgconn.finish()
                raise psycopg.OperationalError("the server said nothing in time") from None

    def connect(dialect: object, record: object, given: Any, named: Any) -> Any:
        return Impatient.connect(*given, **named)

    return connect


def _configure_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = cast("dict[str, Any]", connection.get_execution_options()).get(_READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
