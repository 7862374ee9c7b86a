"""A project's folder can be copied and moved, and one of another version is upgraded or refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import polars as pl
from tests.command import nba, nba_apart
from tests.jobs.conftest import DAY, wiring


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def addresses(project: Path) -> set[str]:
    """Return every address of files that MLflow keeps."""
    with closing(sqlite3.connect(project / "data" / "mlflow.db")) as connection:
        rows = connection.execute(
            "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs "
            "UNION SELECT artifact_location FROM logged_models "
            "UNION SELECT source FROM model_versions UNION SELECT storage_location "
            "FROM model_versions"
        ).fetchall()
    return {str(address) for (address,) in rows if str(address).startswith("file:")}


def test_a_copy_never_touches_the_original_and_works_without_it(made: Path, tmp_path: Path) -> None:
    original = Path(shutil.copytree(made, tmp_path / "a shop"))
    nba_apart("--project", original, "doctor")
    copy = Path(shutil.copytree(original, tmp_path / "copy of it"))
    before = contents(original)
    # everything is made anew: models are registered, features joined by Feast
    for path in (copy / "models").glob("*.yaml"):
        text = re.sub(r"retrain_every_days: \d+", "retrain_every_days: 1", path.read_text())
        path.write_text(text, encoding="utf-8")
    nba("--project", copy, "run", "--as-of", DAY + timedelta(days=1), "--force")
    wired = wiring(copy)
    customers = wired.lake.polars("customers").select("customer_id").head(3)
    entities = customers.with_columns(event_timestamp=pl.datetime(DAY.year, DAY.month, DAY.day))
    joined = wired.feature_store.historical("customer_state", entities)
    assert joined["is_friend"].null_count() == 0
    wired.plan_store.close()
    assert contents(original) == before
    assert all("copy%20of%20it" in address for address in addresses(copy))

    shutil.rmtree(original)
    shutil.rmtree(copy / "data" / "models")  # the models come from the copy's own MLflow
    moved = copy.rename(tmp_path / "moved")
    nba("--project", moved, "run", "--as-of", DAY + timedelta(days=2))
    assert wiring(moved).feature_store.historical("customer_state", entities).equals(joined)


def test_an_older_project_is_brought_up_to_date_and_a_newer_one_refused(
    made: Path, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(made, tmp_path / "project"))
    file = project / "data" / "project.json"
    file.unlink()
    (project / "data" / "feast").mkdir(exist_ok=True)
    (project / "data" / "feast" / "registry.db").write_text("of an older version")
    assert "nothing to do" in nba("--project", project, "run", "--as-of", DAY)
    assert json.loads(file.read_text())["format"] == 2
    assert not (project / "data" / "feast" / "registry.db").exists()
    file.write_text('{"format": 3}')
    said = nba("--project", project, "doctor", code=78)
    assert "made by a newer version of nba" in said
    assert "install that version" in said
    file.write_text("{}")
    assert "cannot read" in nba("--project", project, "run", "--as-of", DAY, code=78)


def test_a_champion_whose_files_are_gone_here_and_on_the_server_is_fitted_anew(
    made: Path, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(made, tmp_path / "project"))
    shutil.rmtree(project / "data" / "models" / "timing")
    shutil.rmtree(project / "data" / "mlflow-artifacts")
    with (project / "nba.yaml").open("a", encoding="utf-8") as file:
        file.write("\nworkers: 2\n")  # fits have a process of their own
    nba("--project", project, "run", "--as-of", DAY + timedelta(days=1))
    noted = wiring(project).runs.of(DAY + timedelta(days=1)).read_text("manifest.json") or ""
    trained = json.loads(noted)["steps"]["train"]
    assert (trained["timing"], trained["mode"]) == ("v2 (fitted)", "v1")
    assert "cannot be read" in trained["versions"]["timing"]["fitted_because"]
