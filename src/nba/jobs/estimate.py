"""How long a night will take: as long as its steps took the last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nba.pipeline.context import RunContext
from nba.pipeline.manifest import Manifest


def earlier_seconds(context: RunContext) -> dict[str, float]:
    """Return the seconds that each step took in the latest other run with a plan; none before."""
    runs = context.ports.runs
    days = [day for day in runs.planned_days() if day != context.as_of.date()]
    if not days:
        return {}
    steps = Manifest.read(runs.of(days[-1])).steps
    return {name: float(report["seconds"]) for name, report in steps.items() if "seconds" in report}


def time_left(seconds: Mapping[str, float], names: Sequence[str]) -> str:
    """Return how long the first of some steps takes, and all of them; empty where unknown.

    Parameters
    ----------
    seconds : mapping of str to float
        By step.
    names : sequence of str
        The steps that are left, in order.

    >>> time_left({"score": 14.2, "plan": 61}, ["score", "plan"])
    'takes about 14 s, 1 min 15 s left'
    """
    if any(name not in seconds for name in names):
        return ""
    left = sum(seconds[name] for name in names)
    return f"takes about {duration(seconds[names[0]])}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a length of time for people.

    >>> duration(59.6), duration(3_725)
    ('1 min 0 s', '1 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
