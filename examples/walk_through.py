"""A walk through a small made-up shop: tables in, lists, feedback over the API, the next plan.

    python examples/walk_through.py FOLDER

Every step is a command of `nba` or a call of its API, printed as it runs; nothing else is used.
The shop is generated (200 customers, 3 clerks, 150 days) and written to FOLDER as tables, the
project as FOLDER/shop.
"""

from __future__ import annotations

import csv
import json
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

DAYS = 150
#: The day after the generated history, which begins on 2024-10-01.
TODAY = date(2024, 10, 1) + timedelta(days=DAYS)
TOMORROW = TODAY + timedelta(days=1)


def nba(folder: Path, *arguments: str | Path) -> None:
    """Run a command of `nba` in `folder`, printed as a person would type it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ nba {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "nba", *words], cwd=folder, check=True)


def call(base: str, path: str, body: object = None) -> Any:
    """Call the API and return its answer; with a body it is a POST."""
    print(f"\n{'GET' if body is None else 'POST'} {path}", flush=True)
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(base + path, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Serve the project's API while the context lasts, and return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["--project", "shop", "serve", "--access", "open", "--port", port]
    print(f"\n$ nba {shlex.join(words)} &", flush=True)
    process = subprocess.Popen([sys.executable, "-m", "nba", *words], cwd=folder)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(base, process)
        yield base
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(base: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{base}/readyz", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                raise SystemExit("the service did not start") from None
            time.sleep(0.2)
    raise SystemExit("the service did not become ready")


def listed(path: Path) -> dict[str, dict[str, str]]:
    """Return an exported plan's listed actions by customer."""
    with path.open(encoding="utf-8", newline="") as handle:
        return {row["customer_id"]: row for row in csv.DictReader(handle) if row["mode"] != "none"}


def give_feedback(base: str, action: dict[str, str], other: dict[str, str]) -> None:
    """Send one action, and let the customer of another one block the clerk."""
    clerk, at = action["clerk_id"], f"{TODAY}T11:00:00+08:00"
    todays = call(base, f"/v1/clerks/{clerk}/actions?limit=3")["actions"]
    for one in todays:
        print(f"  {one['rank']}. {one['customer_id']}: {one['action_type']} ({one['mode']})")
    sent = {"feedback_id": "walk-1", "clerk_id": clerk, "kind": "sent", "ts": at}
    print(call(base, f"/v1/actions/{action['action_id']}/feedback", sent))
    block = {
        "response_id": "walk-2",
        "customer_id": other["customer_id"],
        "ts": at,
        "kind": "blocked",
    }
    print(call(base, "/v1/events", {"responses": [block]}))


def main(folder: Path) -> None:
    """Walk the path once, from tables to the plan after the first feedback."""
    folder.mkdir(parents=True, exist_ok=True)
    size = ["--customers", "200", "--clerks", "3", "--stores", "2", "--days", str(DAYS)]
    nba(folder, "simulate", "world", *size, "--seed", "11")
    nba(folder, "init", "shop")
    nba(folder, "--project", "shop", "ingest", "world/tables")
    nba(folder, "--project", "shop", "run", "--as-of", str(TODAY))
    nba(folder, "--project", "shop", "actions", "show", "--as-of", str(TODAY), "--limit", "3")
    _export(folder, TODAY, "today.csv")
    today = listed(folder / "today.csv")
    action, other, *_ = today.values()
    with service(folder) as base:
        give_feedback(base, action, other)
    nba(folder, "--project", "shop", "run", "--as-of", str(TOMORROW))
    _export(folder, TOMORROW, "tomorrow.csv")
    tomorrow = listed(folder / "tomorrow.csv")
    nba(folder, "--project", "shop", "report")
    print(f"\n{len(today)} actions today, {len(tomorrow)} tomorrow")
    for row, why in ((action, "was contacted today"), (other, "has blocked the clerk")):
        place = "is listed" if row["customer_id"] in tomorrow else "is not listed tomorrow"
        print(f"{row['customer_id']} {why} and {place}")


def _export(folder: Path, day: date, name: str) -> None:
    nba(folder, "--project", "shop", "actions", "export", "--as-of", str(day), "--out", name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
