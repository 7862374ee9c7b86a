"""The contract suite: what every model promises, whatever it answers; it needs `pytest`.

Use it by subclassing in a test module::

    from nba.models.contract import ModelContract

    class TestRecencyGapContract(ModelContract):
        model_class = RecencyGap
        as_of = datetime(2026, 3, 1)

        def training(self) -> ModelInputs: ...
        def inputs(self) -> ModelInputs: ...

Scores are compared to 1e-9, the tolerance at which the project hashes floats.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nba.errors import ModelError
from nba.models.base import Model, ModelConfig, ModelInputs

TEXT_OR_ARRAYS = {".json", ".npz", ".npy", ".txt", ".parquet", ".arrow", ".csv"}


def assert_same_scores(left: pl.DataFrame, right: pl.DataFrame) -> None:
    assert_frame_equal(left, right, check_exact=False, rel_tol=1e-9, abs_tol=1e-9)


_FITTED: dict[str, Model] = {}


class ModelContract:
    """Subclass it, name the model, and say what it is trained and scored on."""

    model_class: ClassVar[type[Model]]
    config: ClassVar[ModelConfig | None] = None
    as_of: ClassVar[datetime]
    seed: ClassVar[int] = 7
    #: The entity whose rows are scored independently of all others.
    entity: ClassVar[str] = "customer_id"
    #: How many entities are scored one by one.
    singles: ClassVar[int] = 5

    def training(self) -> ModelInputs:
        raise NotImplementedError

    def inputs(self) -> ModelInputs:
        raise NotImplementedError

    def make(self) -> Model:
        return self.model_class(self.config)

    def fitted(self) -> Model:
        """Return the fitted model; fitted once per suite."""
        suite = f"{type(self).__module__}.{type(self).__qualname__}"
        if suite not in _FITTED:
            model = self.make()
            _FITTED[suite] = model.fit(self.training(), as_of=self.as_of, seed=self.seed)
        return _FITTED[suite]

    def score(self, model: Model, inputs: ModelInputs) -> pl.DataFrame:
        return model.score(inputs, as_of=self.as_of)

    def ids(self) -> list[Any]:
        scores = self.score(self.fitted(), self.inputs())
        return scores[self.entity].unique(maintain_order=True).to_list()

    def only(self, ids: list[Any]) -> ModelInputs:
        """Return the inputs of `ids` alone; tables without the entity stay whole."""
        return ModelInputs(
            {
                name: table.filter(pl.col(self.entity).is_in(ids))
                if self.entity in table.columns
                else table
                for name, table in self.inputs().items()
            }
        )

    def shuffled(self, tables: ModelInputs) -> ModelInputs:
        return ModelInputs(
            {name: t.sample(fraction=1.0, shuffle=True, seed=3) for name, t in tables.items()}
        )

    # -- the promises ---------------------------------------------------------------

    def test_names_itself(self) -> None:
        assert self.model_class.name in {"timing", "affinity", "mode"}
        assert self.model_class.kind

    def test_config_is_frozen_and_refuses_unknown_keys(self) -> None:
        config = self.make().config
        with pytest.raises(ValueError, match="surely_not_a_parameter"):
            type(config).model_validate({"surely_not_a_parameter": 1})
        assert config.model_config["frozen"]

    def test_scores_are_there_and_finite(self) -> None:
        scores = self.score(self.fitted(), self.inputs())
        assert scores.height > 0
        for name, dtype in scores.schema.items():
            if dtype.is_float():
                values = scores[name].drop_nulls().to_list()
                assert all(math.isfinite(value) for value in values), name

    def test_refit_equals_fit(self) -> None:
        again = self.make().fit(self.training(), as_of=self.as_of, seed=self.seed)
        assert_same_scores(
            self.score(again, self.inputs()), self.score(self.fitted(), self.inputs())
        )

    def test_row_order_of_the_training_set_does_not_matter(self) -> None:
        again = self.make().fit(self.shuffled(self.training()), as_of=self.as_of, seed=self.seed)
        assert_same_scores(
            self.score(again, self.inputs()), self.score(self.fitted(), self.inputs())
        )

    def test_row_order_of_the_inputs_does_not_matter(self) -> None:
        assert_same_scores(
            self.score(self.fitted(), self.shuffled(self.inputs())),
            self.score(self.fitted(), self.inputs()),
        )

    def test_reload_equals_original(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path / "model")
        reloaded = self.model_class.load(tmp_path / "model")
        assert reloaded.config == self.fitted().config
        assert_same_scores(
            self.score(reloaded, self.inputs()), self.score(self.fitted(), self.inputs())
        )

    def test_saved_without_pickle(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path / "model")
        files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= TEXT_OR_ARRAYS
        for path in files:
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    assert all(arrays[key].dtype != object for key in arrays)

    def test_another_model_is_refused(self, tmp_path: Path) -> None:
        self.fitted().save(tmp_path / "model")
        head = (tmp_path / "model" / "config.json").read_text()
        other = head.replace(f'"kind": "{self.model_class.kind}"', '"kind": "another"')
        (tmp_path / "model" / "config.json").write_text(other)
        with pytest.raises(ModelError, match="another model"):
            self.model_class.load(tmp_path / "model")

    def test_batch_equals_single(self) -> None:
        batch = self.score(self.fitted(), self.inputs())
        ids = self.ids()
        for one in ids[:: max(1, len(ids) // self.singles)][: self.singles]:
            assert_same_scores(
                self.score(self.fitted(), self.only([one])),
                batch.filter(pl.col(self.entity) == one),
            )

    def test_unseen_ids_do_not_matter(self) -> None:
        """Entities that were not in the training set are scored, and change nobody else."""
        twins = self.ids()[:3]
        strangers = {
            name: table.with_columns(("unseen-" + pl.col(self.entity)).alias(self.entity))
            for name, table in self.only(twins).items()
            if self.entity in table.columns
        }
        together = ModelInputs(
            {
                name: pl.concat([table, strangers[name]]) if name in strangers else table
                for name, table in self.inputs().items()
            }
        )
        known = pl.col(self.entity).cast(pl.String).str.starts_with("unseen-").not_()
        scores = self.score(self.fitted(), together)
        assert_same_scores(scores.filter(known), self.score(self.fitted(), self.inputs()))
        for name, dtype in scores.schema.items():
            if dtype.is_float():
                values = scores.filter(~known)[name].drop_nulls().to_list()
                assert all(math.isfinite(value) for value in values), name

    def test_empty_input_is_fine(self) -> None:
        full = self.score(self.fitted(), self.inputs())
        nobody = self.score(self.fitted(), self.only([]))
        assert nobody.height == 0
        assert nobody.schema == full.schema
        nothing = ModelInputs({name: table.clear() for name, table in self.inputs().items()})
        assert self.score(self.fitted(), nothing).schema == full.schema

    def test_scores_do_not_change_the_model(self) -> None:
        first = self.score(self.fitted(), self.inputs())
        assert_same_scores(self.score(self.fitted(), self.inputs()), first)
