"""A registered model as an MLflow pyfunc: logged as code, its state without pickle.

The service and the nightly job never come through here: they load the model itself. This is
for people who open a version from a notebook with `mlflow.pyfunc.load_model`.
"""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import polars as pl
from mlflow.pyfunc.model import PythonModel

from nba.models.base import ModelInputs, read_head


class NbaModel(PythonModel):
    """Scores `{"as_of": ISO moment, TABLE: data frame, …}`."""

    # MLflow takes hints of `predict` for a request to validate lists of rows: it has none.
    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        """Load the model whose folder was logged as the artifact `model`."""
        folder = Path(context.artifacts["model"])
        module, _, attribute = context.model_config["loader"].partition(":")
        head = read_head(folder)
        model_class = getattr(import_module(module), attribute)(head["name"], head["kind"])
        self._model = model_class.load(folder)

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return the scores as a pandas data frame."""
        tables = {
            name: pl.DataFrame(table) for name, table in model_input.items() if name != "as_of"
        }
        as_of = datetime.fromisoformat(model_input["as_of"])
        return self._model.score(ModelInputs(tables), as_of=as_of).to_pandas()


mlflow.models.set_model(NbaModel())
