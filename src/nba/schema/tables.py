"""The data contract: every input table with its columns, keys and value ranges.

The contract is data. Readers, validation, the lake, the simulated world, the API and
the generated documentation all read it from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from nba.schema.words import (
    CATEGORY,
    CLERK_ID,
    CUSTOMER_ID,
    PRODUCT_ID,
    STORE_ID,
    BehaviourKind,
    BenefitKind,
    CategoryKind,
    Channel,
    EndedBy,
    FeedbackKind,
    Mode,
    ResponseKind,
    SalesChannel,
    ServiceCaseKind,
    TagSource,
)

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
MONEY: Final = pa.decimal128(18, 4)
#: Extra columns with this prefix are kept and can be used by tags and features.
ATTRIBUTE_PREFIX: Final = "attr_"
LOADED_AT: Final = "loaded_at"
VALID_FROM: Final = "valid_from"
#: A time of day, hours and minutes; 24:00 is the midnight that ends the day.
CLOCK: Final = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?|24:00(:00)?"
#: The last digits of a phone number, and no more of it.
PHONE_TAIL: Final = r"\d{2,4}"
#: Facts older than this are taken for a mistake (an empty date that became 1970, for one).
EARLIEST: Final = datetime(1990, 1, 1)
#: Ids are at most so many bytes of UTF-8.
ID_BYTES: Final = 1024
#: The largest number of pieces of a line or in stock; a barcode is no quantity.
MAX_QUANTITY: Final = 1_000_000
#: The largest price, cost or discount, and the largest quantity times price of a line: what
#: `DECIMAL(18, 4)` can multiply and whole ten-thousandths can add up.
MAX_MONEY: Final = 9_999_999_999
MAX_NUMBER: Final = 1e12
MAX_INTEGER: Final = 2**31 - 1


class Kind(StrEnum):
    """What a column holds; decides its Arrow type and how text is parsed."""

    ID = "id"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    DATE = "date"
    BIRTHDAY = "birthday"
    MONEY = "money"
    QUANTITY = "quantity"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ID_LIST = "id_list"
    ZONE = "zone"


ARROW_TYPES: Final = MappingProxyType(
    {
        Kind.ID: pa.string(),
        Kind.TEXT: pa.string(),
        Kind.TIMESTAMP: TIMESTAMP,
        Kind.DATE: pa.date32(),
        Kind.BIRTHDAY: pa.string(),
        Kind.MONEY: MONEY,
        Kind.QUANTITY: MONEY,
        Kind.NUMBER: pa.float64(),
        Kind.INTEGER: pa.int64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.ID_LIST: pa.list_(pa.string()),
        Kind.ZONE: pa.string(),
    }
)
#: The largest magnitude of each numeric kind, in files, over the API and in the lake.
LIMITS: Final[MappingProxyType[Kind, float]] = MappingProxyType(
    {
        Kind.QUANTITY: MAX_QUANTITY,
        Kind.MONEY: MAX_MONEY,
        Kind.NUMBER: MAX_NUMBER,
        Kind.INTEGER: MAX_INTEGER,
    }
)


class Safe(StrEnum):
    """What counts where the value of a state cannot be read or is out of range.

    A row of a state that is refused would leave an older state standing as if it were current.
    """

    NONE = ""
    ZERO = "zero"
    NO = "no"
    UNKNOWN = "unknown"
    PAST = "past"

    @property
    def meaning(self) -> str:
        """The value, for people."""
        return {"past": "long ago (1990-01-01)", "zero": "0"}.get(self.value, self.value)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
    kind : Kind
    key : bool
        Part of the table's key.
    required : bool
        The column must be present and every value filled. An optional column may be
        absent, and a value of it may be empty.
    values : tuple of str
        The values allowed; empty for any.
    minimum, maximum : float or None
        The closed range allowed for money, quantities and numbers; else that of `LIMITS`.
    references : str
        The table whose key this id names; an orphan is kept and reported.
    default : object
        The value that stands where the column is absent or a value is empty.
    pattern : str
        The regular expression that a text must match as a whole; empty for any.
    planned : bool
        The time may lie in the future (an expiry, a launch); other times are facts.
    nonzero : bool
        The number is not zero.
    safe : Safe
        What counts instead of a value that cannot be read; by default the row is quarantined.
    personal : bool
        Says who a person is: shown to whoever may see them and erased with them, and never a
        feature, in a log line or in the model registry.
    """

    name: str
    kind: Kind
    key: bool = False
    required: bool = False
    values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    references: str = ""
    default: object = None
    pattern: str = ""
    planned: bool = False
    nonzero: bool = False
    safe: Safe = Safe.NONE
    personal: bool = False

    @property
    def low(self) -> float | None:
        """The smallest number allowed; None for what is no number."""
        limit = LIMITS.get(self.kind)
        return self.minimum if self.minimum is not None or limit is None else -limit

    @property
    def high(self) -> float | None:
        """The largest number allowed; None for what is no number."""
        return self.maximum if self.maximum is not None else LIMITS.get(self.kind)

    @property
    def expected_range(self) -> str:
        """The range of a number, for people."""
        nonzero = ", not zero" if self.nonzero else ""
        return f"between {_plain(self.low)} and {_plain(self.high)}{nonzero}"

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column in the lake."""
        return ARROW_TYPES[self.kind]


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:,.12g}"


@dataclass(frozen=True)
class Table:
    """One table of the contract.

    Parameters
    ----------
    name : str
    columns : tuple of Column
    history : bool
        Rows carry `valid_from`, versions are kept, and the first version known counts
        from the beginning.
    time_column : str
        The column that decides visibility (`time < as_of`); empty for tables whose
        rows are always visible.
    partition_by : str
        The timestamp column whose month partitions the table in the lake, or empty.
    one_of : tuple of str
        Columns of which every row must fill at least one.
    amount_of : tuple of str
        A quantity and a price whose product is at most `MAX_MONEY`.
    known_by : tuple of Column
        Columns of an input by which a customer is known to other systems; the lake keeps them
        hashed, in `identities`, and nowhere else.
    """

    name: str
    columns: tuple[Column, ...]
    history: bool = False
    time_column: str = ""
    partition_by: str = ""
    one_of: tuple[str, ...] = ()
    amount_of: tuple[str, ...] = ()
    known_by: tuple[Column, ...] = ()
    by_name: MappingProxyType[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "by_name", MappingProxyType({column.name: column for column in self.columns})
        )

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key columns, `valid_from` included where history is kept."""
        names = tuple(column.name for column in self.columns if column.key)
        return (*names, VALID_FROM) if self.history else names

    @property
    def personal(self) -> tuple[str, ...]:
        """The names of the columns that say who a person is."""
        return tuple(column.name for column in self.columns if column.personal)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the columns that an input file must have."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The lake's schema: the contract's columns, `valid_from` with history, `loaded_at`."""
        fields = [pa.field(column.name, column.arrow_type) for column in self.columns]
        if self.history:
            fields.append(pa.field(VALID_FROM, TIMESTAMP))
        fields.append(pa.field(LOADED_AT, TIMESTAMP))
        return pa.schema(fields)


