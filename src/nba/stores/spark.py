"""Spark sessions for the feature engine."""

from __future__ import annotations

from typing import Any

from nba.errors import ConfigError


def local_session(*, threads: int = 4, memory: str = "4g", **settings: str) -> Any:
    """Return a Spark session on this machine, in the time zone UTC.

    Parameters
    ----------
    threads : int
    memory : str
        Of the driver, which does all the work in local mode.
    **settings : str
        More of Spark's settings, with `__` for the dot.

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
    builder = (
        SparkSession.builder.master(f"local[{threads}]")
        .appName("nba features")
        .config("spark.driver.memory", memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(threads))
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        # Naive timestamps stay naive: ours stand on the shop's clock.
        .config("spark.sql.timestampType", "TIMESTAMP_NTZ")
        .config("spark.log.level", "ERROR")
    )
    for name, value in settings.items():
        builder = builder.config(name.replace("__", "."), value)
    return builder.getOrCreate()
