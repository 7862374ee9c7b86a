"""Mapping files: how a retailer's own export becomes the tables of the contract.

A mapping is YAML. Per table it names the source files and says how each column comes to be:
taken over by its own name, renamed, derived by a DuckDB expression over the source columns,
constant, translated value by value, or spread by hash.
"""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nba.data.readings import ASK, NUMBER_WORDS, TIME_WORDS, without_zone
from nba.errors import ConfigError
from nba.schema.tables import ATTRIBUTE_PREFIX, LIMITS, TABLES, VALID_FROM, Kind
from nba.schema.words import CUSTOMER_ID
from nba.validation import problem_lines


def _tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_WORDS = ", ".join([*TIME_WORDS, ASK])


def _is_reading(reading: str) -> bool:
    if "%" in reading:
        return "%z" not in without_zone(reading).lower()
    return reading in TIME_WORDS or reading == ASK


OneOrMany = Annotated[tuple[str, ...], BeforeValidator(_tuple)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Strict):
    """Fill an empty id by spreading another one over N values by hash."""

    by: str = Field(CUSTOMER_ID, description="the column whose hash decides")
    over: int = Field(ge=1, description="how many values there are")
    prefix: str = Field("clerk_", description="what stands before the number, which starts at 1")


class TableMapping(_Strict):
    """How one table of the contract is made."""

    source: OneOrMany = Field(
        (),
        description="file names without extension, `*` and `{a,b}` allowed, `BOOK/SHEET` "
        "for a sheet; the first that matches is read",
    )
    query: str = Field(
        "",
        description="instead of `source`: a DuckDB SELECT over the named `sources` of the mapping",
    )
    rename: dict[str, OneOrMany] = Field(
        default_factory=dict,
        description="column: the source column, or several of which the first present is taken",
    )
    derive: dict[str, str] = Field(
        default_factory=dict, description="column: a DuckDB expression over the source columns"
    )
    constants: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="column: the value of every row"
    )
    values: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="column: value in the source: value in the contract"
    )
    filter: str = Field("", description="only source rows for which this expression is true")
    distinct: bool = Field(False, description="equal rows count once")
    spread: dict[str, Spread] = Field(
        default_factory=dict, description="column: how an empty id is filled by hash"
    )
    times: dict[str, OneOrMany] = Field(
        default_factory=dict,
        description="column: how its moments are read where they are not ISO 8601, a word of the "
        "list below or a strptime format; one order of day and month is settled per column",
    )
    numbers: dict[str, Literal["point", "comma", "ask"]] = Field(
        default_factory=dict,
        description="column: what stands before the decimals; signs of currencies and groups of "
        "thousands are known then",
    )
    header: OneOrMany = Field(
        (), description="names of the columns of CSV files that have no header line"
    )
    whole_orders: bool = Field(
        False,
        description="of `transactions` without `line_no`: the files hold whole orders, so that "
        "an order known before is replaced as a whole by the lines that come",
    )
    overlap: bool = Field(
        False,
        description="the source files overlap: equal lines are counted within each file",
    )

    @model_validator(mode="after")
    def _one_source(self) -> TableMapping:
        if bool(self.source) == bool(self.query):
            raise ValueError("give either `source` or `query`")
        return self

    @model_validator(mode="after")
    def _known_readings(self) -> TableMapping:
        given = [reading for readings in self.times.values() for reading in readings]
        unknown = [reading for reading in given if not _is_reading(reading)]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is neither a strptime format with its zone at the end "
                f"nor one of {_WORDS}"
            )
        return self


class ProjectDefaults(_Strict):
    """Settings that a project made for this data set begins with."""

    time_zone: str | None = Field(None, description="the project's time zone")
    currency: str | None = Field(
        None, description="the currency of all money; the first sales write it into `nba.yaml`"
    )
    margin_rate: float | None = Field(None, description="margin where nothing says more")
    as_of: date | None = Field(None, description="the day that a demo of this data plans for")