def _values(*enums: type[StrEnum]) -> tuple[str, ...]:
    return tuple(str(member) for enum in enums for member in enum)


def _id(name: str, *, key: bool = False, required: bool = False, references: str = "") -> Column:
    return Column(name, Kind.ID, key=key, required=key or required, references=references)


def _text(name: str, *, required: bool = False, values: tuple[str, ...] = ()) -> Column:
    return Column(name, Kind.TEXT, required=required, values=values)


def _personal(name: str, *, pattern: str = "") -> Column:
    return Column(name, Kind.TEXT, pattern=pattern, personal=True)


def _time(name: str, *, key: bool = False, required: bool = False, planned: bool = False) -> Column:
    return Column(name, Kind.TIMESTAMP, key=key, required=key or required, planned=planned)


def _end(name: str, *, planned: bool = False) -> Column:
    """Return a time at which something ended; one that cannot be read has passed."""
    return Column(name, Kind.TIMESTAMP, planned=planned, safe=Safe.PAST)


def _money(name: str, *, minimum: float | None = None, safe: Safe = Safe.NONE) -> Column:
    return Column(name, Kind.MONEY, minimum=minimum, safe=safe)


_MODES = tuple(str(mode) for mode in Mode)

TABLES: Final[MappingProxyType[str, Table]] = MappingProxyType(
    {
        table.name: table
        for table in (
            Table(
                "customers",
                (
                    _id(CUSTOMER_ID, key=True),
                    _id(STORE_ID, references="stores"),
                    _id(CLERK_ID, references="clerks"),
                    _time("joined_at"),
                    Column("birthday", Kind.BIRTHDAY),
                    _text("gender"),
                    _text("city"),
                    _time("friend_since"),
                    _end("blocked_at"),
                    Column("consent_contact", Kind.BOOLEAN, default=True, safe=Safe.NO),
                    Column("consent_profiling", Kind.BOOLEAN, default=True, safe=Safe.NO),
                    _time("consent_at"),
                    _text("locale"),
                    _personal("name"),
                    _personal("alias"),
                    _personal("external_id"),
                    _personal("avatar"),
                    _personal("phone_tail", pattern=PHONE_TAIL),
                ),
                history=True,
                known_by=(_personal("email"), _personal("phone")),
            ),
            Table(
                "products",
                (
                    _id(PRODUCT_ID, key=True),
                    _text("name"),
                    _id(CATEGORY, references="categories"),
                    _text("brand"),
                    _money("price", minimum=0, safe=Safe.UNKNOWN),
                    _money("cost", minimum=0, safe=Safe.UNKNOWN),
                    _time("launched_at", planned=True),
                    _end("retired_at", planned=True),
                    _text("link"),
                    _text("image"),
                ),
                history=True,
            ),
            Table(
                "categories",
                (
                    _id(CATEGORY, key=True),
                    _text("name"),
                    _text("kind", values=_values(CategoryKind)),
                    Column("replenishable", Kind.BOOLEAN),
                    Column("margin_rate", Kind.NUMBER, minimum=-1, maximum=1),
                ),
            ),
            Table(
                "stock",
                (
                    _id(PRODUCT_ID, key=True, references="products"),
                    _id(STORE_ID, key=True, references="stores"),
                    _time("ts", key=True),
                    Column("on_hand", Kind.QUANTITY, required=True, safe=Safe.ZERO),
                ),
                time_column="ts",
            ),
            Table(
                "stores",
                (
                    _id(STORE_ID, key=True),
                    _text("name"),
                    _text("region"),
                    Column("timezone", Kind.ZONE),
                ),
                history=True,
            ),
            Table(
                "clerks",
                (
                    _id(CLERK_ID, key=True),
                    _id(STORE_ID, references="stores"),
                    _text("name"),
                    Column("minutes_per_day", Kind.NUMBER, minimum=0, maximum=1440, default=60.0),
                    Column("working_days", Kind.TEXT, default="1234567", pattern="[1-7]*"),
                    Column("shift_start", Kind.TEXT, pattern=CLOCK),
                    Column("shift_end", Kind.TEXT, pattern=CLOCK),
                    Column("modes", Kind.ID_LIST, values=_MODES),
                    _end("left_at", planned=True),
                    _personal("external_id"),
                ),
                history=True,
            ),
            Table(
                "absences",
                (
                    _id(CLERK_ID, key=True, references="clerks"),
                    Column("date", Kind.DATE, key=True, required=True),
                ),
            ),
            Table(
                "friendships",
                (
                    _id(CUSTOMER_ID, key=True, references="customers"),
                    _id(CLERK_ID, key=True, references="clerks"),
                    _time("since", key=True),
                    _end("ended_at"),
                    _text("ended_by", values=_values(EndedBy)),
                ),
                time_column="since",
            ),
            Table(
                "transactions",
                (
                    _id("order_id", key=True),
                    Column("line_no", Kind.ID, key=True),
                    _id(CUSTOMER_ID, references="customers"),
                    _id(PRODUCT_ID, required=True, references="products"),
                    _time("ts", required=True),
                    Column("quantity", Kind.QUANTITY, required=True, nonzero=True),
                    _money("unit_price", minimum=0),
                    _money("discount"),
                    _text("channel", values=_values(SalesChannel)),
                    _id(CLERK_ID, references="clerks"),
                    _id(STORE_ID, references="stores"),
                ),
                time_column="ts",
                partition_by="ts",
                amount_of=("quantity", "unit_price"),
            ),
            Table(
                "interactions",
                (
                    _id("interaction_id", key=True),
                    _id(CUSTOMER_ID, required=True, references="customers"),
                    _id(CLERK_ID, references="clerks"),
                    _time("ts", required=True),
                    _text("mode", required=True, values=_MODES),
                    _text("action_type"),
                    _text("channel", values=_values(Channel)),
                    _id("action_id"),
                    Column("propensity", Kind.NUMBER, minimum=0, maximum=1),
                    Column("product_ids", Kind.ID_LIST),
                    _id("content_id", references="content"),
                    _id("group_id", references="groups"),
                    Column("minutes", Kind.NUMBER, minimum=0, maximum=1440),
                ),
                time_column="ts",
                partition_by="ts",
            ),
            Table(
                "responses",
                (
                    _id("response_id", key=True),
                    _id("interaction_id", references="interactions"),
                    _id(CUSTOMER_ID, references="customers"),
                    _id(CLERK_ID, references="clerks"),
                    _id("event_id", references="events"),
                    _time("ts", required=True),
                    _text("kind", required=True, values=_values(ResponseKind)),
                    Column("value", Kind.NUMBER),
                ),
                time_column="ts",
                partition_by="ts",
                one_of=("interaction_id", CUSTOMER_ID),
            ),
            Table(
                "feedback",
                (
                    _id("feedback_id", key=True),
                    _id("action_id", required=True),
                    _id(CLERK_ID, required=True, references="clerks"),
                    _time("ts", required=True),
                    _text("kind", required=True, values=_values(FeedbackKind)),
                    _text("reason"),
                    Column("position", Kind.INTEGER, minimum=0),
                    _time("until", planned=True),
                ),
                time_column="ts",
                partition_by="ts",
            ),
            Table(
                "tags",
                (
                    _id(CUSTOMER_ID, key=True, references="customers"),
                    _id("tag", key=True),
                    _time("ts", key=True),
                    _text("value"),
                    _text("source", values=_values(TagSource)),
                    _time("expires_at", planned=True),
                ),
                time_column="ts",
            ),
            Table(
                "groups",
                (
                    _id("group_id", key=True),
                    _id(CLERK_ID, required=True, references="clerks"),
                    _text("topic", required=True),
                    _time("created_at", required=True),
                ),
                time_column="created_at",
            ),
            Table(
                "memberships",
                (
                    _id("group_id", key=True, references="groups"),
                    _id(CUSTOMER_ID, key=True, references="customers"),
                    _time("joined_at", key=True),
                    _end("left_at"),
                ),
                time_column="joined_at",
            ),
            Table(
                "content",
                (
                    _id("content_id", key=True),
                    _text("mode", required=True, values=_MODES),
                    _text("title", required=True),
                    _text("theme"),
                    _id(CATEGORY, references="categories"),
                    Column("product_ids", Kind.ID_LIST),
                    _text("link"),
                    _text("locale"),
                    _time("valid_from", planned=True),
                    _time("valid_to", planned=True),
                ),
            ),
            Table(
                "events",
                (
                    _id("event_id", key=True),
                    _text("topic", required=True),
                    _id(STORE_ID, references="stores"),
                    _time("starts_at", required=True, planned=True),
                    Column("capacity", Kind.INTEGER, minimum=0),
                    _text("link"),
                ),
            ),
            Table(
                "benefits",
                (
                    _id("benefit_id", key=True),
                    _id(CUSTOMER_ID, required=True, references="customers"),
                    _text("kind", required=True, values=_values(BenefitKind)),
                    _money("amount", minimum=0),
                    _time("expires_at", planned=True),
                    _end("used_at"),
                ),
            ),
            Table(
                "service_cases",
                (
                    _id("case_id", key=True),
                    _id(CUSTOMER_ID, required=True, references="customers"),
                    _text("kind", required=True, values=_values(ServiceCaseKind)),
                    _time("opened_at", required=True),
                    _time("closed_at"),
                ),
                time_column="opened_at",
            ),
            Table(
                "behaviour",
                (
                    _id("event_id", key=True),
                    _id(CUSTOMER_ID, required=True, references="customers"),
                    _time("ts", required=True),
                    _text("kind", required=True, values=_values(BehaviourKind)),
                    _id(PRODUCT_ID, references="products"),
                    _id(CATEGORY, references="categories"),
                    _text("value"),
                ),
                time_column="ts",
                partition_by="ts",
            ),
            Table(
                "identities",
                (
                    _id("kind", key=True),
                    _id("value", key=True),
                    _id(CUSTOMER_ID),
                ),
            ),
        )
    }
)
