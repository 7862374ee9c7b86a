"""The engines that compute the feature views, made from settings: DuckDB here, or Spark."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from nba.features.engine import DuckDBEngine, SparkEngine


def duckdb_connection(*, spill: Path, memory_limit: str = "", threads: int = 0) -> Any:
    """Return an ibis connection to DuckDB in memory.

    Parameters
    ----------
    spill : Path
        Where goes what does not fit, in a folder of the connection's own that goes with it; made
        where it does not exist.
    memory_limit : str
        As in `8GB`; empty: most of the machine's.
    threads : int
        0: every core.
    """
    import ibis

    spill.mkdir(parents=True, exist_ok=True)
    # Two connections that spill into one folder take each other's files.
    own = tempfile.mkdtemp(prefix="duckdb-", dir=spill)
    connection = ibis.duckdb.connect(temp_directory=own)
    weakref.finalize(connection, shutil.rmtree, own, ignore_errors=True)
    connection.con.execute("SET preserve_insertion_order = false")
    connection.con.execute("SET enable_progress_bar = false")
    if memory_limit:
        connection.con.execute(f"SET memory_limit = '{memory_limit}'")
    if threads:
        connection.con.execute(f"SET threads = {threads}")
    return connection


def duckdb_engine(*, spill: Path, memory_limit: str = "", threads: int = 0) -> DuckDBEngine:
    """Return DuckDB as an engine of the views, see `duckdb_connection`."""
    return DuckDBEngine(duckdb_connection(spill=spill, memory_limit=memory_limit, threads=threads))


def spark_engine(session: Any) -> SparkEngine:
    """Return Spark as an engine of the views, on a session of `nba.stores.spark`."""
    import ibis

    return SparkEngine(ibis.pyspark.connect(session))
