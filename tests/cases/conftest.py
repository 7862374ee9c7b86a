"""A shop to which small files are brought; each test stands for a kind of fault from the field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from nba.data.ingest import ingest
from nba.data.lake import Lake
from nba.data.mapping import Mapping
from nba.data.quarantine import quarantined
from nba.data.report import IngestReport, LoadRefusedError, Status
from nba.data.suggest import suggest_mapping

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


class Shop:
    """A lake and what was said of its loads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lake = Lake(root / "lake")
        self.zone = "Asia/Shanghai"
        self.loads = 0

    def folder(self, **files: str | bytes) -> Path:
        """Write files (`name` for `name.csv`) into a folder of their own."""
        self.loads += 1
        folder = self.root / f"in-{self.loads}"
        folder.mkdir()
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / f"{name}.csv").write_bytes(data)
        return folder

    def load(
        self, mapping: dict[str, Any] | str | None = None, **files: str | bytes
    ) -> IngestReport:
        """Bring files in; a mapping is its content, or the name of one that ships."""
        return self.load_folder(self.folder(**files), mapping)

    def load_folder(
        self, folder: Path, mapping: dict[str, Any] | str | Path | None = None
    ) -> IngestReport:
        """Bring a folder in."""
        chosen = mapping
        if isinstance(mapping, dict):
            chosen = Mapping.model_validate({"name": "own", **mapping})
        return ingest(folder, self.lake, mapping=chosen, time_zone=self.zone, now=NOW)

    def refused(self, mapping: dict[str, Any] | str | None = None, **files: str | bytes) -> str:
        """Bring files in that are refused as a whole; return the message."""
        with pytest.raises(LoadRefusedError) as caught:
            self.load(mapping, **files)
        assert caught.value.exit_code == 65
        return str(caught.value)

    def draft(self, **files: str | bytes) -> tuple[str, dict[str, Any], Path]:
        """Return a drafted mapping as text and as data, and the folder."""
        folder = self.folder(**files)
        text = suggest_mapping(folder)
        return text, yaml.safe_load(text), folder

    def load_draft(self, text: str, folder: Path) -> IngestReport:
        """Bring a folder in with a drafted mapping."""
        path = self.root / "draft.yaml"
        path.write_text(text)
        return self.load_folder(folder, path)

    @property
    def lines(self) -> pl.DataFrame:
        """The lines of the lake, by order and product."""
        return self.lake.polars("transactions").sort("order_id", "product_id")

    def column(self, name: str) -> list[Any]:
        """One column of the lines, moments without their zone (in UTC)."""
        values = self.lines[name].to_list()
        return [v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in values]

    @property
    def quarantine(self) -> list[tuple[str, str, str]]:
        """Column, rule and value of what was not accepted."""
        rows = quarantined(self.lake)
        return sorted(rows.select("column", "rule", "value").rows())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def warned() -> Callable[[IngestReport], dict[str, tuple[int, str]]]:
    """Return the warnings of a report: name to count and first offender."""

    def of(report: IngestReport) -> dict[str, tuple[int, str]]:
        return {
            check.name: (check.count, check.first)
            for check in report.checks
            if check.status is Status.WARN
        }

    return of
