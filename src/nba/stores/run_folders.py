"""What each nightly run keeps: tables as Parquet, texts as JSON, one folder per day."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar, Protocol

import polars as pl

from nba.data.erasure import CUSTOMER, Leaving, Tally
from nba.errors import NotFoundError
from nba.files import write_parquet, write_text

_PLAN = "plan/actions"
#: The decision log of a run.
LOG = "plan/log"


def _of(table: pl.LazyFrame, among: pl.DataFrame | None) -> pl.LazyFrame:
    """Return a table of customers confined to some, any other as it is."""
    if among is None or CUSTOMER not in table.collect_schema():
        return table
    return table.filter(pl.col(CUSTOMER).is_in(among[CUSTOMER].implode()))


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; a name such as `plan/actions` is a table's place in it.

    Parameters
    ----------
    path : Path
        Made when first written to.
    """

    path: Path

    def file(self, name: str) -> Path:
        """Return where a table lies."""
        return self.path / f"{name}.parquet"

    def has(self, name: str) -> bool:
        """Return whether a table is kept."""
        return self.file(name).is_file()

    def write(self, name: str, table: pl.DataFrame | pl.LazyFrame) -> None:
        """Keep a table, as a whole or not at all; a lazy one passes through memory in batches."""
        write_parquet(table, self.file(name))

    def remove(self, group: str) -> None:
        """Remove every table of a group, and of the groups in it."""
        shutil.rmtree(self.path / group, ignore_errors=True)

    def read(self, name: str, among: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return a kept table.

        Parameters
        ----------
        name : str
        among : DataFrame, optional
            customer_id: of a table of customers the rows of these alone.

        Raises
        ------
        NotFoundError
            When the run kept no such table.
        """
        return _of(self.scan(name), among).collect()

    def scan(self, name: str) -> pl.LazyFrame:
        """Return a kept table to read parts of.

        Raises
        ------
        NotFoundError
            When the run kept no such table.
        """
        if not self.has(name):
            raise NotFoundError(
                f"the run of {self.path.name} kept no table {name}",
                expected=f"{name}.parquet in its folder",
                next_step=f"make it anew: `nba run --as-of {self.path.name} --force`",
            )
        return pl.scan_parquet(self.file(name))

    def tables(self, group: str, among: pl.DataFrame | None = None) -> dict[str, pl.DataFrame]:
        """Return every table kept in a group such as `inputs`, by name; `among` as for `read`."""
        paths = sorted((self.path / group).glob("*.parquet"))
        return {path.stem: _of(pl.scan_parquet(path), among).collect() for path in paths}

    def erase(self, leaving: Leaving) -> Tally:
        """Take customers out of every table; return what was there.

        Rows of the decision log stay for their propensities, under the customer's pseudonym.
        """
        tally = Tally()
        for path in sorted(self.path.rglob("*.parquet")):
            if CUSTOMER not in pl.read_parquet_schema(path):
                continue
            table = pl.read_parquet(path)
            theirs = pl.col(CUSTOMER).is_in(leaving.customer_ids)
            counts = table.filter(theirs).group_by(CUSTOMER).len().rows()
            if not tally.add(counts):
                continue
            if path == self.file(LOG):
                named = pl.col(CUSTOMER).replace(leaving.pseudonyms)
                write_parquet(table.with_columns(named), path)
            else:
                write_parquet(table.filter(theirs.not_().fill_null(True)), path)
        return tally

    def write_text(self, name: str, content: str) -> None:
        """Keep a text, as a whole or not at all."""
        write_text(self.path / name, content)

    def read_text(self, name: str) -> str | None:
        """Return a kept text, or None."""
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.is_file() else None


class OlderRuns(Protocol):
    """Runs that are not on this machine, unless they are asked for."""

    def days(self) -> Sequence[date]:
        """Return the days of which a plan is kept, here or not."""

    def fetch(self, folder: str) -> None:
        """Bring a folder of the data folder here."""


@dataclass(frozen=True)
class RunFolders:
    """The folders of all runs of one project.

    Parameters
    ----------
    root : Path
        `runs` of the data folder.
    older : OlderRuns, optional
        Where runs are kept that are not here.
    """

    root: Path
    older: OlderRuns | None = None
    place: ClassVar[str] = "plans and scores"

    def erase(self, leaving: Leaving) -> Tally:
        """Take customers out of what every run keeps; return what was there."""
        tally = Tally()
        self._fetch_all()
        for path in sorted(self.root.glob("*/")):
            tally.merge(RunFolder(path).erase(leaving))
        return tally

    def action_ids(self, customer_ids: Sequence[str]) -> dict[str, str]:
        """Return every action that a kept plan has for the customers, each with its customer."""
        self._fetch_all()
        paths = sorted(self.root.glob(f"*/{_PLAN}.parquet"))
        customers: dict[str, str] = {}
        for path in paths:
            table = pl.read_parquet(path, columns=["action_id", CUSTOMER])
            customers.update(table.filter(pl.col(CUSTOMER).is_in(list(customer_ids))).rows())
        return customers

    def of(self, day: date) -> RunFolder:
        """Return the folder of one day, made or not."""
        path = self.root / day.isoformat()
        if self.older is not None and not path.is_dir():
            self.older.fetch(f"{self.root.name}/{path.name}")
        return RunFolder(path)

    def _fetch_all(self) -> None:
        for day in self.older.days() if self.older is not None else ():
            self.of(day)

    def planned_days(self) -> list[date]:
        """Return the days of which a plan is kept, in order."""
        paths = self.root.glob(f"*/{_PLAN}.parquet")
        here = {date.fromisoformat(path.parent.parent.name) for path in paths}
        return sorted(here.union(self.older.days() if self.older is not None else ()))

    def planned(self, day: date) -> RunFolder:
        """Return the folder of a day of which a plan is kept.

        Raises
        ------
        NotFoundError
            When no plan is kept, with the days of which one is.
        """
        folder = self.of(day)
        if not folder.has(_PLAN):
            known = ", ".join(str(kept) for kept in self.planned_days()[-3:])
            raise NotFoundError(
                f"there is no plan of {day}",
                expected=f"a run of `nba run --as-of {day}`",
                found=f"plans of {known or 'no day'}",
                next_step="run the nightly job for that day, or choose another",
            )
        return folder
