"""Measurements as MLflow runs: parameters, metrics and files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nba.stores.registry import quiet
from nba.stores.tracking_place import FILES, follow


@dataclass(frozen=True)
class OpenRun:
    """A run that is being written.

    Parameters
    ----------
    client : MlflowClient
    experiment_id, run_id : str
    tracking_uri : str
    """

    client: Any
    experiment_id: str
    run_id: str
    tracking_uri: str

    @property
    def address(self) -> str:
        """Where the run is seen in a browser; empty without a server."""
        if not self.tracking_uri.startswith("http"):
            return ""
        place = f"#/experiments/{self.experiment_id}/runs/{self.run_id}"
        return f"{self.tracking_uri.rstrip('/')}/{place}"

    def finish(
        self,
        *,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        files: Iterable[Path] = (),
    ) -> None:
        """Log parameters, metrics and files or folders, and end the run."""
        with quiet():
            for name, value in parameters.items():
                self.client.log_param(self.run_id, name, value)
            for name, number in metrics.items():
                self.client.log_metric(self.run_id, name, number)
            for path in files:
                if path.is_dir():
                    self.client.log_artifacts(self.run_id, str(path), path.name)
                else:
                    self.client.log_artifact(self.run_id, str(path))
            self.client.set_terminated(self.run_id)


def open_run(
    tracking_uri: str, experiment: str, *, name: str = "", description: str = ""
) -> OpenRun:
    """Begin a run.

    Parameters
    ----------
    tracking_uri : str
        `sqlite:///PATH` or a server; artifacts of a new SQLite store lie beside it.
    experiment : str
        Made when it does not exist.
    name, description : str
        What the list of runs and the run's page say.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    with quiet():
        client = MlflowClient(tracking_uri)
        experiment_id = experiment_of(client, tracking_uri, experiment)
        tags = {"mlflow.note.content": description} if description else None
        run = client.create_run(experiment_id, run_name=name or None, tags=tags)
    return OpenRun(client, str(experiment_id), str(run.info.run_id), tracking_uri)


def experiment_of(client: Any, tracking_uri: str, experiment: str) -> str:
    """Return the id of an experiment, made when it does not exist.

    Parameters
    ----------
    client : MlflowClient
    tracking_uri : str
        `sqlite:///PATH` or a server; artifacts of a new SQLite store lie beside it.
    experiment : str
    """
    local = tracking_uri.startswith("sqlite:///")
    store = Path(tracking_uri.removeprefix("sqlite:///")).resolve()
    if local:
        store.parent.mkdir(parents=True, exist_ok=True)
        follow(store)
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        return str(found.experiment_id)
    place = (store.parent / FILES / experiment).as_uri() if local else None
    return str(client.create_experiment(experiment, artifact_location=place))


def log_run(
    tracking_uri: str,
    experiment: str,
    *,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    files: Iterable[Path] = (),
) -> str:
    """Log one measurement and return the id of its run.

    Parameters
    ----------
    tracking_uri, experiment : str
        As in `open_run`.
    parameters, metrics : mapping
    files : iterable of Path
        Files and folders that become artefacts.
    """
    run = open_run(tracking_uri, experiment)
    run.finish(parameters=parameters, metrics=metrics, files=files)
    return run.run_id
