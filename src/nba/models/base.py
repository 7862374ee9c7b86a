"""The contract that every model keeps: frozen config, fit, score, save, load.

A model is a pure function of named tables, a moment and a seed. It never reads a file
other than its own, never looks at the clock, and is saved without pickle (LightGBM text,
`.npz`, JSON).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from nba.errors import ModelError
from nba.validation import validation_problems

CONFIG_FILE = "config.json"


#: Columns of what `Model.contributions` returns: one row per customer and feature.
CONTRIBUTION_SCHEMA: Final[dict[str, Any]] = {
    "customer_id": pl.String,
    "feature": pl.String,
    "contribution": pl.Float64,
}


class ModelConfig(BaseModel):
    """Base of all model parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelInputs(Mapping[str, pl.DataFrame]):
    """Named tables, as given to `fit` (the training set) and to `score`.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame

    Raises
    ------
    ModelError
        On access to a table that was not given, naming those that were.
    """

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self._tables = dict(tables)

    def __getitem__(self, name: str) -> pl.DataFrame:
        try:
            return self._tables[name]
        except KeyError:
            raise ModelError(
                f"a model asked for the table {name!r}",
                expected=f"one of {sorted(self._tables)}",
                found="no such table",
                next_step="add the table to the training or scoring set",
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def get(self, name: str, default: Any = None) -> Any:
        """Return a table, or `default` where it was not given."""
        return self._tables.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def require(self, name: str, columns: Iterable[str]) -> pl.DataFrame:
        """Return the table `name` with at least `columns`, else raise `ModelError`."""
        table = self[name]
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise ModelError(
                f"the table {name!r} lacks columns that the model needs",
                expected=", ".join(missing),
                found=", ".join(table.columns),
                next_step="check the feature service named in the model's YAML",
            )
        return table


class Model(ABC):
    """A model: configured, then fitted, then scored.

    Class attributes
    ----------------
    name : str
        What it answers: `timing`, `affinity` or `mode`.
    kind : str
        How it answers; the `kind:` of `models/NAME.yaml`.
    Config : type of ModelConfig
        Its parameters.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]

    def __init__(self, config: ModelConfig | None = None) -> None:
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        """Fit on `training`, which holds nothing after `as_of`, and return `self`."""

    @abstractmethod
    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return the scores of what stands in `inputs`, in an order fixed by ids."""

    def contributions(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return what moved each customer's score most: `CONTRIBUTION_SCHEMA`.

        None, unless a model says so. Signed, relative to the mean customer; only the order of
        sizes within a customer counts.
        """
        return pl.DataFrame(schema=CONTRIBUTION_SCHEMA)

    def finding(self) -> str:
        """Return what the fit found, in a sentence for people: which part answers and why."""
        return ""

    def figures(self) -> dict[str, float]:
        """Return what the fit measured of itself on the retailer's own log, by name."""
        return {}

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write the fitted state into `folder` without pickle."""

    @abstractmethod
    def _read(self, folder: Path) -> None:
        """Read back what `_write` wrote."""

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, which is made if it does not exist."""
        folder.mkdir(parents=True, exist_ok=True)
        head = {"name": self.name, "kind": self.kind, "config": self.config.model_dump(mode="json")}
        (folder / CONFIG_FILE).write_text(json.dumps(head, sort_keys=True, indent=1))
        self._write(folder)

    @classmethod
    def erase(cls, folder: Path, customer_ids: Collection[str]) -> list[str]:
        """Take customers' ids out of a saved model; return those that it held.

        What was learned stays, and names nobody. Most models keep no id.
        """
        return []

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model that `save` wrote.

        Raises
        ------
        ModelError
            When the folder does not hold a model of this kind.
        """
        head = read_head(folder)
        if (head["name"], head["kind"]) != (cls.name, cls.kind):
            raise ModelError(
                f"{folder} holds another model",
                expected=f"{cls.name}/{cls.kind}",
                found=f"{head['name']}/{head['kind']}",
                next_step="load it through the model registry, which knows its kind",
            )
        try:
            model = cls(cls.Config.model_validate(head["config"]))
            model._read(folder)
        except (KeyError, OSError, ValueError) as error:
            raise ModelError(
                f"cannot load the model in {folder}",
                expected=f"a {cls.name}/{cls.kind} model as this version of nba writes it",
                found=f"{type(error).__name__}: {error}",
                next_step="fit it again: remove its copy under data/models and run the job",
            ) from error
        return model


class TimingModel(Model):
    """A timing model also answers per category."""

    name = "timing"

    @abstractmethod
    def score_categories(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return the scores per customer and category with enough history."""


def read_head(folder: Path) -> dict[str, Any]:
    """Return the name, kind and config of a saved model."""
    path = folder / CONFIG_FILE
    try:
        head: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot load a model from {folder}",
            expected=f"a readable {CONFIG_FILE}",
            found=str(error),
            next_step="train again, or restore the folder",
        ) from error
    return head


def parse_config(config: type[ModelConfig], parameters: Mapping[str, object], source: str) -> Any:
    """Validate `parameters` as `config`; all problems in one `ConfigError` naming `source`."""
    try:
        return config.model_validate(dict(parameters))
    except ValidationError as error:
        raise validation_problems(
            f"{source}: wrong model parameters", error, config, page=source.replace(".yaml", ".md")
        ) from error
