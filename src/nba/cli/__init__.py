"""The command line: one verb per job."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated

import typer

from nba.cli import (
    chat,
    copilots,
    experiments,
    features,
    hooks,
    keys,
    nightly,
    outbox,
    plans,
    privacy,
    quarantine,
    reports,
    shop,
)
from nba.errors import ConfigError, NbaError
from nba.settings import SETTINGS_FILE

app = typer.Typer(
    help="Next best action for social retail.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(shop.verbs)
app.add_typer(nightly.verbs)
app.add_typer(plans.plan_app, name="plan")
app.add_typer(plans.actions_app, name="actions")
app.add_typer(features.features_app, name="features")
app.add_typer(quarantine.quarantine_app, name="quarantine")
app.add_typer(outbox.outbox_app, name="outbox")
app.add_typer(keys.keys_app, name="keys")
app.add_typer(hooks.hooks_app, name="hooks")
app.add_typer(chat.chat_app, name="chat")
app.add_typer(copilots.verbs)
app.add_typer(privacy.verbs)
app.add_typer(reports.verbs)
app.add_typer(experiments.verbs)
app.add_typer(experiments.experiment_app, name="experiment")


@app.callback()
def options(
    context: typer.Context,
    project: Annotated[Path, typer.Option("--project", help="The project's folder.")] = Path(),
) -> None:
    """Take the options that every verb shares."""
    context.obj = _called["project"] = project


#: The project of this call, for what is said when it fails.
_called: dict[str, Path] = {}


class Stopped(SystemExit):
    """The process was asked to end: steps, locks and transactions end as with any error."""


def _stop(signum: int, frame: object) -> None:
    raise Stopped(128 + signum)


def _with_all_faults(error: NbaError) -> NbaError:
    """Return an error of configuration with what is wrong in the project's other files."""
    project = _called.get("project", Path())
    if not isinstance(error, ConfigError) or not (project / SETTINGS_FILE).is_file():
        return error
    from nba.jobs.configuration import with_all_faults

    return with_all_faults(error, project)


def _reported(call: Callable[[], None]) -> Callable[[], None]:
    @wraps(call)
    def wrapper() -> None:
        try:
            call()
        except NbaError as error:
            print(f"nba: {_with_all_faults(error)}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            print(f"nba: cannot use{where}: {error.strerror or error}", file=sys.stderr)
            raise SystemExit(NbaError.exit_code) from None
        except Exception as error:
            if os.environ.get("NBA_LOG_LEVEL") == "debug":
                raise
            print(f"nba: {_fault(error)}", file=sys.stderr)
            raise SystemExit(NbaError.exit_code) from None

    return wrapper


def _fault(error: Exception) -> NbaError:
    """Return a fault of our own as an error that says what to do about it."""
    return NbaError(
        "nba failed in a way that it does not explain",
        found=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
        next_step="please report it; NBA_LOG_LEVEL=debug shows where it happened",
    )


@_reported
def main() -> None:
    """Run the command line; an error becomes its message and its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    app()
