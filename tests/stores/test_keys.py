"""Keys for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.stores.conftest import Clock

from nba.stores.access import NewKey, Scope
from nba.stores.operational import OperationalStore


def test_old_and_new_keys_overlap(store: OperationalStore, clock: Clock) -> None:
    made: list[NewKey] = []
    old = store.create_key(Scope.CLERK, subject="k1")
    store.issue_keys(
        Scope.CLERK,
        ["k1", "k2"],
        expires_at=clock() + timedelta(days=30),
        ending=[old.key.key_id],
        ends_at=clock() + timedelta(days=7),
        keep=made.extend,
    )
    assert [one.key.subject for one in made] == ["k1", "k2"]
    clock.forward(days=6)
    assert store.verify_token(old.token) is not None
    assert store.verify_token(made[0].token) is not None
    clock.forward(days=2)
    assert store.verify_token(old.token) is None
    clock.forward(days=30)
    assert store.verify_token(made[1].token) is None


def test_where_tokens_cannot_be_written_down_no_key_is_made(
    store: OperationalStore, clock: Clock
) -> None:
    def fail(keys: Sequence[NewKey]) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        store.issue_keys(
            Scope.CLERK, ["k1"], expires_at=None, ending=[], ends_at=clock(), keep=fail
        )
    assert store.keys() == []
