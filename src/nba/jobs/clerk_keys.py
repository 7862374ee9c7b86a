"""Keys for every clerk at once: made, written down once, and renewed with an overlap."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from nba.errors import UsageError
from nba.stores.access import NewKey, Scope
from nba.stores.operational import utc_now
from nba.wiring import Wiring

_COLUMNS = ("clerk_id", "store_id", "name", "key_id", "token")


@dataclass(frozen=True)
class Issued:
    """How many keys were made, and how many of before end after the overlap."""

    made: int
    ending: int


def issue_clerk_keys(
    wiring: Wiring, out: Path, *, expires_days: int = 0, rotate: bool = False, overlap_days: int = 7
) -> Issued:
    """Make a key for each clerk who works here and has none, and write the tokens to a new file.

    Parameters
    ----------
    wiring : Wiring
    out : Path
        A CSV file that only its owner may read: it is the one place where the tokens stand.
    expires_days : int
        Days for which the keys are valid; 0: until they are revoked.
    rotate : bool
        Make one for every clerk; keys of before stay valid for the overlap.
    overlap_days : int
        Days in which a clerk's old and new key are both valid.

    Raises
    ------
    UsageError
        When the file exists.
    """
    if out.exists():
        raise UsageError(
            f"{out} exists", expected="a new file", next_step="name another, or remove it"
        )
    clerks, now = _clerks(wiring), utc_now()
    store = wiring.plan_store
    known = store.keys()
    valid: dict[str, list[str]] = {}
    for key in known:
        is_over = key["expires_at"] is not None and key["expires_at"] <= now
        if key["scope"] == Scope.CLERK and key["revoked_at"] is None and not is_over:
            valid.setdefault(key["subject"], []).append(key["key_id"])
    wanted = [clerk_id for clerk_id in clerks if rotate or clerk_id not in valid]
    ending = [key_id for clerk_id in wanted for key_id in valid.get(clerk_id, ())]
    store.issue_keys(
        Scope.CLERK,
        wanted,
        expires_at=now + timedelta(days=expires_days) if expires_days else None,
        ending=ending,
        ends_at=now + timedelta(days=overlap_days),
        keep=lambda keys: _write(out, keys, clerks),
    )
    return Issued(len(wanted), len(ending))


def _clerks(wiring: Wiring) -> dict[str, Mapping[str, str | None]]:
    """Return the clerks who have not left, by id."""
    table = wiring.tables.at(None)["clerks"]
    here = table.filter(table.left_at.isnull()).select("clerk_id", "store_id", "name")
    rows = wiring.tables.collect(here).sort("clerk_id").iter_rows(named=True)
    return {row["clerk_id"]: row for row in rows}


def _write(
    out: Path, keys: Sequence[NewKey], clerks: Mapping[str, Mapping[str, str | None]]
) -> None:
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as handle:
        rows = csv.DictWriter(handle, _COLUMNS)
        rows.writeheader()
        for key in keys:
            known = clerks[str(key.key.subject)]
            rows.writerow({**known, "key_id": key.key.key_id, "token": key.token})