class Mapping(_Strict):
    """A mapping file."""

    name: str = Field(description="taken from the file's name where absent")
    description: str = Field("", description="what it is for, in one line")
    extends: str = Field("", description="a mapping whose keys stand where this one has none")
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description="source column: the name under which rules and expressions know it",
    )
    time_zone: str | None = Field(
        None, description="the zone of naive times in the source; else the project's"
    )
    encoding: str = Field("", description="encoding of files of text; recognised if empty")
    delimiter: str = Field(
        "", description="separator of files of text; found from the header if empty"
    )
    null_values: tuple[str, ...] = Field((), description="texts that mean: no value")
    time_formats: tuple[str, ...] = Field(
        (),
        description="strptime formats of times that are not ISO 8601; where they differ in the "
        "order of day and month, one order is settled per column",
    )
    time_features: bool = Field(
        True, description="false where dates only stand for an order and mean nothing else"
    )
    project: ProjectDefaults = Field(
        ProjectDefaults(), description="settings that a project made for this data begins with"
    )
    sources: dict[str, OneOrMany] = Field(
        default_factory=dict, description="name: file names, for tables made by a `query`"
    )
    tables: dict[str, TableMapping] = Field(
        description="table of the contract: how it is made; others are not read"
    )

    @field_validator("time_formats")
    @classmethod
    def _zone_at_the_end(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [format_ for format_ in formats if not _is_reading(format_)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no strptime format with its zone at the end")
        return formats

    @model_validator(mode="after")
    def _known_columns(self) -> Mapping:
        problems = [
            problem for table, rules in self.tables.items() for problem in _unknown(table, rules)
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _unknown(table: str, rules: TableMapping) -> list[str]:
    if table not in TABLES:
        return [f"{table!r} is no table of the contract (there are {', '.join(TABLES)})"]
    contract = TABLES[table]
    known = {*contract.by_name, *((VALID_FROM,) if contract.history else ())}
    named = {*rules.rename, *rules.derive, *rules.constants, *rules.values, *rules.spread}
    problems = [
        f"{table}.{column} is no column of the contract"
        for column in sorted(named - known)
        if not column.startswith(ATTRIBUTE_PREFIX)
    ]
    kinds = {VALID_FROM: Kind.TIMESTAMP, **{c.name: c.kind for c in contract.columns}}
    for key, given, wanted in (
        ("times", rules.times, (Kind.TIMESTAMP, Kind.DATE, Kind.BIRTHDAY)),
        ("numbers", rules.numbers, tuple(LIMITS)),
    ):
        problems += [
            f"{table}.{key} names {column}, which holds none"
            for column in given
            if kinds.get(column) not in wanted
        ]
    return problems


#: The mapping of files that keep the contract as it is: one per table, by the table's name.
CANONICAL = Mapping(
    name="canonical",
    description="Files that keep the contract: NAME.csv, NAME.parquet, NAME.xlsx … or folders.",
    tables={table: TableMapping(source=(table,)) for table in TABLES},
)


def shipped_mappings() -> dict[str, Path]:
    """Return the mappings that ship with the package: name to file."""
    folder = Path(str(files("nba.data") / "mappings"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_mapping(name_or_path: str | Path) -> Mapping:
    """Read a mapping by the name of one that ships, or from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        `canonical`, a shipped name such as `online_retail_ii`, or a path.

    Raises
    ------
    ConfigError
        Where there is no such mapping or its YAML is wrong; all problems at once.
    """
    if str(name_or_path) == CANONICAL.name:
        return CANONICAL
    shipped = shipped_mappings()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise ConfigError(
            f"there is no mapping {str(name_or_path)!r}",
            expected=f"a YAML file, or one of {', '.join([CANONICAL.name, *shipped])}",
            next_step="check the name, or draft one with `nba ingest --suggest FOLDER`",
        )
    return _parse(path)


def _base(content: dict[str, Any]) -> dict[str, Any]:
    if not content.get("extends"):
        return {}
    return read_mapping(str(content["extends"])).model_dump(exclude_unset=True)


def _parse(path: Path) -> Mapping:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ConfigError(
                f"{path} is not a mapping file", expected="YAML with `tables:`", found="no keys"
            )
        return Mapping.model_validate({**_base(content), "name": path.stem, **content})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML", found=str(error)) from error
    except ValidationError as error:
        raise ConfigError(
            f"the mapping {path} is wrong",
            next_step="correct the lines below; docs/mapping.md lists every key",
            problems=[f"{path.name}: {line}" for line in problem_lines(error, Mapping)],
        ) from error


def reference() -> str:
    """Return the tables of every key of a mapping file, as Markdown for the documentation."""
    parts = []
    for title, model in (
        ("The file", Mapping),
        ("A table (`tables.NAME`)", TableMapping),
        ("Spread (`spread.COLUMN`)", Spread),
        ("Project defaults (`project`)", ProjectDefaults),
    ):
        rows = [
            f"| `{name}` | {field.description or ''} |"
            for name, field in model.model_fields.items()
        ]
        parts.append("\n".join([f"### {title}", "", "| key | meaning |", "|---|---|", *rows]))
    for title, words in (
        ("Readings of moments (`times`)", TIME_WORDS),
        ("Readings of numbers (`numbers`)", NUMBER_WORDS),
    ):
        rows = [f"| `{word}` | {meaning} |" for word, meaning in words.items()]
        rows.append(f"| `{ASK}` | left open by a draft: a load is refused until one is chosen |")
        parts.append("\n".join([f"### {title}", "", "| word | reads |", "|---|---|", *rows]))
    return "\n\n".join(parts)
