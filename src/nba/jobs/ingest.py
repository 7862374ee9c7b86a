"""The first step: a folder of tables, or what the API accepted, into the lake."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
        A mapping's name or file; empty: the tables' own names.
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


def drain_outbox(wiring: Wiring) -> dict[str, Any]:
    """Bring the events that the API accepted into the lake, and mark them.

    An event is marked only after the lake has committed it; a run that dies between the two
    loads it again, which changes nothing.
    """
    events = wiring.plan_store.new_events()
    if not events:
        return {"events": 0}
    with tempfile.TemporaryDirectory(prefix="nba-outbox-") as scratch:
        for name, rows in events.items():
            rows.drop("outbox_id").write_parquet(Path(scratch) / f"{name}.parquet")
        report = ingest(
            Path(scratch),
            wiring.lake,
            time_zone=wiring.settings.time_zone,
            now=datetime.now(UTC),
            is_increment=True,
        )
    ids = [str(name) for rows in events.values() for name in rows["outbox_id"]]
    wiring.plan_store.mark_ingested(ids)
    return {"events": len(ids), "version": report.version}
