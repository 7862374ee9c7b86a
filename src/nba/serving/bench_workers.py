"""`nba bench workers`: how much more several answering processes do than one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nba.serving.bench import Server, in_turns, opened, requests_of, served, served_by
from nba.serving.bench_copy import copied


@dataclass(frozen=True)
class Scaled:
    """One kind of request, answered by one process and by several.

    Parameters
    ----------
    request : str
    one_per_second, all_per_second : float
        Requests per second.
    ratio : float
        Of the second to the first.
    one_client, all_client : float
        Cores that the client took meanwhile: what the processes did not have.
    """

    request: str
    one_per_second: float
    all_per_second: float
    ratio: float
    one_client: float
    all_client: float


def bench_workers(
    project: str = "demo", workers: int = 2, seconds: float = 4.0, connections: int = 16
) -> list[Scaled]:
    """Ask a service of one process and one of several in turns, for lists, cards and events.

    Parameters
    ----------
    project : str
        A project's folder; the bench works on a copy of it.
    workers : int
        Processes of the other.
    seconds : float
        For each kind of request and each service.
    connections : int

    Notes
    -----
    Both stand throughout, and one of them is asked at a time. Processes need cores of their own,
    beside what the client takes: on a machine with fewer the ratio says little.
    """
    with (
        copied(project) as copy,
        opened(copy) as (key, _),
        served(Path(copy)) as one,
        served_by(Path(copy), workers) as several,
    ):
        return _scaled((Server(one, key), Server(several, key)), seconds, connections)


def _scaled(servers: Sequence[Server], seconds: float, connections: int) -> list[Scaled]:
    done = []
    for name, make in requests_of(servers[0]).items():
        asked = [(server, make) for server in servers]
        one, several = in_turns(asked, seconds, connections)
        done.append(
            Scaled(
                name,
                round(one.rate, 1),
                round(several.rate, 1),
                round(several.rate / one.rate, 2),
                round(one.client, 2),
                round(several.client, 2),
            )
        )
    return done
