"""The exports that are known, each a YAML file in `kinds/`: its columns and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from nba.data.wordlist import plain_name


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Note(_Strict):
    """What a person should know of a load: a count and what it counts."""

    text: str = Field(description="what is counted")
    count: str = Field(
        description="a DuckDB SELECT of one number over the views of `tables` and steps"
    )


class ExportKind(_Strict):
    """One export of one system. Names of columns are in lower case, `_` for all signs."""

    name: str = Field(description="the name of its file")
    title: str = Field(description="what it is called in reports")
    system: str = Field(description="whose ids its customers have")
    required: tuple[str, ...] = Field(description="columns without which nothing can be made of it")
    marks: tuple[str, ...] = Field(description="columns by which it is known")
    columns: tuple[str, ...] = Field(description="every column that is known, `*` allowed")
    used: tuple[str, ...] = Field((), description="columns that the queries use; absent: empty")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="a column's other name: its name in the queries"
    )
    spelling: dict[str, str] = Field(
        default_factory=dict, description="a member of JSON lines as it is written, by plain name"
    )
    beside: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="a member of JSON: its values in objects that say nothing of what is exported",
    )
    ids: tuple[str, ...] = Field((), description="columns that may carry a leading apostrophe")
    numbers: tuple[str, ...] = Field((), description="columns that hold amounts")
    nulls: tuple[str, ...] = Field(
        (), description="how a dump of a database writes that there is no value, in capitals"
    )
    order: str = Field(
        "",
        description="SQL of a line's order, as the lake calls it, where exports hold orders as a "
        "whole: the last one that has an order counts",
    )
    head: str = Field(
        "", description="SQL of whether a line carries what is the order's; absent: each does"
    )
    whose: str = Field("", description="SQL of whose the order is, as a line writes it")
    moment: str = Field("", description="SQL of when the order was made, as a line writes it")
    left_out: str = Field(
        "",
        description="SQL of whether a line says that its order is no sale: unpaid, called off",
    )
    times: tuple[str, ...] = Field((), description="readings of its moments, as in a mapping")
    steps: dict[str, str] = Field(
        default_factory=dict,
        description="a name for notes and tables: a DuckDB SELECT over `source`, over steps "
        "before it, and over `past`, the sales that the lake has",
    )
    notes: tuple[Note, ...] = Field((), description="what to say of a load")
    unusable: str = Field("", description="why nothing can be made of it, and what to export")
    tables: dict[str, str] = Field(
        default_factory=dict,
        description="table: a DuckDB SELECT over `source`, all lines, `sales`, those of orders "
        "that are not `left_out`, and steps; `key_…` columns say who the customer is, and "
        "`customer_id` where the lake knows",
    )

    def knows(self, column: str) -> bool:
        """Return whether a column, by its plain name, belongs to this export."""
        return any(fnmatchcase(column, pattern) for pattern in self.columns)

    def is_beside(self, members: Mapping[str, Any]) -> bool:
        """Return whether an object of JSON says nothing of what is exported."""
        return any(
            str(members.get(self.spelling.get(name, name))).lower() in values
            for name, values in self.beside.items()
        )


@lru_cache
def export_kinds() -> tuple[ExportKind, ...]:
    """Return every export that is known, by name."""
    folder = Path(str(files("nba.data.exports") / "kinds"))
    return tuple(
        ExportKind.model_validate(
            {"name": path.stem, **yaml.safe_load(path.read_text(encoding="utf-8"))}
        )
        for path in sorted(folder.glob("*.yaml"))
    )


def reference() -> str:
    """Return the table of known exports, as Markdown for the documentation."""
    rows = [
        f"| {kind.title} | {', '.join(f'`{name}`' for name in kind.required)} | "
        f"{', '.join(f'`{table}`' for table in kind.tables) or kind.unusable} |"
        for kind in export_kinds()
    ]
    return "\n".join(["| export | cannot do without | makes |", "|---|---|---|", *rows])


__all__ = ["ExportKind", "Note", "export_kinds", "plain_name", "reference"]
