"""What the API accepted, into the lake: a row that the lake refuses is set aside by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import pyarrow as pa

from nba.data.ingest import ingest
from nba.data.lake import Lake, connect
from nba.data.report import IngestReport, LoadRefusedError, Status
from nba.errors import InputRefusedError
from nba.schema.tables import TABLES
from nba.schema.words import CUSTOMER_ID
from nba.stores.outbox import OUTBOX_ID
from nba.wiring import Wiring

#: What a row can make a load raise. A disk that is full or a lake that is locked is none of it.
_OF_THE_ROWS = (
    InputRefusedError,
    duckdb.Error,
    pa.ArrowException,
    pl.exceptions.PolarsError,
    ValueError,
    TypeError,
    ArithmeticError,
)

Events = dict[str, pl.DataFrame]
#: Tables whose id alone names a row about a customer. Sales are none: the ids of a source's orders
#: are its own.
_BY_ID: Final = tuple(
    name
    for name, table in TABLES.items()
    if CUSTOMER_ID in table.by_name and CUSTOMER_ID not in table.key and len(table.key) == 1
)


@dataclass
class Drained:
    """What became of the rows that waited.

    Parameters
    ----------
    events, refused : int
        Rows that the lake has now, and rows that were set aside.
    version : str
        The lake's version after the last load; empty where nothing was loaded.
    """

    events: int = 0
    refused: int = 0
    version: str = ""

    def report(self) -> dict[str, Any]:
        """Return the counts as a step reports them."""
        return {name: value for name, value in vars(self).items() if value or name == "events"}


def drain_outbox(wiring: Wiring) -> dict[str, Any]:
    """Bring the events that the API accepted into the lake, and mark them.

    An event is marked only after the lake has committed it; a run that dies between the two
    loads it again, which changes nothing. Rows that the lake refuses are found by halving, and
    set aside with the reason: they never keep others out. So are rows under a key that is another
    customer's in the lake: they would take that row's place.
    """
    pending = wiring.plan_store.pending()
    drain = _Drain(wiring)
    drain.refuse(pending.refusals)
    taken = of_others(wiring.lake, pending.frames)
    drain.refuse(taken)
    free = ~pl.col(OUTBOX_ID).is_in(list(taken))
    own = {name: rows.filter(free) for name, rows in pending.frames.items()}
    own = {name: rows for name, rows in own.items() if rows.height}
    if own:
        drain.load(own)
    return drain.done.report()


def of_others(lake: Lake, events: Events) -> dict[str, Mapping[str, Any]]:
    """Return by `outbox_id` why rows are refused whose id is another customer's row in the lake."""
    found: dict[str, Mapping[str, Any]] = {}
    with connect() as connection:
        for name in [one for one in _BY_ID if one in events]:
            (key,) = TABLES[name].key
            waiting = events[name].select(OUTBOX_ID, key, CUSTOMER_ID).to_arrow()
            connection.register("waiting", waiting)
            rows = connection.execute(
                f"SELECT DISTINCT w.{OUTBOX_ID}, {key} FROM waiting AS w "
                f"JOIN ({_owned(lake, name, key)}) AS l USING ({key}) "
                f"WHERE w.{CUSTOMER_ID} <> l.{CUSTOMER_ID}"
            ).fetchall()
            for outbox_id, value in rows:
                found[outbox_id] = {
                    "reason": f"{name}.{key} is the id of another customer's row in the lake",
                    "column": key,
                    "rule": "other_customer",
                    "value": value,
                    "expected": "an id that no other row has",
                }
    return found


def _owned(lake: Lake, name: str, key: str) -> str:
    """Return a SELECT of a table's key with whom each row is about."""
    rows = lake.relation(name)
    if name != "responses":
        return f"SELECT {key}, {CUSTOMER_ID} FROM ({rows})"
    return (  # an answer to a contact is of whom was contacted
        f"SELECT {key}, coalesce(t.{CUSTOMER_ID}, i.{CUSTOMER_ID}) AS {CUSTOMER_ID} "
        f"FROM ({rows}) AS t LEFT JOIN ({lake.relation('interactions')}) AS i "
        "USING (interaction_id)"
    )


