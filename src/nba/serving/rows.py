"""Rows of the contract's tables as JSON: models generated from the contract, one per table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import GenericAlias
from typing import Annotated, Any, Final, Literal, NoReturn
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from nba.data import clock as changes
from nba.data.moments import BadMomentError, parse_moment
from nba.data.rules import AHEAD as DATES_AHEAD
from nba.data.sql import SPACES
from nba.errors import InputRefusedError
from nba.schema.tables import (
    ATTRIBUTE_PREFIX,
    EARLIEST,
    ID_BYTES,
    MAX_MONEY,
    TABLES,
    VALID_FROM,
    Column,
    Kind,
    Table,
)

#: A client's clock may run ahead by this much.
AHEAD: Final = timedelta(days=1)
_LONGEST = 2000
#: The digits that the lake keeps of money and quantities.
_LAST_DIGIT = Decimal("0.0001")
#: The error of a value that breaks the contract; its message says what the contract expects.
_BROKEN: Final = "contract"


@dataclass(frozen=True)
class Clock:
    """The zone in which naive moments stand, the moment of the request, and what was noted."""

    zone: ZoneInfo
    now: datetime
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ParsedRow:
    """A row with the contract's types, and what its sender should know about it."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


class ContractRow(BaseModel):
    """A row of a table of the contract; columns named `attr_…` are kept as text."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _only_known_and_filled(cls, row: Any) -> Any:
        """Leave out empty values; refuse columns that the contract does not have.

        White space around texts is dropped, as in files.
        """
        if not isinstance(row, Mapping):
            return row
        for name in row:
            if name in cls.model_fields:
                continue
            if not name.startswith(ATTRIBUTE_PREFIX):
                known = ", ".join(cls.model_fields)
                raise PydanticCustomError(
                    "unknown", "{name}", {"name": _printable(name), "known": known}
                )
            if not _can_be_written(name) or not _can_be_written(str(row[name])):
                _break(
                    "text that can be written as UTF-8",
                    column=_printable(name),
                    value=ascii(row[name]),
                )
        plain = {
            name: value.strip(SPACES) if isinstance(value, str) else value
            for name, value in row.items()
        }
        return {name: value for name, value in plain.items() if value is not None and value != ""}

    def typed(self) -> dict[str, Any]:
        """Return the filled columns with the contract's types; attributes are text."""
        values = {name: getattr(self, name) for name in self.model_fields_set - self._extras()}
        ordered = {name: values[name] for name in type(self).model_fields if name in values}
        extra = self.model_extra or {}
        return ordered | {name: str(value)[:_LONGEST] for name, value in extra.items()}

    def _extras(self) -> set[str]:
        return set(self.model_extra or {})


class Transaction(ContractRow):
    """A line whose amount can be kept."""

    @model_validator(mode="after")
    def _amount_can_be_kept(self) -> Transaction:
        quantity, price = (getattr(self, name) or 0 for name in TABLES["transactions"].amount_of)
        if abs(quantity * price) > MAX_MONEY:
            expected = f"quantity times unit_price of at most {MAX_MONEY:,}"
            _break(expected, column="quantity", value=f"{quantity} x {price}")
        return self


class Response(ContractRow):
    """A response says to what it answers, or who."""

    @model_validator(mode="after")
    def _names_contact_or_customer(self) -> Response:
        names = TABLES["responses"].one_of
        if not self.model_fields_set & set(names):
            _break(f"one of {', '.join(names)}", column=names[0], value="neither")
        return self


def _can_be_written(text: str) -> bool:
    """Whether a text has no halves of characters, which no file and no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _break(expected: str, *, column: str = "", value: object = None) -> NoReturn:
    raise PydanticCustomError(
        _BROKEN, "{expected}", {"expected": expected, "column": column, "value": value}
    )


def _moment(value: Any, info: ValidationInfo) -> datetime:
    """Return a moment in UTC; what has no offset stands in the project's zone."""
    clock: Clock = info.context  # type: ignore[assignment]
    if not isinstance(value, str):
        _break("an ISO 8601 timestamp as text")
    try:
        moment = parse_moment(value, clock.zone)
    except BadMomentError as error:
        _break(error.expected if error.rule == "zone" else "an ISO 8601 timestamp as text")
    if not EARLIEST.replace(tzinfo=UTC) <= moment.value <= clock.now + AHEAD:
        _break(f"a moment between {EARLIEST:%Y-%m-%d} and now")
    if moment.change:
        clock.notes.append(f"{info.field_name}: {changes.note(moment.change, clock.zone.key)}")
    return moment.value


