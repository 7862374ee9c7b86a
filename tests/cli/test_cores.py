"""One setting holds everything that counts threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from nba.jobs.init import init_project

#: What a verb does first, and then how many threads there are.
PROGRAM = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from nba.cli.common import wiring_of
wired = wiring_of(SimpleNamespace(obj=Path(sys.argv[1])))
import lightgbm, polars, pyarrow, scipy.linalg, sklearn
from threadpoolctl import threadpool_info
from nba.cores import cores
from nba.models.affinity.config import TwoStageConfig
engine = wired.feature_engine()
duckdb = wired.tables._connect().con.sql("SELECT current_setting('threads')").fetchone()[0]
print(json.dumps({
    "polars": polars.thread_pool_size(), "arrow": pyarrow.cpu_count(), "duckdb": duckdb,
    "models": [cores(), TwoStageConfig().workers],
    "libraries": [one["num_threads"] for one in threadpool_info()],
}))
"""


def test_threads_of_everything_are_one_setting(tmp_path: Path) -> None:
    init_project(tmp_path / "shop", {"threads": 1})
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "shop")],
        env={name: value for name, value in os.environ.items() if name not in variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found.pop("models") == [1, 1]
    libraries = found.pop("libraries")
    assert len(libraries) >= 2  # OpenMP and BLAS
    assert {*libraries, *found.values()} == {1}
