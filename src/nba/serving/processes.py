"""`nba serve`: the processes of one project's service.

Some answer, and one brings features online. They share nothing but the stores. A query of DuckDB
asks for Python's interpreter between its steps: in a process that answers, each of these waits for
whoever is answering, and a refresh takes five times as long as its work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from nba.errors import UnavailableError, UsageError
from nba.logs import configure
from nba.serving.app import create_app
from nba.serving.auth import is_this_machine
from nba.serving.following import Follower, bring_newest
from nba.serving.freshness import Refresher
from nba.serving.laying import Layer, lay_lists
from nba.serving.run import WAIT_SECONDS, services_of
from nba.serving.services import Access, Services
from nba.settings import Project
from nba.wiring import Wiring

#: The longest, in seconds, that requests under way have to end when the service stops.
END_SECONDS: Final = 10
#: A worker that says nothing for so many seconds is replaced. While it loads its modules it says
#: nothing either, and on a machine that is busy that takes long.
SILENT_SECONDS: Final = 60
#: For how long, in seconds, processes that answer leave features to the one that is there for them.
LEAVE_SECONDS: Final = 30.0
#: How often, in seconds, that one looks whether the service still runs.
_LOOK_SECONDS: Final = 0.5
#: Tell worker processes what they serve, and how callers are known.
_PROJECT, _ACCESS = "NBA_SERVE_PROJECT", "NBA_SERVE_ACCESS"


def serve_api(project: Project, *, host: str, port: int, access: str, workers: int = 1) -> None:
    """Serve until interrupted; then requests under way have a few seconds to end.

    Parameters
    ----------
    project : Project
    host : str
    port : int
    access : str
        A member of `Access`.
    workers : int
        Processes that answer. They share the port, and nothing else but the stores.

    Raises
    ------
    UsageError
        When open access is asked for on an address that others can reach.
    """
    if access not in tuple(Access):
        raise UsageError("unknown --access", expected=" or ".join(Access), found=access)
    if access == "open" and not is_this_machine(host):
        raise UsageError(
            "open access is for a loopback address only",
            expected="127.0.0.1, ::1 or localhost",
            found=host,
            next_step="use --access keys, and make keys with `nba keys create`",
        )
    os.environ[_PROJECT], os.environ[_ACCESS] = str(project.root), access
    with suppress(UnavailableError):  # it is followed as soon as it answers
        bring_newest(Wiring(project))
    app: FastAPI | str = make_app()  # what is wrong shows here, not in every worker
    if workers > 1:
        app = "nba.serving.processes:make_app"
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(
        f"serving at {base}: the clerk's page at {base}/, the API's docs at {base}/docs", flush=True
    )
    with refreshing(project.root, Access(access)):
        uvicorn.run(
            app,
            factory=workers > 1,
            host=host,
            port=port,
            workers=workers,
            log_level="warning",
            timeout_graceful_shutdown=END_SECONDS,
            timeout_worker_healthcheck=SILENT_SECONDS,
        )


def make_app() -> FastAPI:
    """Return the service of the project that the environment names: uvicorn's entry point."""
    project = Project.open(Path(os.environ[_PROJECT]))
    configure(project.settings.log_level, project.settings.log_format)
    return create_app(answering(project, Access(os.environ[_ACCESS])))


def answering(project: Project, access: Access) -> Services:
    """Return what a process stands on that answers, beside one that brings features online."""
    wiring = Wiring(project, store_wait=WAIT_SECONDS, store_silence=WAIT_SECONDS)
    services = services_of(wiring, access)
    return replace(services, leave_seconds=LEAVE_SECONDS)


@contextmanager
def refreshing(root: Path, access: Access) -> Iterator[None]:
    """Bring features of a project online in a process of its own, while the context lasts.

    It ends too when this process ends without leaving the context.

    Parameters
    ----------
    root : Path
        The project's folder.
    access : Access
        As the service is served: an open one stands on the plan's day.
    """
    process = multiprocessing.get_context("spawn").Process(
        target=_refresh, args=(root, access, os.getpid()), name="refresher", daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(END_SECONDS)
        process.kill()  # what it was at is undone whole
        process.join()


def _refresh(root: Path, access: Access, service: int) -> None:
    """Refresh until the process that started this one ends, or this one is told to."""
    threading.Thread(target=_end_with, args=(service,), daemon=True).start()
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ending.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service is told, and tells this one
    project = Project.open(root)
    configure(project.settings.log_level, project.settings.log_format)
    wiring = Wiring(project, store_wait=WAIT_SECONDS)
    services = services_of(wiring, access)
    assert services.fresh is not None
    assert services.lock is not None
    refresher = Refresher(services.store, services.fresh, services.clock, services.lock)
    refresher.start()
    follower = Follower(lambda: bring_newest(wiring))
    if wiring.storage is not None:
        follower.start()
    layer = Layer(services.store, lambda: lay_lists(services))
    layer.start()
    ending.wait()
    layer.close()
    follower.close()
    refresher.close()


def _end_with(service: int) -> None:
    """End this process, whatever it is at, as soon as the one that started it is gone.

    Nothing is left half done: what it writes stands as a whole or not at all.
    """
    while os.getppid() == service:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)
