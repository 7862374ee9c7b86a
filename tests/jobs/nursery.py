"""A process that has imported everything and forks what a test wants to kill.

It reads a line per child: `night PROJECT DAY` or `serve PROJECT PORT`, and answers with its pid;
`quit` ends it. It uses no library before it forks, so that no thread is lost in a child.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import alembic.runtime.environment  # noqa: F401
import duckdb  # noqa: F401
import ibis.backends.duckdb  # noqa: F401
import lightgbm  # noqa: F401
import mlflow.pyfunc  # noqa: F401
import uvicorn

from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent
from nba.logs import configure
from nba.serving import Access, create_app
from nba.serving.run import services_of
from nba.settings import Project
from nba.wiring import Wiring


def night(project: str, day: str) -> None:
    """Run the nightly job of a day."""
    run_nightly(Wiring(Project.open(Path(project))), datetime.fromisoformat(day), progress=silent)


def serve(project: str, port: str) -> None:
    """Serve until killed."""
    services = services_of(Wiring(Project.open(Path(project))), Access.KEYS)
    uvicorn.run(create_app(services), host="127.0.0.1", port=int(port), log_level="error")


def main() -> None:
    """Fork a child per line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    configure("error")
    for line in sys.stdin:
        what, *arguments = line.split()
        if what == "quit":
            return
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            {"night": night, "serve": serve}[what](*arguments)
            sys.stdout.flush()
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
