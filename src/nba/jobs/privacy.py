"""`nba erase` and `nba audit`: erase a customer, search for what is left, say who saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import create_engine

from nba.errors import NbaError, UsageError
from nba.pipeline.erase import erase
from nba.pipeline.ports import ErasureReceipt
from nba.stores.search import Search, search_database, search_folder
from nba.wiring import Wiring


def erase_customer(wiring: Wiring, customer_id: str, *, by: str = "") -> ErasureReceipt:
    """Erase a customer from everything that is kept; see `nba.pipeline.erase.erase`.

    Raises
    ------
    LockHeldError
        When a run is under way.
    """
    with wiring.at_work():
        receipt = erase(wiring, customer_id, by=by or None)
        wiring.keep(purge=True)
        return receipt


def receipt_lines(receipt: ErasureReceipt) -> list[str]:
    """Return a receipt for people."""
    done = receipt.completed_at
    lines = [
        f"receipt     {receipt.receipt_id}",
        f"asked for   {receipt.erased_at:%Y-%m-%d %H:%M:%S %Z}"
        + (f" by {receipt.requested_by}" if receipt.requested_by else ""),
        f"completed   {done:%Y-%m-%d %H:%M:%S %Z}" if done else "completed   with the next night",
    ]
    lines += [f"{count:>9,}  {name}" for name, count in receipt.counts.items() if count]
    return lines


def search(wiring: Wiring, customer_id: str) -> Search:
    """Search everything that is kept for a customer, and the project's other files."""
    project = wiring.project
    result = Search(customer_id)
    search_folder(result, project.root, project.data)
    for name, url in (
        ("the operational store", project.operational_url),
        ("MLflow's database", project.tracking_uri),
    ):
        if url.startswith("postgresql"):
            engine = create_engine(url)
            try:
                search_database(result, engine, name)
            finally:
                engine.dispose()
        elif not _inside(wiring, url):
            result.unseen.append(f"{name} at {url.partition('://')[0]}://…: not below the project")
    _search_online(wiring, result)
    return result


def _search_online(wiring: Wiring, found: Search) -> None:
    """Search the online store that Feast has beside the packed one, where there is any."""
    repository = wiring.feature_store.repository
    if not repository.has_other_online_store:
        return
    place = "online stores of features/feature_store.yaml"
    try:
        keys = repository.keys_online([found.customer_id], delete=False)
    except NbaError as error:
        found.unseen.append(f"{place}: {error}")
        return
    found.note(place)
    found.add(place, "keys", sum(keys.values()), kept=True)


def _inside(wiring: Wiring, url: str) -> bool:
    return url.startswith(f"sqlite:///{wiring.project.root}")


def search_lines(found: Search) -> list[str]:
    """Return a search for people: where it looked, and what it found."""
    lines = [f"looked at   {count:,} {kind}" for kind, count in sorted(found.looked.items())]
    lines += [f"not seen    {text}" for text in found.unseen]
    for kept, title in ((True, "found"), (False, "also")):
        lines += [
            f"{title:<11} {finding.count:,} in {finding.place}, {finding.where}"
            for finding in found.findings
            if finding.kept is kept
        ]
    if any(not finding.kept for finding in found.findings):
        lines.append(
            "            (also: files that are yours, or numbers that may mean something else)"
        )
    many = len(found.kept)
    lines.append(f"{many} places hold the customer" if many else "nothing that is kept holds them")
    return lines


def calls_about(wiring: Wiring, customer_id: str, since: str = "") -> list[dict[str, Any]]:
    """Return the calls of the API about a customer, oldest first, by the project's clock.

    Parameters
    ----------
    wiring : Wiring
    customer_id : str
    since : str
        A day; empty: all that are kept.

    Raises
    ------
    UsageError
    """
    zone = ZoneInfo(wiring.settings.time_zone)
    begin = None
    if since:
        try:
            begin = datetime.strptime(since, "%Y-%m-%d").replace(tzinfo=zone).astimezone(UTC)
        except ValueError:
            raise UsageError("--since is no day", expected="2026-03-01", found=since) from None
    calls = wiring.plan_store.calls_about(customer_id, begin)
    return [{**one, "ts": one["ts"].astimezone(zone)} for one in calls]


def call_lines(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return calls about a customer for people."""
    lines = [
        f"{one['ts']:%Y-%m-%d %H:%M:%S}  {one['caller']}  {_speaks_for(one)}  "
        f"{one['method']} {one['route']}  {one['status']}"
        for one in calls
    ]
    return lines or ["nobody saw or changed this customer over the API, as far as it is kept"]


def _speaks_for(call: Mapping[str, Any]) -> str:
    return f"{call['scope']} {call['subject']}" if call["subject"] else str(call["scope"])
