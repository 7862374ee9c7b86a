"""Serve here what another machine planned."""

from __future__ import annotations

from datetime import date, datetime, time

from nba.pipeline.context import RunContext, run_context
from nba.pipeline.ports import Ports
from nba.pipeline.publish import publish
from nba.settings import Settings


def follow(ports: Ports, settings: Settings) -> date | None:
    """Bring the newest published plan to where this machine serves from; return its day.

    Its features go online here, and the plan into the operational store where that does not
    hold it. Where both are there, and before the first plan, nothing happens.

    Parameters
    ----------
    ports : Ports
    settings : Settings
    """
    context = _newest(ports, settings)
    if context is None:
        return None
    day = context.as_of.date()
    if ports.plan_store.plan(day) is None:
        publish(context)
    elif not ports.feature_store.is_online(context.as_of):
        ports.feature_store.materialise(context.as_of)
    return day


def _newest(ports: Ports, settings: Settings) -> RunContext | None:
    """Return the newest run whose plan was published."""
    for day in reversed(ports.runs.planned_days()):
        context = run_context(ports, settings, datetime.combine(day, time()))
        if "publish" in context.manifest.steps:
            return context
    return None