@dataclass
class _Drain:
    wiring: Wiring
    done: Drained = field(default_factory=Drained)

    def load(self, events: Events) -> None:
        """Load the rows; where the lake refuses them together, load them in parts."""
        try:
            with tempfile.TemporaryDirectory(prefix="nba-outbox-") as scratch:
                report = _ingest(self.wiring, events, Path(scratch))
        except _OF_THE_ROWS as error:
            parts = _parts(events)
            for part in parts:
                self.load(part)
            if not parts:
                ((outbox_id,),) = (rows[OUTBOX_ID].to_list() for rows in events.values())
                self.refuse({outbox_id: {"reason": _reason(error)}})
            return
        self._mark(events, report)

    def _mark(self, events: Events, report: IngestReport) -> None:
        """Note which rows the lake holds, and which it refused."""
        broken = _broken(events, report)
        ids = [str(name) for rows in events.values() for name in rows[OUTBOX_ID]]
        self.refuse(broken)
        taken = [name for name in ids if name not in broken]
        self.wiring.plan_store.mark_ingested(taken)
        self.done.events += len(taken)
        self.done.version = report.version

    def refuse(self, refusals: Mapping[str, Mapping[str, Any]]) -> None:
        """Set rows aside, each with its reason."""
        if refusals:
            self.wiring.plan_store.refuse_rows(refusals)
            self.done.refused += len(refusals)


def _ingest(wiring: Wiring, events: Events, scratch: Path) -> IngestReport:
    for name, rows in events.items():
        rows.drop(OUTBOX_ID).write_parquet(scratch / f"{name}.parquet")
    return ingest(
        scratch,
        wiring.lake,
        time_zone=wiring.settings.time_zone,
        now=datetime.now(UTC),
        is_increment=True,
        secret=wiring.project.secret(),
    )


def _parts(events: Events) -> list[Events]:
    """Return the tables one by one, or the halves of a single table; nothing for one row."""
    if len(events) > 1:
        return [{name: rows} for name, rows in events.items()]
    ((name, rows),) = events.items()
    if rows.height == 1:
        return []
    middle = rows.height // 2
    return [{name: rows[:middle]}, {name: rows[middle:]}]


def _broken(events: Events, report: IngestReport) -> dict[str, Mapping[str, Any]]:
    """Return by `outbox_id` which rule of the lake a row of this load breaks."""
    refused: dict[str, Mapping[str, Any]] = {}
    for row in report.refused:
        outbox_id = events[row["table"]][OUTBOX_ID][int(row["line"]) - 1]
        said = {name: row[name] for name in ("column", "rule", "value", "expected")}
        reason = f"{row['table']}.{row['column']} breaks the rule {row['rule']}"
        refused[str(outbox_id)] = {"reason": reason, **said}
    return refused


def _reason(error: Exception) -> str:
    """Return what a load said of a single row, on one line, without the path of the scratch."""
    if isinstance(error, LoadRefusedError):
        failed = [check for check in error.report.checks if check.status is Status.FAIL]
        reason = " ".join(check.message for check in failed) or str(error)
    else:
        reason = str(error)
    words = ("the row" if "nba-outbox-" in word else word for word in reason.split())
    return " ".join(words)


def open_rows(wiring: Wiring, outbox_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return rows that were accepted and are not in the lake, refused ones first."""
    return wiring.plan_store.open_rows(outbox_ids)


def drop_rows(wiring: Wiring, outbox_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Remove the named rows, which the lake does not hold; return them as they were."""
    if not outbox_ids:
        return []
    with wiring.at_work():
        rows = wiring.plan_store.open_rows(outbox_ids)
        wiring.plan_store.drop_rows([row["outbox_id"] for row in rows])
    return rows


def retry_rows(wiring: Wiring, outbox_ids: Sequence[str] = ()) -> dict[str, Any]:
    """Load refused rows again, all where none is named, and whatever else waits."""
    with wiring.at_work():
        rows = wiring.plan_store.open_rows(outbox_ids)
        wiring.plan_store.retry_rows([row["outbox_id"] for row in rows])
        return drain_outbox(wiring)


def counted(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return open rows counted by table, state and reason, with the first of each."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        reason = str((row["refusal"] or {}).get("reason", ""))
        key = (row["state"], row["table"], reason)
        group = groups.setdefault(
            key,
            {
                "state": row["state"],
                "table": row["table"],
                "reason": reason,
                "rows": 0,
                "first": row["outbox_id"],
            },
        )
        group["rows"] += 1
    return list(groups.values())
