"""A kind that a package of a retailer's own brings, exactly as the documentation shows it."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from tests.models.timing.test_contract import AS_OF, purchase_log, states

from nba.errors import ConfigError
from nba.models.base import Model, ModelInputs
from nba.models.contract import ModelContract
from nba.models.kinds import model_class
from nba.models.spec import ModelSpec
from nba.pipeline.train import new_model


def block(language: str, number: int = 0) -> str:
    """Return a block of code of the page."""
    page = (Path(__file__).parents[2] / "docs" / "own-models.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[number]


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Install the package of the page, as pip would: its module, and its entry points."""
    site = tmp_path_factory.mktemp("site")
    (site / "acme_models.py").write_text(block("python"))
    about = site / "acme_models-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    name, value = re.findall(r'^"(.+?)" = "(.+?)"$', block("toml"), re.MULTILINE)[0]
    other = f"affinity.renamed = {value}"
    (about / "entry_points.txt").write_text(f"[nba.models]\n{name} = {value}\n{other}\n")
    sys.path.insert(0, str(site))
    yield
    sys.path.remove(str(site))
    sys.modules.pop("acme_models", None)


def tables() -> ModelInputs:
    purchases = purchase_log().rename({"category": "product_id"})
    return ModelInputs({"purchases": purchases, "customer_state": states()})


def test_the_models_file_of_the_page_names_it() -> None:
    spec = ModelSpec.model_validate(yaml.safe_load(block("yaml")))
    model = new_model(spec).fit(tables(), as_of=AS_OF, seed=1)
    assert (model.name, model.kind) == ("affinity", "store_best")
    scores = model.score(tables(), as_of=AS_OF + timedelta(days=1))
    assert scores["customer_id"].n_unique() == states().height
    assert scores.filter(scores["rank"] == 1)["score"].min() > 1


def test_a_class_that_calls_itself_otherwise_is_refused() -> None:
    with pytest.raises(ConfigError, match="calls itself otherwise"):
        model_class("affinity", "renamed")


def test_an_unknown_kind_names_those_of_packages_too() -> None:
    with pytest.raises(ConfigError, match="store_best"):
        model_class("affinity", "best_store")


class TestStoreBest(ModelContract):
    as_of = AS_OF

    @property
    def model_class(self) -> type[Model]:  # type: ignore[override]
        return model_class("affinity", "store_best")

    def training(self) -> ModelInputs:
        return tables()

    def inputs(self) -> ModelInputs:
        return tables()
