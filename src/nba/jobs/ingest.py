"""A folder of tables, or what the quarantine holds, into the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from nba.data.ingest import ingest, retry
from nba.data.report import IngestReport
from nba.jobs.lock import project_lock
from nba.jobs.progress import Progress, silent
from nba.wiring import Wiring


def ingest_folder(
    wiring: Wiring,
    folder: Path,
    *,
    mapping: str = "",
    check_only: bool = False,
    progress: Progress = silent,
) -> IngestReport:
    """Load a folder of tables; see `nba.data.ingest.ingest` for what it raises.

    Parameters
    ----------
    wiring : Wiring
    folder : Path
        Holds a file or a folder per table.
    mapping : str
        A mapping's name or file; empty: the tables' own names, and exports by their header.
    check_only : bool
        Read and check; load nothing.
    progress : Progress
        Where the step is shown.
    """
    with project_lock(wiring.project.data), progress.step("tables") as current:
        report = ingest(
            folder,
            wiring.lake,
            mapping=mapping or None,
            time_zone=wiring.settings.time_zone,
            now=datetime.now(UTC),
            check_only=check_only,
            erased=wiring.plan_store.keeper(),
            currency=wiring.settings.currency,
            secret=wiring.project.secret(),
        )
        tables = report.tables.values()
        current.report["tables"] = len(tables)
        current.report["rows"] = sum(table.read.rows for table in tables)
        current.report["quarantined"] = sum(table.quarantined.rows for table in tables)
        return report


def retry_quarantine(wiring: Wiring, *, mapping: str = "") -> IngestReport:
    """Try the quarantined rows again, with a corrected mapping or changed rules."""
    with project_lock(wiring.project.data):
        return retry(
            wiring.lake,
            mapping=mapping or None,
            time_zone=wiring.settings.time_zone,
            now=datetime.now(UTC),
            erased=wiring.plan_store.keeper(),
        )
