"""`nba doctor`: what is in force, what is there, and what is wrong."""

from __future__ import annotations

import json
import sqlite3
from datetime import date, datetime, time
from typing import Any, Final

from limits.storage import storage_from_string

import nba
from nba.data.holidays import country_of, holidays_of
from nba.errors import NbaError
from nba.jobs.policies import idle_auto
from nba.pipeline.plan import WARNINGS
from nba.pipeline.train import MODELS
from nba.stores.lock import is_locked
from nba.stores.nightly_runs import NightlyRunState
from nba.wiring import Wiring

#: Views that the service reads as a whole.
SERVED_WHOLE: Final = ("store", "clerk", "product")
_AGAIN: Final = "run `nba run --as-of {} --from {} --force`"


def examine(wiring: Wiring) -> dict[str, Any]:
    """Return settings, versions and the state of each part, problems in words."""
    project = wiring.project
    report: dict[str, Any] = {
        "nba": nba.__version__,
        "project": str(project.root),
        **{
            f"settings.{name}": value
            for name, value in wiring.settings.model_dump(mode="json").items()
        },
        "lake": _try(lambda: f"version {wiring.lake.version}"),
        "transactions": _try(lambda: f"{wiring.lake.rows('transactions'):,} lines"),
        "storage": _try(lambda: _storage(wiring)),
        "models": _try(lambda: ", ".join(f"{n} {s.kind}" for n, s in wiring.specs.items())),
        "decision files": _try(lambda: f"version {wiring.decision_files.version}"),
        "decisions": _try(lambda: wiring.decision_settings.model_dump(mode="json")),
        "arms": _try(lambda: "; ".join(idle_auto(wiring.settings)) or "as set"),
        "public holidays": _try(lambda: _holidays(wiring)),
        "operational store": _try(lambda: _answer(wiring)),
        "erasures": _try(lambda: f"{len(wiring.plan_store.pending_erasures())} wait for a night"),
        "last night": _try(lambda: _last_night(wiring)),
        "outbox": _try(lambda: _outbox(wiring)),
        "current plan": _try(lambda: _plan(wiring)),
        "features of the plan's day": _try(lambda: _features(wiring)),
        "rate limits": _try(lambda: _counts(wiring)),
    }
    for name in MODELS:
        report[f"champion {name}"] = _try(lambda name=name: _champion(wiring, name))
        challenger = _try(lambda name=name: _challenger(wiring, name))
        if challenger is not None:
            report[f"challenger {name}"] = challenger
    return report


def doctor_lines(report: dict[str, Any]) -> list[str]:
    """Return what was found as lines for people, with what stands beside each name in a column."""
    width = max(map(len, report))
    return [f"{name:<{width}} {_plain(value)}" for name, value in report.items()]


def _plain(value: Any) -> str:
    """Return a value as YAML would have it in one line; a dash where nothing is set."""
    if isinstance(value, str):
        return value or "–"
    return json.dumps(value, ensure_ascii=False)


def _holidays(wiring: Wiring) -> str:
    """Say whose public holidays are known, or that none are."""
    settings, today = wiring.settings, datetime.now().date()
    country = settings.country or country_of(settings.time_zone)
    known = holidays_of(country, date(today.year, 1, 1), date(today.year, 12, 31)).height
    if known or not country:
        return f"{country}: {known} this year" if country else "none: set `country`"
    return f"WARN none are known of {country}: set `country` in nba.yaml as ISO 3166 has it"


def _answer(wiring: Wiring) -> str:
    wiring.plan_store.ping()
    return "answers"


