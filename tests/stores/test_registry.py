"""The MLflow registry: runs, versions, champions, and the last good copy on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Self

import mlflow
import pandas as pd
import polars as pl
import pytest

from nba.data.erasure import Leaving
from nba.errors import LostModelError, ModelError, UnavailableError
from nba.models.base import Model, ModelConfig, ModelInputs
from nba.models.story import FitStory
from nba.models.version import ModelVersion
from nba.stores.registry import MlflowRegistry

AS_OF = datetime(2026, 3, 2)


class MeanConfig(ModelConfig):
    shift: float = 0.0


class Mean(Model):
    """A model that answers with the mean it saw."""

    name = "mean"
    kind = "plain"
    Config = MeanConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.mean = 0.0
        self.people: list[str] = []

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        self.mean = float(training["x"]["value"].mean())  # type: ignore[arg-type]
        return self

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        return inputs["x"].select("id", score=pl.lit(self.mean))

    def _write(self, folder: Path) -> None:
        (folder / "mean.json").write_text(json.dumps(self.mean))
        if self.people:
            (folder / "people.json").write_text(json.dumps(self.people))

    @classmethod
    def erase(cls, folder: Path, customer_ids: Collection[str]) -> list[str]:
        path = folder / "people.json"
        people = json.loads(path.read_text()) if path.exists() else []
        gone = [one for one in people if one in customer_ids]
        if gone:
            path.write_text(json.dumps([one for one in people if one not in customer_ids]))
        return gone

    def _read(self, folder: Path) -> None:
        self.mean = json.loads((folder / "mean.json").read_text())


def model_class(name: str, kind: str) -> type[Model]:
    assert (name, kind) == ("mean", "plain")
    return Mean


def fitted(value: float) -> Mean:
    table = pl.DataFrame({"id": ["a"], "value": [value]})
    return Mean().fit(ModelInputs({"x": table}), as_of=AS_OF, seed=1)


@pytest.fixture(scope="session")
def migrated_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database migrated once; tests copy it, since migrating takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    registry = MlflowRegistry(
        f"sqlite:///{folder / 'mlflow.db'}", folder, model_class, experiment="seed"
    )
    registry.register(
        fitted(0.0), as_of=AS_OF, parameters={}, metrics={}, seed=1, config_digest="d"
    )
    return folder / "mlflow.db"


@pytest.fixture
def uri(migrated_mlflow: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_mlflow, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def registry(uri: str, tmp_path: Path) -> MlflowRegistry:
    return MlflowRegistry(uri, tmp_path / "models", model_class)


def register(registry: MlflowRegistry, value: float) -> ModelVersion:
    return registry.register(
        fitted(value),
        as_of=AS_OF,
        parameters={"a": {"b": 1}},
        metrics={"auc": value},
        seed=7,
        config_digest="d1",
    )


def mean_of(registry: MlflowRegistry) -> float:
    champion = registry.champion("mean")
    assert champion is not None
    model = registry.load(champion)
    assert isinstance(model, Mean)
    return model.mean


def test_a_fit_is_a_run_with_parameters_metrics_seed_and_as_of(
    registry: MlflowRegistry, uri: str
) -> None:
    version = register(registry, 0.5)
    run = registry._client.get_run(version.run_id)
    assert run.data.params == {"a": '{"b": 1}', "seed": "7"}
    assert run.data.metrics == {"auc": 0.5}
    assert run.data.tags["as_of"] == "2026-03-02T00:00:00"
    assert run.info.status == "FINISHED"


def test_a_fit_names_the_tables_that_it_learned_from(registry: MlflowRegistry) -> None:
    told = FitStory("a fit", "", rows={"customer_state": 144, "purchases": 328}, digest="c92d9460")
    version = registry.register(
        fitted(0.5), as_of=AS_OF, parameters={}, metrics={}, seed=1, config_digest="d", story=told
    )
    inputs = registry._client.get_run(version.run_id).inputs.dataset_inputs
    found = {one.dataset.name: one.dataset for one in inputs}
    assert set(found) == {"customer_state", "purchases"}
    assert found["purchases"].digest == "c92d9460"
    assert json.loads(found["purchases"].profile) == {"num_rows": 328}


def test_the_champion_is_what_was_promoted_last(registry: MlflowRegistry) -> None:
    first, second = register(registry, 1.0), register(registry, 2.0)
    assert registry.champion("mean") is None
    registry.promote(first)
    assert mean_of(registry) == 1.0
    registry.promote(second)
    assert mean_of(registry) == 2.0
    assert int(second.version) == int(first.version) + 1
    assert registry.champion("mean") == second
    assert (second.as_of, second.config_digest) == (AS_OF, "d1")


def test_before_the_first_fit_there_is_no_champion_and_no_database(tmp_path: Path) -> None:
    path = tmp_path / "none" / "mlflow.db"
    registry = MlflowRegistry(f"sqlite:///{path}", tmp_path / "models", model_class)
    assert registry.champion("mean") is None
    assert not path.exists()


def test_a_good_local_copy_needs_no_tracking_server(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.promote(register(registry, 1.0))
    alone = MlflowRegistry("http://127.0.0.1:9", tmp_path / "models", model_class)
    assert mean_of(alone) == 1.0


def test_a_changed_local_copy_is_fetched_again(registry: MlflowRegistry) -> None:
    version = register(registry, 1.0)
    registry.promote(version)
    (version.folder / "mean.json").write_text("99.0")
    assert mean_of(registry) == 1.0


def test_another_machine_follows_with_refresh(
    registry: MlflowRegistry, uri: str, tmp_path: Path
) -> None:
    registry.promote(register(registry, 1.0))
    other = MlflowRegistry(uri, tmp_path / "elsewhere", model_class)
    assert mean_of(other) == 1.0
    registry.promote(register(registry, 2.0))
    assert mean_of(other) == 1.0
    assert other.refresh("mean") is not None
    assert mean_of(other) == 2.0


def test_an_artifact_changed_on_the_server_is_refused(
    registry: MlflowRegistry, uri: str, tmp_path: Path
) -> None:
    registry.promote(register(registry, 1.0))
    (stored,) = (tmp_path / "mlflow-artifacts").rglob("mean.json")
    stored.write_text("99.0")
    other = MlflowRegistry(uri, tmp_path / "elsewhere", model_class)
    with pytest.raises(ModelError, match="changed after it was registered"):
        other.champion("mean")


def test_files_that_are_gone_are_lost_and_a_store_that_is_away_is_tried_again(
    registry: MlflowRegistry, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(register(registry, 1.0))
    other = MlflowRegistry(uri, tmp_path / "elsewhere", model_class)

    def away(**_: object) -> str:
        raise ConnectionError("no route to the store")

    with monkeypatch.context() as cut:
        cut.setattr("mlflow.artifacts.download_artifacts", away)
        with pytest.raises(UnavailableError, match="cannot be fetched"):
            other.champion("mean")
    shutil.rmtree(tmp_path / "mlflow-artifacts")
    with pytest.raises(LostModelError, match="cannot be fetched"):
        other.champion("mean")


def test_old_versions_are_pruned_but_never_the_champion(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    registry.promote(register(registry, 0.0))
    for value in range(1, 6):
        register(registry, float(value))
    assert mean_of(registry) == 0.0
    registry.promote(register(registry, 6.0))
    assert mean_of(registry) == 6.0
    early = registry.load(
        ModelVersion("mean", "2", "run", tmp_path / "pruned", AS_OF, "d1")  # fetched again
    )
    assert isinstance(early, Mean)
    kept = [path for path in (tmp_path / "models" / "mean").iterdir() if path.is_dir()]
    assert len(kept) <= 4


def test_nothing_stored_is_a_pickle(registry: MlflowRegistry, tmp_path: Path) -> None:
    register(registry, 1.0)
    files = [path for path in (tmp_path / "mlflow-artifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".py", ".yaml", ".txt", ""}
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")  # it asks for type hints to validate by
def test_a_version_opens_as_a_pyfunc(registry: MlflowRegistry, uri: str) -> None:
    version = register(registry, 1.5)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        model = mlflow.pyfunc.load_model(f"models:/mean/{version.version}")
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    table = pd.DataFrame({"id": ["a"], "value": [0]})
    scores = model.predict({"as_of": "2026-03-02", "x": table})
    assert scores["score"].to_list() == [1.5]


def test_an_erased_customer_is_in_no_kept_model_and_the_champion_still_serves(
    uri: str, tmp_path: Path
) -> None:
    registry = MlflowRegistry(uri, tmp_path / "models", model_class)
    model = fitted(4.0)
    model.people = ["person-1", "person-2"]
    for _ in range(2):
        version = registry.register(
            model, as_of=AS_OF, parameters={}, metrics={}, seed=1, config_digest="d"
        )
    registry.promote(version)
    tally = registry.erase(Leaving.of(["person-1", "person-3"], {}))
    assert tally.rows == {"person-1": 4}  # two versions, here and in the artifact store
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in held if b"person-1" in path.read_bytes()]
    assert registry.erase(Leaving.of(["person-1"], {})).total == 0
    champion = registry.champion("mean")
    assert champion is not None
    assert champion.version == version.version
    shutil.rmtree(champion.folder)
    fetched = registry.load(champion)  # its SHA-256 is the one noted beside the artifacts
    assert isinstance(fetched, Mean)
    assert fetched.mean == 4.0


def changed(version: ModelVersion) -> Path:
    path = version.folder / "mean.json"
    path.write_text("9.0")
    return path


def test_a_version_that_was_changed_on_disk_is_fetched_again(registry: MlflowRegistry) -> None:
    version = register(registry, 1.5)
    changed(version)
    model = registry.load(version)
    assert isinstance(model, Mean)
    assert model.mean == 1.5
    assert json.loads((version.folder / "mean.json").read_text()) == 1.5


def test_a_changed_version_is_never_loaded(registry: MlflowRegistry, tmp_path: Path) -> None:
    version = register(registry, 1.5)
    changed(version)
    alone = MlflowRegistry(f"sqlite:///{tmp_path / 'gone.db'}", tmp_path / "models", model_class)
    with pytest.raises(ModelError, match="changed after it was registered"):
        alone.load(version)
    shutil.rmtree(version.folder)
    with pytest.raises(ModelError, match="is not on disk"):
        alone.load(version)


def test_a_version_stored_before_its_digest_was_noted_is_known_by_its_name(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    version = register(registry, 1.5)
    version.folder.with_name(f"{version.folder.name}.sha256").unlink()
    alone = MlflowRegistry(f"sqlite:///{tmp_path / 'gone.db'}", tmp_path / "models", model_class)
    assert isinstance(alone.load(version), Mean)
    changed(version)
    with pytest.raises(ModelError, match="changed"):
        alone.load(version)
