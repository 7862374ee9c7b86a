"""One BLAS thread at a time: many customers are worked on side by side already.

Every worker's products would otherwise spread over all cores, and the threads of one spin while
they wait for those of the others. More than one BLAS thread makes `implicit` many times slower
too, as it warns itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread in here.

    The limit belongs to the process: the first who asks for it sets it, the last to leave lifts
    it, so that no worker lifts it for the others. Ask for it around a pool of workers, not in
    one: what a worker sets does not hold where the main thread once set it.
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


class _Limit:
    """The limit of the process, and how many hold it."""

    def __init__(self) -> None:
        self._libraries: Any = None
        self._lock = Lock()
        self._holders = 0
        self._held: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._libraries is None:
                # What is limited is what is loaded by now: this brings the BLAS of implicit.
                import scipy.linalg  # noqa: F401
                from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

                self._libraries = ThreadpoolController()
            if not self._holders:
                self._held = self._libraries.limit(limits=1, user_api="blas")
            self._holders += 1

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders:
                self._held.restore_original_limits()


_LIMIT: Final = _Limit()