def _decimal(value: Any) -> Decimal:
    """Return a number or its text with four digits after the point."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _break("a number")
    try:
        parsed = Decimal(str(value))
    except InvalidOperation:
        _break("a number")
    if not parsed.is_finite():
        _break("a finite number")
    return parsed


def _date(value: Any, info: ValidationInfo) -> date:
    """Return a date that the lake takes: a plan may be for days to come."""
    clock: Clock = info.context  # type: ignore[assignment]
    try:
        found = date.fromisoformat(value)
    except (TypeError, ValueError):
        _break("a date as YYYY-MM-DD")
    latest = (clock.now.astimezone(UTC) + DATES_AHEAD).date()
    if not EARLIEST.date() <= found <= latest:
        _break(f"a date between {EARLIEST:%Y-%m-%d} and {latest:%Y-%m-%d}")
    return found


def _short(value: str) -> str:
    if len(value.encode()) > ID_BYTES:
        _break(_EXPECTED[Kind.ID])
    return value


_ID = Annotated[
    str,
    StringConstraints(strict=True, max_length=ID_BYTES, pattern=r"^[^\x00-\x1f\x7f]*$"),
    AfterValidator(_short),
]
_TEXT = Annotated[str, StringConstraints(strict=True, max_length=_LONGEST, pattern=r"^[^\x00]*$")]
_BIRTHDAY = Annotated[
    str, StringConstraints(strict=True, pattern=r"^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$")
]
_DECIMAL_SCHEMA: Final[JsonSchemaValue] = {"anyOf": [{"type": "number"}, {"type": "string"}]}
_TYPES: Final[Mapping[Kind, Any]] = {
    Kind.ID: _ID,
    Kind.TEXT: _TEXT,
    Kind.BIRTHDAY: _BIRTHDAY,
    Kind.BOOLEAN: StrictBool,
    Kind.INTEGER: StrictInt,
    Kind.NUMBER: Annotated[float, Field(strict=True, allow_inf_nan=False)],
    Kind.ID_LIST: list[_ID],
    Kind.ZONE: _TEXT,
    Kind.MONEY: Annotated[Decimal, BeforeValidator(_decimal), WithJsonSchema(_DECIMAL_SCHEMA)],
    Kind.QUANTITY: Annotated[Decimal, BeforeValidator(_decimal), WithJsonSchema(_DECIMAL_SCHEMA)],
    Kind.TIMESTAMP: Annotated[
        datetime,
        BeforeValidator(_moment),
        WithJsonSchema({"type": "string", "description": "ISO 8601; UTC+offset, or local."}),
    ],
    Kind.DATE: Annotated[
        date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})
    ],
}
#: What a kind is called where a value is none.
_EXPECTED: Final[Mapping[Kind, str]] = {
    Kind.ID: f"an id as text (leading zeros count), at most {ID_BYTES} bytes",
    Kind.TEXT: f"text of at most {_LONGEST} characters",
    Kind.BIRTHDAY: "YYYY-MM-DD or MM-DD",
    Kind.BOOLEAN: "true or false",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a finite number",
    Kind.ID_LIST: "a list of ids as text",
    Kind.ZONE: "an IANA time zone such as Asia/Shanghai",
    Kind.MONEY: "a number",
    Kind.QUANTITY: "a number",
    Kind.TIMESTAMP: "an ISO 8601 timestamp as text",
    Kind.DATE: "a date as YYYY-MM-DD",
}
_BASES: Final[Mapping[str, type[ContractRow]]] = {
    "transactions": Transaction,
    "responses": Response,
}


def _range_of(column: Column) -> Any:
    """Return the check of a column's range; decimals get their four digits after it."""
    low, high = column.low, column.high
    assert low is not None
    assert high is not None

    def check(value: Any) -> Any:
        if low <= value <= high:
            kept = value.quantize(_LAST_DIGIT) if isinstance(value, Decimal) else value
            if not column.nonzero or kept != 0:
                return kept
        _break(f"a number {column.expected_range}")

    return AfterValidator(check)


