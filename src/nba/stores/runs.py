"""Measurements as MLflow runs: parameters, metrics and files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nba.stores.registry import quiet
from nba.stores.tracking_place import FILES, follow


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
    tracking_uri : str
        `sqlite:///PATH` or a server; artifacts of a new SQLite store lie beside it.
    experiment : str
        Made when it does not exist.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    local = tracking_uri.startswith("sqlite:///")
    store = Path(tracking_uri.removeprefix("sqlite:///")).resolve()
    if local:
        follow(store)
    with quiet():
        client = MlflowClient(tracking_uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None:
            experiment_id = found.experiment_id
        else:
            place = (store.parent / FILES / experiment).as_uri() if local else None
            experiment_id = client.create_experiment(experiment, artifact_location=place)
        run_id = str(client.create_run(experiment_id).info.run_id)
        for name, value in parameters.items():
            client.log_param(run_id, name, value)
        for name, number in metrics.items():
            client.log_metric(run_id, name, number)
        for path in files:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id)
        return run_id
