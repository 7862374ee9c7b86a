"""Logs of jobs and of the service: one line per step and per request, each with an id.

A line names what happened, its id, counts, versions and seconds. It never holds what a person
could be known by: no path, no query, no body, no row; requests are named by their route.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from nba.errors import ConfigError

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


def configure(level: str = "info", log_format: str = "text") -> None:
    """Decide which lines are written to standard error, and how.

    Parameters
    ----------
    level : str
        The least of `LEVELS` that is written; the variable `NBA_LOG_LEVEL` goes before it.
    log_format : str
        `text` for people, `json` for what collects logs; `NBA_LOG_FORMAT` goes before it.

    Raises
    ------
    ConfigError
        When either is not one of the known values.
    """
    level = _chosen("NBA_LOG_LEVEL", level, LEVELS)
    log_format = _chosen("NBA_LOG_FORMAT", log_format, FORMATS)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
            structlog.processors.JSONRenderer() if log_format == "json" else _as_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        context_class=dict,
    )


def _chosen(variable: str, configured: str, known: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or configured
    if value not in known:
        raise ConfigError(f"{variable} is unknown", expected=" or ".join(known), found=value)
    return value


def log() -> Any:
    """Return the logger; configured with the defaults where nobody has."""
    if not structlog.is_configured():
        configure()
    return structlog.get_logger()


def for_machines() -> bool:
    """Return whether lines are written as JSON, so that nothing else may stand among them."""
    if not structlog.is_configured():
        configure()
    return any(
        isinstance(item, structlog.processors.JSONRenderer)
        for item in structlog.get_config()["processors"]
    )


def new_id() -> str:
    """Return an id that says nothing about what it names."""
    return uuid.uuid4().hex[:16]


def _as_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Render one line: time, level where it is not `info`, what happened, then its facts.

    Examples
    --------
    >>> _as_text(None, "info", {"timestamp": "2026-11-21T02:00:00Z", "level": "info",
    ...                         "event": "step", "step": "score", "seconds": 1.5})
    '2026-11-21T02:00:00Z score seconds=1.5'
    """
    head = [str(event.pop("timestamp", ""))]
    level = event.pop("level", "info")
    head += [] if level == "info" else [str(level)]
    what = str(event.pop("event", ""))
    head.append(what.replace("step", str(event.pop("step")), 1) if "step" in event else what)
    return " ".join([*head, *(f"{name}={value}" for name, value in event.items())])
