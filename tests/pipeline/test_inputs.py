"""Which views reach a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import polars as pl

from nba.models.base import ModelInputs
from nba.pipeline.inputs import of_service
from nba.pipeline.ports import FeatureStore

INPUTS = ModelInputs(
    {
        "customer_state": pl.DataFrame({"customer_id": ["c1"], "city": ["x"], "gender": ["f"]}),
        "customer_behaviour": pl.DataFrame({"customer_id": ["c1"], "purchase_days": [3]}),
        "product": pl.DataFrame({"product_id": ["p1"]}),
        "purchases": pl.DataFrame({"customer_id": ["c1"], "product_id": ["p1"]}),
    }
)


class Services:
    """A feature store that knows one service."""

    def service_columns(self, service: str) -> Mapping[str, Sequence[str]]:
        return {
            "taste": {
                "customer_state": ["customer_id", "city"],
                "product": ["product_id"],
            }
        }[service]


def test_a_model_reads_the_views_of_its_service_and_what_is_no_view() -> None:
    read = of_service(INPUTS, cast("FeatureStore", Services()), "taste")
    assert set(read) == {"customer_state", "product", "purchases"}
    assert read["customer_state"].columns == ["customer_id", "city"]
