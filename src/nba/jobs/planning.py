"""Plan, header and export: what the nightly job, preview and the command line share."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from nba.errors import NotFoundError, UsageError
from nba.wiring import Wiring

if TYPE_CHECKING:
    from nba.decisions.plan import Plan
    from nba.jobs.nightly import Night

#: Days of contacts and responses that the contact policy looks back on.
POLICY_DAYS: Final = 92
_WHOLE = ("content", "events", "benefits", "service_cases", "groups", "memberships", "friendships")
_RECENT = ("interactions", "responses")


def decision_tables(wiring: Wiring, as_of: datetime) -> dict[str, pl.DataFrame]:
    """Return the lake's tables that decisions read, contacts confined to the recent ones."""
    tables = wiring.tables(as_of)
    frames = {name: wiring.collect(tables[name]) for name in _WHOLE}
    since = as_of - timedelta(days=POLICY_DAYS)
    for name in _RECENT:
        frames[name] = wiring.collect(tables[name].filter(tables[name].ts >= since))
    frames["quota"] = wiring.plan_store.quota_frame(as_of.date())
    return frames


def make_plan(night: Night) -> Plan:
    """Decide for every eligible customer at the night's `as_of`."""
    from nba.decisions.decide import decide

    wiring, scores = night.wiring, night.scores()
    files = wiring.decision_files
    inputs = {
        **night.frames,
        **decision_tables(wiring, night.as_of),
        **scores.items(),
        "preferred_mode": preferred_modes(wiring, night.as_of),
    }
    return decide(
        inputs,
        files.catalogue,
        files.policy,
        files.levers,
        as_of=night.as_of,
        settings=wiring.decision_settings,
        policy_version=files.version,
        model_versions=",".join(f"{name}:{v}" for name, v in model_versions(night).items()),
    )


def model_versions(night: Night) -> dict[str, str]:
    """Return the version of each model that served the night."""
    noted = night.manifest.steps["train"]["versions"]
    return {name: str(noted[name]["version"]) for name in sorted(noted)}


def preferred_modes(wiring: Wiring, as_of: datetime) -> pl.DataFrame:
    """Return each customer's preferred mode as the latest plan before `as_of` left it."""
    day = as_of.date().isoformat()
    kept = sorted(wiring.project.data.glob("runs/*/plan/preferred_mode.parquet"))
    before = [path for path in kept if path.parent.parent.name < day]
    return pl.read_parquet(before[-1]) if before else pl.DataFrame()


def plan_header(night: Night) -> dict[str, Any]:
    """Return the header under which the night's plan is published."""
    steps = night.manifest.steps
    actions = (night.folder / "plan" / "actions.parquet").read_bytes()
    return {
        "as_of": night.as_of.date(),
        "policy_version": steps["plan"]["policy_version"],
        "model_versions": model_versions(night),
        "counts": {"eligible": steps["plan"]["eligible"], "actions": steps["plan"]["actions"]},
        "digest": hashlib.sha256(actions).hexdigest(),
        "inputs": night.manifest.inputs,
    }


def days_between(text: str) -> list[datetime]:
    """Return the days of `FIRST..LAST`, both included."""
    try:
        first, last = (datetime.strptime(part, "%Y-%m-%d") for part in text.split(".."))
    except ValueError:
        raise UsageError(
            "--backfill is no span of days",
            expected="YYYY-MM-DD..YYYY-MM-DD",
            found=text,
            next_step="give the first and the last day",
        ) from None
    if last < first:
        raise UsageError("--backfill ends before it begins", found=text)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def export_actions(wiring: Wiring, as_of: datetime, out: Path, *, everything: bool) -> int:
    """Write the actions of a plan, or its whole decision log, and return the number of rows.

    Parameters
    ----------
    wiring : Wiring
    as_of : datetime
    out : Path
        Ends in `.csv`, `.parquet` or `.jsonl`. In CSV, lists and structures are JSON.
    everything : bool
        Also every row of the decision log.

    Raises
    ------
    NotFoundError
        When there is no plan of `as_of`.
    UsageError
        When the file's ending is not known.
    """
    if out.suffix not in (".csv", ".parquet", ".jsonl"):
        raise UsageError(
            f"cannot tell the format of {out}",
            expected="a name that ends in .csv, .parquet or .jsonl",
            found=out.suffix or "no ending",
        )
    folder = wiring.project.run_folder(as_of.date().isoformat()) / "plan"
    if not (folder / "actions.parquet").is_file():
        raise NotFoundError(
            f"there is no plan of {as_of.date()}",
            expected=f"a run of `nba run --as-of {as_of.date()}`",
            found=f"plans of {_plans(wiring) or 'no day'}",
            next_step="run the nightly job for that day, or choose another",
        )
    frame = pl.read_parquet(folder / "actions.parquet")
    if everything:
        log = pl.read_parquet(folder / "log.parquet")
        frame = pl.concat(
            [frame, log.join(frame, on="customer_id", how="anti")], how="diagonal_relaxed"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(frame, out)
    return frame.height


def _plans(wiring: Wiring) -> str:
    runs = sorted(path.parent.parent.name for path in wiring.project.data.glob("runs/*/plan/log*"))
    return ", ".join(runs[-3:])


def _write(frame: pl.DataFrame, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.tmp")
    if out.suffix == ".parquet":
        frame.write_parquet(temporary)
    elif out.suffix == ".jsonl":
        with temporary.open("w", encoding="utf-8") as handle:
            for row in frame.iter_rows(named=True):
                handle.write(json.dumps(row, default=_text, ensure_ascii=False) + "\n")
    else:
        with temporary.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(frame.columns)
            writer.writerows([_cell(value) for value in row] for row in frame.iter_rows())
    temporary.replace(out)


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text, ensure_ascii=False)
    return _text(value) if isinstance(value, date) else value


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
