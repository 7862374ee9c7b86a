"""Search everything that is kept for a customer: files of any kind, Parquet, and databases."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Engine, String, cast, func, inspect, select
from sqlalchemy.schema import MetaData, Table

from nba.data.erasure import mentions, names_customer

_SQLITE: Final = b"SQLite format 3\x00"
_PARQUET: Final = b"PAR1"
_ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
#: Names in files of ours under which customers' ids stand, beside those that say customer.
_IDS: Final = frozenset({"neighbour_ids"})


@dataclass(frozen=True)
class Finding:
    """Where a customer's id stands.

    Parameters
    ----------
    place : str
        A file below the project, or a database.
    where : str
        Column, table and column, or `text`.
    count : int
        Values or lines.
    kept : bool
        False where it is no remainder: in a file that the engine did not make, or a number that
        need not mean the customer.
    """

    place: str
    where: str
    count: int
    kept: bool


@dataclass
class Search:
    """What a search looked at and found.

    Parameters
    ----------
    customer_id : str
    looked : dict of str to int
        Files by kind, and tables by database.
    unseen : list of str
        What could not be searched, and why.
    findings : list of Finding
    """

    customer_id: str
    looked: dict[str, int] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def kept(self) -> list[Finding]:
        """The remainders."""
        return [one for one in self.findings if one.kept]

    def note(self, kind: str) -> None:
        """Count one more file or table that was searched."""
        self.looked[kind] = self.looked.get(kind, 0) + 1

    def add(self, place: str, where: str, count: int, *, kept: bool) -> None:
        """Add a finding, if there is any.

        Parameters
        ----------
        place : str
            A file, or a table of a database.
        where : str
            The column or key.
        count : int
            How often; 0 adds nothing.
        kept : bool
            It ought not to be there: a remainder.
        """
        if count:
            self.findings.append(Finding(place, where, count, kept))

    def to_json(self) -> dict[str, Any]:
        """Return the search as JSON data."""
        return asdict(self)

    def means(self, name: str) -> bool:
        """Return whether the id under a column or key of this name means the customer.

        A number of digits alone may as well be an order or a price elsewhere.
        """
        last = name.rpartition(".")[2]
        return names_customer(last) or last in _IDS or not self.customer_id.isdecimal()


def search_folder(search: Search, root: Path, own: Path) -> None:
    """Search every file below `root`; what is not below `own` is the user's.

    Parameters
    ----------
    search : Search
        Takes up what is found.
    root, own : Path
        The project's folder, and the one in which the engine keeps what it makes.
    """
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        if "__pycache__" in path.parts or path.is_symlink():
            continue
        try:
            _search_file(search, path, str(path.relative_to(root)), own in path.parents)
        except FileNotFoundError:
            continue  # a file of a run that has ended since
        except (OSError, ValueError, pa.ArrowException, sqlite3.Error) as error:
            reason = str(error).partition("\n")[0]
            search.unseen.append(f"{path.relative_to(root)}: {reason}")


def _search_file(search: Search, path: Path, place: str, own: bool) -> None:
    with path.open("rb") as handle:
        head = handle.read(16)
    if head.startswith(_PARQUET):
        search.note("Parquet files")
        _search_parquet(search, path, place, own)
    elif head == _SQLITE:
        search.note("SQLite files")
        _search_sqlite(search, path, place, own)
    elif head.startswith(_ZIP):
        search.note("archives")
        _search_zip(search, path, place, own)
    else:
        search.note("other files")
        content = path.read_bytes()
        if head.startswith(_GZIP):
            content = gzip.decompress(content)
        _search_text(search, content, path.suffix, place, own)


def _search_parquet(search: Search, path: Path, place: str, own: bool) -> None:
    counts: dict[str, int] = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for column, values in zip(batch.schema.names, batch.columns, strict=True):
                for name, strings in _strings(column, values):
                    count = _count(strings, search.customer_id)
                    if count:
                        counts[name] = counts.get(name, 0) + count
    for name, count in counts.items():
        search.add(place, name, count, kept=own and search.means(name))


def _strings(name: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Yield every array of texts in an array, however deep in lists and structs."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        yield from _strings(name, values.dictionary_decode())
    elif pa.types.is_struct(kind):
        for number, part in enumerate(kind):
            yield from _strings(f"{name}.{part.name}", values.field(number))
    elif pa.types.is_map(kind):
        yield from _strings(f"{name}.key", values.keys)
        yield from _strings(f"{name}.value", values.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _strings(name, values.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield name, values


def _count(strings: pa.Array, customer_id: str) -> int:
    """Count values that are the id, or that hold it as a word."""
    near = strings.filter(pc.match_substring(strings, customer_id))
    return sum(
        text == customer_id or mentions(text, customer_id) for text in near.to_pylist() if text
    )


def _search_sqlite(search: Search, path: Path, place: str, own: bool) -> None:
    """Search every table, then the bytes of the file and its log: pages that were freed."""
    near = 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            search.note(f"tables of {place}")
            near += _search_table(search, connection, table, place, own)
    finally:
        connection.close()
    if near or search.customer_id.isdecimal():
        return  # the bytes would only repeat what stands in the tables, or in other numbers
    for part in ("", "-wal"):
        beside = Path(f"{path}{part}")
        if beside.exists():
            count = beside.read_bytes().count(search.customer_id.encode())
            search.add(f"{place}{part}", "freed pages", count, kept=own)


def _search_table(
    search: Search, connection: sqlite3.Connection, table: str, place: str, own: bool
) -> int:
    """Search one table; return how many values hold the id, as a word or not."""
    near, quoted = 0, table.replace('"', '""')
    for _, column, *_ in connection.execute(f'PRAGMA table_info("{quoted}")').fetchall():
        name = column.replace('"', '""')
        rows = connection.execute(
            f'SELECT CAST("{name}" AS TEXT) FROM "{quoted}" '
            f'WHERE instr(CAST("{name}" AS TEXT), ?) > 0',
            (search.customer_id,),
        ).fetchall()
        near += len(rows)
        count = sum(mentions(text, search.customer_id) for (text,) in rows)
        search.add(place, f"{table}.{column}", count, kept=own and search.means(column))
    return near


def search_database(search: Search, engine: Engine, name: str) -> None:
    """Search every table of a database server, text by text."""
    metadata = MetaData()
    for table_name in inspect(engine).get_table_names():
        table = Table(table_name, metadata, autoload_with=engine)
        search.note(f"tables of {name}")
        with engine.connect() as connection:
            for column in table.columns:
                text = cast(column, String)
                rows = connection.scalars(
                    select(text).where(func.strpos(text, search.customer_id) > 0)
                ).all()
                count = sum(mentions(str(value), search.customer_id) for value in rows)
                where = f"{table_name}.{column.name}"
                search.add(name, where, count, kept=search.means(column.name))


def _search_zip(search: Search, path: Path, place: str, own: bool) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            content = archive.read(member)
            if member.endswith(".npy"):
                count = _count_array(content, search.customer_id)
                search.add(place, member, count, kept=own and search.means(member))
            else:
                _search_text(search, content, Path(member).suffix, f"{place}: {member}", own)


def _count_array(content: bytes, customer_id: str) -> int:
    """Count the values of a saved array of texts that are the id."""
    values = np.load(BytesIO(content), allow_pickle=False)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    return int((values == customer_id).sum()) if values.dtype.kind == "U" else 0


def _search_text(search: Search, content: bytes, suffix: str, place: str, own: bool) -> None:
    if search.customer_id.encode() not in content and not _may_be_escaped(search.customer_id):
        return
    text = content.decode("utf-8", "replace")
    if suffix == ".json":
        counts: dict[str, int] = {}
        for key, value in _json_strings("", json.loads(text)):
            if mentions(value, search.customer_id):
                counts[key] = counts.get(key, 0) + 1
        for key, count in counts.items():
            search.add(place, key, count, kept=own and search.means(key))
        return
    words = re.compile(rf"(?<!\w){re.escape(search.customer_id)}(?!\w)")
    is_remainder = own and not search.customer_id.isdecimal()
    search.add(place, "text", len(words.findall(text)), kept=is_remainder)


def _may_be_escaped(customer_id: str) -> bool:
    """Return whether JSON may write the id in another way than its own characters."""
    return json.dumps(customer_id) != f'"{customer_id}"'


def _json_strings(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield every text of JSON data, keys too, with the key under which it stands."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield key or "key", str(name)
            yield from _json_strings(str(name), item)
    elif isinstance(value, list):
        for item in value:
            yield from _json_strings(key, item)
    elif isinstance(value, str):
        yield key, value
