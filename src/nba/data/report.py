"""What a load found and did: counts, sums and PASS, WARN or FAIL per check."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from nba.data.identity_keys import IdentityKey
from nba.errors import InputRefusedError


class Status(StrEnum):
    """The outcome of a check."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Check:
    """One check of one table, with a count and the first offender."""

    status: Status
    table: str
    name: str
    message: str
    count: int = 0
    first: str = ""

    def line(self) -> str:
        """Return the check as one line of text."""
        first = f"; first: {self.first}" if self.first else ""
        return f"{self.status:<4}  {self.table}: {self.message}{first}"


@dataclass
class Totals:
    """Rows, quantity and money."""

    rows: int = 0
    quantity: Decimal = Decimal(0)
    money: Decimal = Decimal(0)

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.rows + other.rows, self.quantity + other.quantity, self.money + other.money
        )

    def text(self, *, with_money: bool) -> str:
        """Return the totals for people."""
        if not with_money:
            return f"{self.rows:,} rows"
        quantity, money = (_plain(value) for value in (self.quantity, self.money))
        return f"{self.rows:,} rows, quantity {quantity}, money {money}"


def _plain(value: Decimal) -> str:
    text = f"{value.quantize(Decimal('0.0001')):,f}"
    return text.rstrip("0").rstrip(".")


@dataclass
class TableReport:
    """What became of one table."""

    name: str
    files: list[str] = field(default_factory=list)
    has_money: bool = False
    read: Totals = field(default_factory=Totals)
    accepted: Totals = field(default_factory=Totals)
    quarantined: Totals = field(default_factory=Totals)
    filtered: int = 0
    kept_out: int = 0
    kept_out_by_key: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0
    partitions: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class IngestReport:
    """The result of a load or of a check without loading.

    Parameters
    ----------
    folder, mapping : str
    load_id : str
    loaded_at : datetime
    recognised : list of str
        What files were taken for: known exports by their header, text in other encodings.
    currency : str
        That of most money, where files or the mapping of the first sales say it.
    refused : list of dict
        Rows that an increment did not accept and that its caller keeps, see `nba.data.ingest`.
    learned : dict of str to set of IdentityKey
        Keys of erased customers that no tombstone had, by receipt_id: for their tombstones, and
        in no report that is written.
    """

    folder: str
    mapping: str
    load_id: str
    loaded_at: datetime
    committed: bool = False
    version_before: str = ""
    version: str = ""
    seconds: float = 0.0
    tables: dict[str, TableReport] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    recognised: list[str] = field(default_factory=list)
    currency: str = ""
    refused: list[dict[str, Any]] = field(default_factory=list)
    learned: dict[str, set[IdentityKey]] = field(default_factory=dict)

    def add(
        self,
        status: Status,
        table: str,
        name: str,
        message: str,
        *,
        count: int = 0,
        first: str = "",
    ) -> None:
        """Add a check of a table, with how many rows it is about and the first of them.

        Parameters
        ----------
        status : Status
        table : str
        name : str
            What is checked, such as `keys` or `state.on_hand`.
        message : str
            A sentence for a person.
        count : int
            Rows that the check is about.
        first : str
            The first of them, as it stands in the file.
        """
        self.checks.append(Check(status, table, name, message, count, first))

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(check.status is Status.FAIL for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0, or 65 where a table was refused."""
        return InputRefusedError.exit_code if self.failed else 0

    @property
    def changed(self) -> bool:
        """Whether the lake's content changed."""
        return self.version != self.version_before

    def lines(self, *, verbose: bool = False) -> list[str]:
        """Return the summary for people: a line per table, and the checks that need a look.

        Parameters
        ----------
        verbose : bool
            Add every check that passed.
        """
        lines = [f"{self.folder} with mapping {self.mapping}"]
        lines += [f"recognised {text}" for text in self.recognised]
        lines += [
            f"{table.name}: read {table.read.text(with_money=table.has_money)}; "
            f"{table.new:,} new, {table.changed:,} changed, {table.unchanged:,} unchanged, "
            f"{table.repeated:,} repeated, {table.quarantined.rows:,} quarantined"
            for table in self.tables.values()
        ]
        lines += [
            check.line() for check in self.checks if verbose or check.status is not Status.PASS
        ]
        lines.append(self._conclusion())
        return lines

    def _conclusion(self) -> str:
        if self.failed:
            return "refused: nothing was loaded"
        if not self.committed:
            return "checked only: nothing was loaded"
        if not self.changed:
            return f"nothing changed: the lake stays at version {self.version}"
        return f"loaded in {self.seconds:.1f} s: the lake is now at version {self.version}"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        content: dict[str, Any] = asdict(self)
        del content["learned"]
        content["exit_code"] = self.exit_code
        plain: dict[str, Any] = _json(content)
        return plain


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _plain(value).replace(",", "")
    return value


class LoadRefusedError(InputRefusedError):
    """A load was refused; `report` says everything that was found."""

    def __init__(self, report: IngestReport) -> None:
        self.report = report
        failed = [check for check in report.checks if check.status is Status.FAIL]
        super().__init__(
            f"the load of {report.folder} was refused; nothing was loaded\n"
            + "\n".join(check.line() for check in failed),
        )
