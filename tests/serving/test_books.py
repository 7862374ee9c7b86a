"""Posts, results, hand-overs and the search in a book, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serving.conftest import NOW, Client, books_of

from nba.schema.words import FeedbackKind
from nba.serving import Services
from nba.serving.results import coaching, increment
from nba.stores.feedback import Feedback

POST = "/v1/clerks/k1/posts/moments:k1/feedback"


def body(kind: str = "sent", **changes: Any) -> dict[str, Any]:
    return {"feedback_id": "f1", "kind": kind, "ts": NOW.isoformat(), **changes}


def test_a_post_counts_once_and_reaches_its_members(
    client: Client, services: Services, tmp_path: Path
) -> None:
    clerk = client("clerk", books=books_of(tmp_path))
    found = clerk.get("/v1/clerks/k1/posts").json()["posts"]
    assert {one["audience"]: one["status"] for one in found} == {
        "group:g1": "new",
        "moments:k1": "new",
    }
    assert {one["contact_from"] for one in found} == {"2026-03-02T12:00:00+08:00"}
    assert clerk.post(POST, json=body()).json()["status"] == "accepted"
    assert clerk.post(POST, json=body()).json()["status"] == "repeated"
    assert clerk.post(POST, json=body(feedback_id="f2")).json()["status"] == "accepted"
    rows = services.store.new_events()["interactions"]
    assert sorted(rows["customer_id"]) == ["c11", "c12"]
    assert rows["propensity"].to_list() == [0.95, 0.95]
    after = clerk.get("/v1/clerks/k1/posts").json()["posts"]
    assert {one["audience"]: one["status"] for one in after}["moments:k1"] == "sent"
    listed = clerk.get("/v1/clerks/k1/actions").json()["actions"]
    assert len(listed) == 3  # who saw a post is not thereby talked to


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        (POST, body("opened"), 400),
        (POST.replace("moments:k1", "moments:k2"), body(), 404),
        (POST, body(ts=(NOW + timedelta(days=3)).isoformat()), 400),
        (POST, body(ts="1980-01-01T00:00:00Z"), 422),
        ("/v1/clerks/k2/posts/moments:k2/feedback", body(), 403),
    ],
)
def test_a_post_that_is_none_is_refused(
    client: Client, tmp_path: Path, path: str, given: dict[str, Any], status: int
) -> None:
    answer = client("clerk", books=books_of(tmp_path)).post(path, json=given)
    assert answer.status_code in (status, 422), answer.text
    assert answer.headers["content-type"].startswith("application/problem")


def test_a_store_sees_its_team_and_hands_over(client: Client, tmp_path: Path) -> None:
    books = books_of(tmp_path)
    store = client("store", books=books)
    team = store.get("/v1/stores/s1/team").json()
    assert [one["clerk_id"] for one in team["clerks"]] == ["k1", "k2"]
    assert team["clerks"][0]["planned"] == 3
    assert team["handovers"][0]["accepted"] is False
    for _ in range(2):
        given = store.put("/v1/handovers/c18", json={"to_clerk_id": "k1"})
        assert given.json()["to_clerk_id"] == "k1"
    assert store.get("/v1/stores/s1/team").json()["handovers"][0]["accepted"] is True
    assert store.put("/v1/handovers/c11", json={"to_clerk_id": "k1"}).status_code == 404
    assert store.put("/v1/handovers/c18", json={"to_clerk_id": "k3"}).status_code == 403
    assert store.get("/v1/stores/s2/team").status_code == 403
    assert client("clerk", books=books).get("/v1/stores/s1/team").status_code == 403


def test_the_book_is_searched_by_what_a_clerk_knows(client: Client) -> None:
    clerk = client("clerk", tag_names={"loyal": {"zh": "老客", "en": "Loyal"}})
    for text, ids in {
        "王3": ["c13"],
        "0014": ["c14"],
        "14": ["c14"],
        "老客": ["c11", "c12"],
        "c15": ["c15"],
        "nobody": [],
    }.items():
        found = clerk.get("/v1/clerks/k1/customers", params={"q": text, "limit": 2}).json()
        assert [one["customer_id"] for one in found["customers"]] == ids, text
    assert clerk.get("/v1/clerks/k2/customers").status_code == 403


def test_an_increment_stands_on_arms_with_an_interval() -> None:
    arms = pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(40)],
            "arm": ["engine"] * 20 + ["holdout"] * 20,
        }
    )
    sales = pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(40)],
            "amount": [12.0, 8.0] * 10 + [6.0, 4.0] * 10,
        }
    )
    found = increment(arms, sales)
    assert found is not None
    # by hand: (10 - 5) x 20 customers; s2 = 80/19 and 20/19, error = sqrt((80 + 20)/19/20)
    assert found.amount == 100.0
    assert found.high - found.low == pytest.approx(2 * 1.96 * (100 / 19 / 20) ** 0.5 * 20, abs=0.02)
    assert increment(arms.head(24), sales) is None  # four left alone tell nothing


def test_coaching_says_what_the_log_says() -> None:
    row = {"kind": "skipped", "reason": "out_of_stock"}
    rows = [row] * 6 + [{"kind": "sent", "reason": None}] * 2 + [{"kind": None, "reason": None}] * 4
    found = {one.kind: one for one in coaching(rows, late_cases=2)}
    assert found["late_cases"].count == 2
    assert (found["many_skips"].count, found["many_skips"].reason) == (6, "out_of_stock")
    assert found["low_adoption"].share == pytest.approx(2 / 12)
    assert coaching([], late_cases=0) == []


def test_a_snooze_hides_until_its_moment_and_needs_one(client: Client, services: Services) -> None:
    clerk = client("clerk")
    path = "/v1/actions/k1-1/feedback"
    late = (NOW + timedelta(days=90)).isoformat()
    assert clerk.post(path, json=body("snoozed", until=late)).status_code in (400, 422)
    until = (NOW + timedelta(days=7)).isoformat()
    assert clerk.post(path, json=body("snoozed", until=until)).status_code == 200
    answer = clerk.get("/v1/clerks/k1/actions").json()
    assert [one["action_id"] for one in answer["actions"]] == ["k1-2", "k1-3"]
    assert [(one["kind"], one["customer_id"]) for one in answer["closed"]] == [("snoozed", "c11")]
    later = client("clerk", clock=lambda: NOW + timedelta(days=8))
    held = services.store.snoozed(NOW + timedelta(days=6))
    assert held["customer_id"].to_list() == ["c11"]
    assert services.store.snoozed(NOW + timedelta(days=8)).is_empty()
    assert later.get("/v1/names").json()["categories"]["tea"] == {"zh": "茶叶", "en": "Tea"}


def test_closed_actions_show_the_latest_feedback(services: Services) -> None:
    for number, kind in enumerate((FeedbackKind.SKIPPED, FeedbackKind.SENT)):
        ts = NOW + timedelta(minutes=number)
        services.store.record([Feedback(f"f{number}", "k1-2", "k1", ts, kind)])
    (row,) = services.store.closed_actions("k1", NOW.date())
    assert row["kind"] == "sent"
