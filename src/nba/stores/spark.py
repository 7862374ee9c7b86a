"""Spark sessions for the feature engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nba.errors import ConfigError


def session(
    *,
    memory_limit: str = "4GB",
    threads: int = 0,
    settings: Mapping[str, str] | None = None,
) -> Any:
    """Return a Spark session in the time zone UTC: on this machine, or where the settings say.

    Parameters
    ----------
    memory_limit : str
        Of the driver, as in `4GB`; on this machine it does all the work.
    threads : int
        On this machine; 0: every core.
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
            "the feature engine is set to Spark, and pyspark is not installed",
            next_step="install the extra: pip install 'nba[spark]', and a Java 17 runtime",
        ) from error
    chosen = {
        "spark.master": f"local[{threads or '*'}]",
        "spark.app.name": "nba features",
        "spark.driver.memory": memory_limit.lower().replace("ib", "").replace("b", "").strip(),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        **(settings or {}),
        # What our expressions rest on: naive timestamps stay naive, they stand on the shop's
        # clock; and a moment is written in microseconds of UTC.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    }
    if "spark.master" in (settings or {}) and not chosen["spark.master"].startswith("local"):
        for name in ("spark.driver.bindAddress", "spark.driver.host"):
            if name not in (settings or {}):
                del chosen[name]
    builder = SparkSession.builder
    for name, value in chosen.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
