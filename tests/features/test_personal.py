"""What says who a person is stays out of features."""

from __future__ import annotations

from nba.features import VIEWS
from nba.schema.tables import TABLES


def test_no_feature_of_a_customer_says_who_they_are() -> None:
    personal = set(TABLES["customers"].personal)
    assert personal == {"name", "alias", "external_id", "avatar", "phone_tail"}
    about_customers = [view for view in VIEWS.values() if "customer_id" in view.entity_keys]
    assert about_customers
    for view in about_customers:
        assert personal.isdisjoint(view.by_name), view.name


def test_no_feature_of_a_clerk_is_personal() -> None:
    assert set(TABLES["clerks"].personal).isdisjoint(VIEWS["clerk"].by_name)
