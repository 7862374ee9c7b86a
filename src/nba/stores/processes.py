"""Work of a night in several processes of this machine, each with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Final

from nba.cores import environment, in_environment
from nba.errors import NbaError
from nba.memory import own_peak_mb

#: Characters of a line that a process tells: what fits into a pipe at once is written whole.
_LONGEST_LINE: Final = 1_000
#: Seconds between two looks for lines.
_LOOK_SECONDS: Final = 0.1

#: Where a process of the night sends its lines; None in any other.
_teller: Connection | None = None


def tell(line: str) -> None:
    """Show a line of progress where this is a process of `in_processes`; elsewhere to nobody."""
    if _teller is not None:
        _teller.send(line[:_LONGEST_LINE])


def in_processes(
    call: Callable[[int], Any],
    numbers: Sequence[int],
    *,
    workers: int,
    threads: int,
    told: Callable[[str], None],
) -> tuple[list[Any], int]:
    """Call a function for each number, several at a time, each in a process of its own.

    Parameters
    ----------
    call : callable
        Can be pickled, and so can what it returns.
    numbers : sequence of int
    workers : int
        Processes at a time.
    threads : int
        Of each of them; 0: no limit.
    told : callable
        Shows what the processes `tell`, and a line per piece of work that is done where there are
        several.

    Returns
    -------
    list
        What `call` returned, in the order of `numbers`.
    int
        The most memory that the processes held together, in MB of 10^6 bytes, at most.

    Raises
    ------
    NbaError
        When a process dies. What `call` raises is raised here; the other processes are stopped.
    """
    found: dict[int, Any] = {}
    peaks: dict[int, int] = {}
    spawn = multiprocessing.get_context("spawn")
    with (
        in_environment(environment(threads)),
        _shown(told) as teller,
        ProcessPoolExecutor(workers, spawn, initializer=_begin, initargs=(teller,)) as pool,
    ):
        try:
            waiting = {pool.submit(_measured, call, number): number for number in numbers}
            # The pool looks at its processes when a call is submitted, before it begins another
            # one: without a further call the death of the last would not be seen.
            pool.submit(os.getpid)
            for done in as_completed(waiting):
                result, seconds, process, peak = _result(done)
                found[waiting[done]], peaks[process] = result, peak
                if len(numbers) > 1:
                    told(f"{len(found)} of {len(numbers)} done: {seconds:.1f} s, {peak} MB")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return [found[number] for number in numbers], sum(peaks.values())


def _result(done: Future[Any]) -> Any:
    try:
        return done.result()
    except BrokenProcessPool as error:
        raise NbaError(
            "a process of the night died",
            expected="the work of every partition done",
            found=str(error),
            next_step="if memory ran out, set more `partitions` or fewer `workers` in nba.yaml; "
            "call again: partitions that are done are not done again",
        ) from error


def _measured(call: Callable[[int], Any], number: int) -> tuple[Any, float, int, int]:
    """Return a result, its seconds, and the process with the most memory that it held so far."""
    began = time.perf_counter()
    result = call(number)
    return result, time.perf_counter() - began, os.getpid(), own_peak_mb()


@contextmanager
def _shown(told: Callable[[str], None]) -> Iterator[Connection]:
    """Show the lines that come through the connection that this yields.

    A pipe without a lock: a process that is killed while it tells a line holds nobody up.
    """
    lines, teller = multiprocessing.Pipe(duplex=False)
    over = threading.Event()

    def show() -> None:
        while lines.poll(0 if over.is_set() else _LOOK_SECONDS) or not over.is_set():
            if lines.poll():
                line = lines.recv()
                with suppress(OSError, ValueError):  # where nothing can be shown, work goes on
                    told(line)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield teller
    finally:
        over.set()
        thread.join()
        lines.close()
        teller.close()


def _begin(teller: Connection) -> None:
    """Let this process tell its lines, and end at once where the one it works for was killed."""
    global _teller
    _teller = teller
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
