"""A night on Spark: the same, sooner with two cores, and as light for the driver with more."""

from __future__ import annotations

import pytest

from experiments.spark_night.run import spark_night

#: What the driver's memory may grow by when customers grow fivefold: libraries, not customers.
FLAT = 1.1


@pytest.mark.proof
@pytest.mark.requires("java")
def test_a_night_on_spark_is_the_same_and_light_for_the_driver() -> None:
    nights = spark_night(sizes=(2_000, 10_000))["nights"]
    on_spark = {(row["customers"], row["cores"]): row for row in nights if row["cores"]}
    for row in on_spark.values():
        assert row["unequal"] == 0
        assert row["largest_difference"] <= 1e-9
    one, two = (on_spark[10_000, cores]["seconds"] for cores in (1, 2))
    assert two["score"] + two["plan"] < one["score"] + one["plan"]
    for step in ("score", "plan"):
        few, many = (on_spark[size, 2]["driver_mb"][step] for size in (2_000, 10_000))
        assert many <= FLAT * few