def _storage(wiring: Wiring) -> str:
    """Say which version is here, and which is the newest."""
    if wiring.storage is None:
        return "none: what is kept lies in the project alone"
    here, newest = wiring.storage.version, wiring.storage.newest()
    if newest is None:
        return "empty: the next `nba ingest` or `nba run` sends the first version"
    sizes = sum(size for _, size in newest.files.values())
    said = f"version {newest.number}, {len(newest.files):,} files, {sizes / 1e6:,.1f} MB"
    if not wiring.project.operational_url.startswith("sqlite"):
        return f"{said}; here: {here.number}"
    return (
        f"{said}; here: {here.number}; the operational store is SQLite: machines beside this one "
        "know nothing of what its service accepts"
    )


def _last_night(wiring: Wiring) -> str:
    night = wiring.plan_store.last_night()
    if night is None:
        return "none yet"
    if night.state is NightlyRunState.DONE:
        return f"{night.as_of}, done at {night.ended_at:%Y-%m-%d %H:%M} UTC"
    if night.failure is not None:
        step = f" in the step {night.failure.step}" if night.failure.step else ""
        return (
            f"PROBLEM: of {night.as_of}, failed at {night.ended_at:%Y-%m-%d %H:%M} UTC{step}: "
            f"{night.failure.message or night.failure.error}"
        )
    if is_locked(wiring.project.data):
        return f"{night.as_of}, began at {night.began_at:%Y-%m-%d %H:%M} UTC, still running"
    return f"PROBLEM: of {night.as_of}, was broken off: run `nba run --as-of {night.as_of}` again"


def _outbox(wiring: Wiring) -> str:
    waiting, refused = wiring.plan_store.backlog()[0], wiring.plan_store.refused_rows()
    message = f"{waiting:,} rows wait for the next night"
    if refused:
        return f"PROBLEM: {message}, {refused:,} were refused: see `nba outbox list`"
    return message


def _plan(wiring: Wiring) -> str:
    current = wiring.plan_store.current_plan()
    if current is None:
        return "none"
    day = current["as_of"]
    steps = wiring.run(datetime.combine(day, time())).manifest.steps
    return "; ".join([f"{day}", *steps.get("plan", {}).get(WARNINGS, ())])


def _features(wiring: Wiring) -> str:
    """Say whether what lists and cards read of features is whole."""
    current = wiring.plan_store.current_plan()
    if current is None:
        return "none"
    day, store = current["as_of"], wiring.feature_store
    moment, problems = datetime.combine(day, time()), []
    lost = store.lost_views(moment)
    if lost:
        problems.append(f"{', '.join(lost)} gone: {_AGAIN.format(day, 'features')}")
    for view in set(SERVED_WHOLE).difference(lost):
        store.served(view, moment)
    try:
        if not store.is_online(moment):
            problems.append(f"not all is online: {_AGAIN.format(day, 'publish')}")
    except sqlite3.Error as error:
        problems.append(f"the online store cannot be read ({error}): move it away, publish again")
    if store.base() is None:
        problems.append(f"cards stand still during the day: {_AGAIN.format(day, 'publish')}")
    return f"PROBLEM: of {day}, {'; '.join(problems)}" if problems else f"{day}, online"


def _counts(wiring: Wiring) -> str:
    """Say where requests are counted, and whether it answers."""
    limits = wiring.settings.rate_limits
    if not limits.are_set:
        return "none"
    if limits.storage.startswith("memory://"):
        return "each process counts by itself"
    if not storage_from_string(limits.storage).check():
        return "PROBLEM: the server that counts requests does not answer: none is counted"
    return "counted together"


def _challenger(wiring: Wiring, name: str) -> str | None:
    challenger = wiring.registry.challenger(name)
    return None if challenger is None else f"v{challenger.version}, {challenger.reason}"


def _champion(wiring: Wiring, name: str) -> str:
    version = wiring.registry.champion(name)
    if version is None:
        return "none yet"
    why = f", {version.reason}" if version.reason else ""
    held = " (held until another is promoted by hand)" if version.pinned else ""
    return f"v{version.version}, fitted at {version.as_of}{why}{held}"


def _try(look: Any) -> Any:
    try:
        return look()
    except NbaError as error:
        return f"PROBLEM: {error}"
