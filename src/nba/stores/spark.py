"""Spark: a session whose settings suit the size of the shop, and tasks of a night in it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from nba.cores import environment
from nba.errors import ConfigError, NbaError
from nba.memory import own_peak_mb

#: Up to so many lines of sales, Spark plans and compiles for longer than it works.
SMALL_LINES: Final = 10_000_000
#: Lines of sales in one partition of a shuffle.
_SHUFFLE_LINES: Final = 250_000
#: Expressions are interpreted as they stand, and planned once.
_SMALL: Final = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.autoBroadcastJoinThreshold": "-1",
}
#: A virtual machine that lives for minutes: no second compiler, no threads that collect garbage.
_SHORT_LIVED: Final = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
_TASK_CPUS: Final = "spark.task.cpus"
#: What a task tells the driver: its place among the numbers, what it made, how long and how much.
_TOLD: Final = "place long, result string, seconds double, peak_mb long"
#: Nobody else talks to a session on this machine.
_LOCAL: Final = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}


def settings_of_size(lines: int) -> dict[str, str]:
    """Return Spark's settings for a shop with so many lines of sales.

    Filters that follow from others are not looked for at any size: among expressions as long as
    those of the views, the search takes longer than the filters save.
    """
    partitions = max(1, -(-lines // _SHUFFLE_LINES))
    return {
        "spark.sql.constraintPropagation.enabled": "false",
        "spark.sql.shuffle.partitions": str(partitions),
        **(_SMALL if lines <= SMALL_LINES else {}),
    }


def session(
    *,
    memory_limit: str = "4GB",
    threads: int = 0,
    lines: int = 0,
    settings: Mapping[str, str] | None = None,
) -> Any:
    """Return the Spark session of this process, in the time zone UTC.

    It runs on this machine, or where the settings say. The first call starts it; later ones
    return the same.

    Parameters
    ----------
    memory_limit : str
        Of the driver, as in `4GB`; on this machine it does all the work.
    threads : int
        On this machine; 0: every core.
    lines : int
        Of sales: see `settings_of_size`.
    settings : mapping of str to str
        Spark's own, as `spark.master`; they win over the rest.

    Raises
    ------
    ConfigError
        When pyspark is not installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError(
            "nba.yaml asks for Spark, and pyspark is not installed",
            next_step="install the extra: pip install 'nba[spark]', and a Java 17 runtime",
        ) from error
    given = settings or {}
    cpus = int(given.get(_TASK_CPUS, 1))
    is_local = given.get("spark.master", "local").startswith("local")
    chosen = {
        "spark.master": f"local[{threads or '*'}]",
        "spark.app.name": "nba",
        "spark.driver.memory": memory_limit.lower().replace("ib", "").replace("b", "").strip(),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        **settings_of_size(lines),
        **(_LOCAL if is_local else {}),
        **(_SHORT_LIVED if is_local and lines <= SMALL_LINES else {}),
        **{f"spark.executorEnv.{name}": value for name, value in environment(cpus).items()},
        **given,
        # What our expressions rest on: naive timestamps stay naive, they stand on the shop's
        # clock; and a moment is written in microseconds of UTC.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    }
    if is_local:  # the interpreter of this process, not the first on the path
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder
    for name, value in chosen.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def cores_of_task(session: Any) -> int:
    """Return how many cores one task of a session may use."""
    return int(session.conf.get(_TASK_CPUS, "1"))


def in_tasks(
    session: Any, call: Callable[[int], Any], numbers: Sequence[int], *, told: Callable[[str], None]
) -> list[Any]:
    """Call a function for each number, each in a task of Spark, by `mapInArrow`.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
    call : callable
        Can be pickled; its modules are installed where the tasks run. What it returns can be
        written as JSON, and is all that comes back.
    numbers : sequence of int
    told : callable
        Shows a line per task, where there are several.

    Returns
    -------
    list
        What `call` returned, in the order of `numbers`.

    Raises
    ------
    NbaError
        When a task fails, after as many attempts as `spark.task.maxFailures` says.
    """
    from pyspark.errors import PySparkException

    if not numbers:
        return []
    places = session.range(0, len(numbers), 1, len(numbers))
    try:
        done = places.mapInArrow(_worker(call, list(numbers)), _TOLD).collect()
    except PySparkException as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        raise NbaError(
            "a task of the night failed on Spark",
            expected="the work of every partition done",
            found=_cause(lines),
            next_step="call again: partitions that are done are not done again",
        ) from error
    done.sort(key=lambda row: row["place"])
    for row in done if len(done) > 1 else ():
        told(f"task {row['place'] + 1} of {len(done)}: {row['seconds']:.1f} s, {row['peak_mb']} MB")
    return [json.loads(row["result"]) for row in done]


def _worker(
    call: Callable[[int], Any], numbers: list[int]
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return what a task does with the Arrow batches of its places."""

    def work(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            for place in batch.column(0).to_pylist():
                began = time.perf_counter()
                result = json.dumps(call(numbers[place]))
                seconds = time.perf_counter() - began
                row = {
                    "place": place,
                    "result": result,
                    "seconds": seconds,
                    "peak_mb": own_peak_mb(),
                }
                yield pa.RecordBatch.from_pylist([row])

    return work


def _cause(lines: Sequence[str]) -> str:
    """Return the line of a worker's traceback that names the exception."""
    named = [line for line in lines if line[:1].isalpha() and "Error" in line.split(":")[0]]
    return named[-1] if named else lines[0] if lines else ""
