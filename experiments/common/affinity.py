"""What an affinity experiment leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nba.jobs.affinity_report import table, write_report


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write result, table and plot, and return the tables."""
    write_report(result, folder)
    parts = [protocol["test"] for protocol in result.get("protocols", {}).values()]
    parts += [report["methods"] for report in result.get("cutoffs", {}).values()]
    return "\n\n".join(table(methods) for methods in parts)
