"""Rows of the contract's tables as JSON: each checked and typed by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from nba.errors import InputRefusedError
from nba.schema.tables import ATTRIBUTE_PREFIX, TABLES, VALID_FROM, Column, Kind, Table

#: Moments before this day are taken for broken clocks.
EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
#: A client's clock may run ahead by this much.
AHEAD: Final = timedelta(days=1)
_LARGEST = Decimal(10) ** 14
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BIRTHDAY = re.compile(r"(\d{4}-)?(\d{2})-(\d{2})")
_LONGEST = 2000


class _BadValueError(ValueError):
    """What a value should have been."""


def parse_row(
    table: str, row: Mapping[str, Any], *, zone: ZoneInfo, now: datetime
) -> dict[str, Any]:
    """Return `row` typed as the contract says; moments become UTC.

    Raises
    ------
    InputRefusedError
        On the first value that breaks the contract, naming column, rule and value.
    """
    contract = TABLES[table]
    _refuse_unknown(contract, row)
    values: dict[str, Any] = {}
    for column in contract.columns:
        value = row.get(column.name)
        if value is None or value == "":
            if column.required or column.key:
                raise _refused(table, column.name, "a value", value)
            continue
        try:
            values[column.name] = _parse(column, value, zone, now)
        except _BadValueError as error:
            raise _refused(table, column.name, str(error), value) from None
    extra = {name: str(row[name])[:_LONGEST] for name in row if name not in contract.by_name}
    _check_whole(table, values)
    return values | extra


def _refuse_unknown(contract: Table, row: Mapping[str, Any]) -> None:
    known = {*contract.by_name, VALID_FROM} if contract.history else set(contract.by_name)
    for name in row:
        if name not in known and not name.startswith(ATTRIBUTE_PREFIX):
            raise _refused(
                contract.name, name, f"one of {', '.join(contract.by_name)}", "an unknown column"
            )


def _check_whole(table: str, values: Mapping[str, Any]) -> None:
    if table == "responses" and not values.keys() & {"interaction_id", "customer_id"}:
        raise _refused(table, "interaction_id", "an interaction_id or a customer_id", "neither")
    if table == "transactions" and values["quantity"] == 0:
        raise _refused(table, "quantity", "a number other than zero", 0)


def _refused(table: str, column: str, rule: str, value: object) -> InputRefusedError:
    return InputRefusedError(
        f"{table}.{column} breaks the data contract",
        expected=rule,
        found=str(value)[:80],
        next_step="correct the row and send it again with the same id",
    )


def _parse(column: Column, value: Any, zone: ZoneInfo, now: datetime) -> Any:
    if column.kind is Kind.TIMESTAMP:
        return _moment(value, zone, now)
    parsed = _PARSERS[column.kind](value)
    _check_values(column, parsed)
    _check_range(column, parsed)
    return parsed


def _check_values(column: Column, parsed: Any) -> None:
    if not column.values:
        return
    given = parsed if isinstance(parsed, list) else [parsed]
    if any(one not in column.values for one in given):
        raise _BadValueError(f"one of {', '.join(column.values)}")


def _check_range(column: Column, parsed: Any) -> None:
    low, high = column.minimum, column.maximum
    if (low is not None and parsed < low) or (high is not None and parsed > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise _BadValueError(f"a number {bounds}")


def _moment(value: Any, zone: ZoneInfo, now: datetime) -> datetime:
    if not isinstance(value, str):
        raise _BadValueError("an ISO 8601 timestamp as text")
    try:
        parsed = datetime.fromisoformat(value)
        parsed = (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadValueError("an ISO 8601 timestamp as text") from None
    if not EARLIEST <= parsed <= now + AHEAD:
        raise _BadValueError(f"a moment between {EARLIEST:%Y-%m-%d} and now")
    return parsed


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value or len(value) > _LONGEST:
        raise _BadValueError(f"text of at most {_LONGEST} characters")
    return value


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or _CONTROL.search(value) or len(value) > 200:
        raise _BadValueError("an id as text (leading zeros count), at most 200 characters")
    return value


def _identifiers(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _BadValueError("a list of ids as text")
    return [_identifier(one) for one in value]


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _BadValueError("a number")
    try:
        parsed = Decimal(str(value))
    except InvalidOperation:
        raise _BadValueError("a number") from None
    if not parsed.is_finite() or abs(parsed) >= _LARGEST:
        raise _BadValueError(f"a finite number below {_LARGEST}")
    return parsed.quantize(Decimal("0.0001"))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadValueError("a number")
    try:
        parsed = float(value)
    except OverflowError:
        raise _BadValueError("a finite number") from None
    if not math.isfinite(parsed):
        raise _BadValueError("a finite number")
    return parsed


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**31:
        raise _BadValueError("a whole number")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _BadValueError("true or false")
    return value


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise _BadValueError("a date as YYYY-MM-DD") from None


def _birthday(value: Any) -> str:
    if not isinstance(value, str) or not _BIRTHDAY.fullmatch(value):
        raise _BadValueError("YYYY-MM-DD or MM-DD")
    return value


_PARSERS: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    Kind.ID: _identifier,
    Kind.TEXT: _text,
    Kind.DATE: _date,
    Kind.BIRTHDAY: _birthday,
    Kind.MONEY: _decimal,
    Kind.QUANTITY: _decimal,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.ID_LIST: _identifiers,
}
