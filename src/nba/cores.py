"""How many cores this process may use: one number for everything that counts threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

#: Each library reads its variable once, when it is loaded. Arrow reads OpenMP's.
_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
_limit: list[int] = []


def limit_cores(threads: int) -> None:
    """Hold OpenMP (LightGBM), BLAS, Polars, Arrow and the workers of models to so many threads.

    Parameters
    ----------
    threads : int
        0: no limit but that of the machine.

    Notes
    -----
    To be called before Polars, NumPy or LightGBM are imported: what is loaded keeps its threads.
    """
    _limit[:] = [threads] if threads else []
    os.environ.update(environment(threads))


def environment(threads: int) -> dict[str, str]:
    """Return what the environment of a process says that may use so many threads; 0: nothing."""
    return {name: str(threads) for name in _VARIABLES} if threads else {}


@contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let the environment say something else for a while, also to processes that begin now."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def cores() -> int:
    """Return how many threads may work at once: those that the process was given, or fewer."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(given or 1, *_limit) if _limit else given or 1
