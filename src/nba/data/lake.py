"""The lake: Parquet files and one manifest that says which of them count.

A load writes new files beside the old ones and then replaces the manifest by a rename. A
reader takes the manifest once and sees that version for as long as it likes (files that a
newer version dropped stay for an hour); a crash at any moment leaves the version before.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import polars as pl
import pyarrow as pa

from nba.data import sql
from nba.errors import LockHeldError, NbaError, NotFoundError
from nba.files import sync, write_text
from nba.schema.tables import LOADED_AT, TABLES, VALID_FROM, Table

MANIFEST = "manifest.json"
FORMAT = 1
#: Seconds for which files that no version needs any more stay for readers of an older one.
GRACE_SECONDS = 3600.0
#: The partition of a table that is not partitioned.
WHOLE = "all"


@dataclass(frozen=True)
class Partition:
    """The files of one partition, their rows and an order-free sum of row hashes."""

    files: tuple[str, ...]
    rows: int
    digest: int


@dataclass(frozen=True)
class State:
    """One version of the lake: what the manifest says."""

    tables: dict[str, dict[str, Partition]] = field(default_factory=dict)
    quarantine: tuple[str, ...] = ()
    loads: tuple[dict[str, Any], ...] = ()
    retired: dict[str, float] = field(default_factory=dict)

    def digest(self, table: str) -> str:
        """Return the content digest of one table, without `loaded_at`."""
        partitions = self.tables.get(table, {})
        total = sum(partition.digest for partition in partitions.values()) % (1 << 128)
        rows = sum(partition.rows for partition in partitions.values())
        return hashlib.sha256(f"{table}:{rows}:{total}".encode()).hexdigest()[:16]

    @property
    def version(self) -> str:
        """The content digest of all tables: equal content, equal version."""
        parts = [
            f"{name}={self.digest(name)}"
            for name in sorted(self.tables)
            if any(partition.rows for partition in self.tables[name].values())
        ]
        return hashlib.sha256(";".join(parts).encode()).hexdigest()[:16]

    @property
    def has_clock(self) -> bool:
        """Whether times mean weekday and hour; False once a mapping said that they do not."""
        return all(load.get("time_features", True) for load in self.loads)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest's content."""
        return {
            "format": FORMAT,
            "version": self.version,
            "tables": {
                name: {
                    key: {
                        "files": list(partition.files),
                        "rows": partition.rows,
                        "digest": str(partition.digest),
                    }
                    for key, partition in sorted(partitions.items())
                }
                for name, partitions in sorted(self.tables.items())
            },
            "quarantine": list(self.quarantine),
            "loads": list(self.loads),
            "retired": self.retired,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> State:
        """Read a manifest."""
        return cls(
            {
                name: {
                    key: Partition(tuple(item["files"]), item["rows"], int(item["digest"]))
                    for key, item in partitions.items()
                }
                for name, partitions in content["tables"].items()
            },
            tuple(content["quarantine"]),
            tuple(content["loads"]),
            dict(content["retired"]),
        )


class Lake:
    """The tables of a project under one folder.

    Parameters
    ----------
    root : Path
        The folder; made on the first load.
    committed : callable, optional
        Called when a new version counts; what it raises is raised by the load.
    """

    def __init__(self, root: Path | str, *, committed: Callable[[], object] = lambda: None) -> None:
        self.root = Path(root)
        self.committed = committed

    def state(self) -> State:
        """Return the current version; take it once for a consistent view of several tables."""
        path = self.root / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return State()
        except json.JSONDecodeError as error:
            raise NbaError(
                f"the manifest {path} is damaged",
                expected="JSON",
                found=str(error),
                next_step="restore the file from a backup; the data files are not touched",
            ) from error
        if content.get("format") != FORMAT:
            raise NbaError(
                f"the lake {self.root} was written by another version of nba",
                expected=f"format {FORMAT}",
                found=f"format {content.get('format')}",
                next_step="load the tables again into a new lake",
            )
        return State.from_json(content)

    @property
    def version(self) -> str:
        """The content digest of the current version, without `loaded_at`."""
        return self.state().version

    def digest(self, table: str) -> str:
        """Return the content digest of one table."""
        return self.state().digest(_known(table).name)

    def files(self, table: str, state: State | None = None) -> list[Path]:
        """Return the Parquet files that hold `table` now."""
        partitions = (state or self.state()).tables.get(_known(table).name, {})
        return [
            self.root / file
            for _, partition in sorted(partitions.items())
            for file in partition.files
        ]

    def rows(self, table: str) -> int:
        """Return the number of rows of `table`."""
        partitions = self.state().tables.get(_known(table).name, {})
        return sum(partition.rows for partition in partitions.values())

    def relation(self, table: str, state: State | None = None) -> str:
        """Return a SELECT over the whole table: every column of the contract, then `attr_…`."""
        return relation(_known(table), self.files(table, state))

    def arrow(self, table: str) -> pa.Table:
        """Return a whole table as Arrow, times in UTC."""
        with connect() as connection:
            return connection.execute(self.relation(table)).to_arrow_table()

    def polars(self, table: str) -> pl.DataFrame:
        """Return a whole table as polars, times in UTC."""
        frame = pl.from_arrow(self.arrow(table))
        assert isinstance(frame, pl.DataFrame)
        return frame

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Hold the lake's lock and yield a writer; what is not committed is removed.

        Raises
        ------
        LockHeldError
            Where another process writes to this lake now.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LockHeldError(
                    f"another load writes to {self.root}",
                    expected="one load at a time",
                    next_step="wait until it has ended, then call again",
                ) from error
            writer = Writer(self, self.state())
            try:
                writer.sweep()
                yield writer
            finally:
                shutil.rmtree(writer.scratch, ignore_errors=True)


def relation(table: Table, files: list[Path]) -> str:
    """Return a SELECT of every column of `table` over Parquet files (empty without files)."""
    if files:
        return f"SELECT * FROM {sql.parquet(files)}"
    columns = ", ".join(
        f"CAST(NULL AS {duckdb_type(column.type)}) AS {sql.name(column.name)}"
        for column in table.arrow_schema
    )
    return f"SELECT {columns} WHERE false"


def duckdb_type(type_: pa.DataType) -> str:
    """Return the DuckDB name of a type of the contract."""
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_list(type_):
        return f"{duckdb_type(type_.value_type)}[]"
    names = {
        "string": "VARCHAR",
        "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
        "date32[day]": "DATE",
        "double": "DOUBLE",
        "int64": "BIGINT",
        "bool": "BOOLEAN",
    }
    return names[str(type_)]


def connect(
    *, threads: int | None = None, memory: str = "2GB", scratch: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory, in UTC, spilling to `scratch` beyond `memory`."""
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = {sql.text(memory)}")
    connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
    if threads:
        connection.execute(f"SET threads = {threads}")
    if scratch is not None:
        connection.execute(f"SET temp_directory = {sql.text(str(scratch))}")
    return connection


def row_hash(table: Table, columns: list[str]) -> str:
    """Return the SQL of a row's content hash, in which an absent `attr_` is an empty one."""
    own = [
        name
        for name in table.arrow_schema.names
        if name != LOADED_AT and not (table.history and name == VALID_FROM)
    ]
    base = sql.names(own)
    terms = [f"CAST(hash({base}) AS HUGEINT)"]
    if table.history:
        # A version that the load dated itself has no date of its own.
        dated = f"CASE WHEN {VALID_FROM} <> {LOADED_AT} THEN {VALID_FROM} END"
        terms = [f"CAST(hash({base}, {dated}) AS HUGEINT)"]
    terms += [
        f"CASE WHEN {sql.name(name)} IS NULL THEN 0::HUGEINT "
        f"ELSE CAST(hash({base}, {sql.text(name)}, {sql.name(name)}) AS HUGEINT) END"
        for name in sorted(set(columns) - set(table.arrow_schema.names))
    ]
    return " + ".join(terms)


def _known(table: str) -> Table:
    if table not in TABLES:
        raise NotFoundError(f"there is no table {table!r}", expected=f"one of {', '.join(TABLES)}")
    return TABLES[table]


class Writer:
    """One load: writes files aside, then makes them count by one rename."""

    def __init__(self, lake: Lake, state: State) -> None:
        self.lake = lake
        self.before = state
        self.state = State(
            {name: dict(partitions) for name, partitions in state.tables.items()},
            state.quarantine,
            state.loads,
            dict(state.retired),
        )
        self.load_id = uuid4().hex[:12]
        self.scratch = lake.root / "scratch" / self.load_id
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._moves: list[tuple[Path, Path]] = []

    def sweep(self) -> None:
        """Remove what a load that was killed left behind, and files retired long ago."""
        for left in (self.lake.root / "scratch").iterdir():
            if left != self.scratch:
                shutil.rmtree(left, ignore_errors=True)
        limit = time.time() - GRACE_SECONDS
        for name, since in list(self.state.retired.items()):
            if since < limit:
                (self.lake.root / name).unlink(missing_ok=True)
                del self.state.retired[name]
        used = {*self._used(self.state), *self.state.retired}
        for folder in ("tables", "quarantine"):
            for path in (self.lake.root / folder).rglob("*.parquet"):
                if str(path.relative_to(self.lake.root)) not in used:
                    path.unlink()

    @staticmethod
    def _used(state: State) -> set[str]:
        files = {
            file
            for partitions in state.tables.values()
            for partition in partitions.values()
            for file in partition.files
        }
        return files | set(state.quarantine)

    def place(self, table: str, partition: str, staged: list[Path]) -> tuple[str, ...]:
        """Plan to move staged files into the lake; return the names that they will have."""
        names = []
        for path in staged:
            name = f"tables/{table}/{partition}/{self.load_id}-{len(self._moves):05d}.parquet"
            self._moves.append((path, self.lake.root / name))
            names.append(name)
        return tuple(names)

    def put(self, table: str, partition: str, content: Partition) -> None:
        """Let `content` stand as the partition of the version to come."""
        partitions = self.state.tables.setdefault(table, {})
        if content.rows:
            partitions[partition] = content
        else:
            partitions.pop(partition, None)

    def put_quarantine(self, staged: Path | None, *, keep: bool = True) -> None:
        """Add a quarantine file, or let it replace all earlier ones."""
        earlier = self.state.quarantine if keep else ()
        names: tuple[str, ...] = ()
        if staged is not None:
            names = (f"quarantine/{self.load_id}-{len(self._moves):05d}.parquet",)
            self._moves.append((staged, self.lake.root / names[0]))
        self.state = replace(self.state, quarantine=(*earlier, *names))

    @property
    def has_changes(self) -> bool:
        """Whether a commit would change anything but the list of loads."""
        return bool(self._moves) or self._used(self.state) != self._used(self.before)

    def commit(self, load: dict[str, Any]) -> State:
        """Make the new version count; all of it or, after a crash, nothing."""
        for source, target in self._moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            sync(source)
            source.rename(target)
        for folder in {target.parent for _, target in self._moves}:
            sync(folder)
        dropped = self._used(self.before) - self._used(self.state)
        retired = {**self.state.retired, **dict.fromkeys(dropped, time.time())}
        self.state = replace(self.state, retired=retired, loads=(*self.state.loads, load))
        write_text(self.lake.root / MANIFEST, json.dumps(self.state.to_json(), ensure_ascii=False))
        self.lake.committed()
        return self.state