def _expecting(text: str) -> Any:
    """Say in the contract's words what a value should have been."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            problem = error.errors()[0]
            _break(problem["ctx"]["expected"] if problem["type"] == _BROKEN else text)

    return WrapValidator(check)


def _type_of(column: Column) -> Any:
    kind, expected = _TYPES[column.kind], _EXPECTED[column.kind]
    if column.values:
        kind = Literal[column.values]
        if column.kind is Kind.ID_LIST:
            kind = GenericAlias(list, (kind,))
        expected = f"one of {', '.join(column.values)}"
    if column.low is not None:
        kind = Annotated[kind, _range_of(column), Field(json_schema_extra=_bounds(column))]
    return Annotated[kind, _expecting(expected)]


def _bounds(column: Column) -> dict[str, Any]:
    return {"minimum": column.low, "maximum": column.high}


def row_model(table: Table) -> type[ContractRow]:
    """Return the model of one table's rows, generated from its contract."""
    fields: dict[str, Any] = {}
    columns = [*table.columns]
    if table.history:
        columns.append(Column(VALID_FROM, Kind.TIMESTAMP, planned=True))
    for column in columns:
        kind = _type_of(column)
        fields[column.name] = kind if column.required or column.key else (kind | None, None)
    return create_model(
        f"{table.name.title().replace('_', '')}Row",
        __base__=_BASES.get(table.name, ContractRow),
        __doc__=f"A row of `{table.name}`; columns named `attr_…` are kept as text.",
        **fields,
    )


ROW_MODELS: Final[Mapping[str, type[ContractRow]]] = {
    name: row_model(table) for name, table in TABLES.items()
}


@dataclass(frozen=True)
class RowOf:
    """Describes a JSON object as a row of a table, without refusing the batch for one row."""

    table: str

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of the table's model."""
        return handler(ROW_MODELS[self.table].__pydantic_core_schema__)


def parse_row(table: str, row: Mapping[str, Any], *, zone: ZoneInfo, now: datetime) -> ParsedRow:
    """Return `row` typed as the contract says; moments become UTC.

    Parameters
    ----------
    table : str
    row : mapping of str to object
        As it came in JSON.
    zone : ZoneInfo
        In which moments without an offset stand.
    now : datetime
        The moment of the request.

    Raises
    ------
    InputRefusedError
        On the first value that breaks the contract, naming column, rule and value.
    """
    clock = Clock(zone, now)
    try:
        values = ROW_MODELS[table].model_validate(row, context=clock).typed()
        return ParsedRow(values, tuple(clock.notes))
    except ValidationError as error:
        raise _refused(table, row, error) from None


def _refused(table: str, row: Mapping[str, Any], error: ValidationError) -> InputRefusedError:
    """Return the error of the first problem, in the words of the contract."""
    problem = error.errors()[0]
    context = problem.get("ctx", {})
    column = str(problem["loc"][0]) if problem["loc"] else context.get("column", "")
    expected, found = context.get("expected", problem["msg"]), row.get(column)
    if problem["type"] == "missing":
        expected = "a value"
    elif problem["type"] == "unknown":
        column, expected = context["name"], f"one of {context['known']}"
        found = "an unknown column"
    elif not problem["loc"]:
        found = context.get("value")
    return InputRefusedError(
        f"{table}.{_printable(column)} breaks the data contract",
        expected=_printable(expected),
        found=_printable(str(found)[:80]),
        next_step="correct the row and send it again with the same id",
    )


def _printable(text: str) -> str:
    """Return a text that every answer can carry."""
    return text.encode(errors="backslashreplace").decode()
