"""What lies ready is answered without a thread; what has to wait says so and takes one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nba.stores.access import Scope
from nba.stores.database import NotAtOnceError, at_once, may_wait
from nba.stores.grouping import Group
from nba.stores.operational import OperationalStore


@pytest.fixture
def store(tmp_path: Path) -> OperationalStore:
    return OperationalStore(f"sqlite:///{tmp_path}/store.db")


def test_a_transaction_is_not_taken_at_once(store: OperationalStore) -> None:
    with at_once(), pytest.raises(NotAtOnceError):
        store.keys()
    with at_once(), pytest.raises(NotAtOnceError), store.writing():
        pass
    assert store.keys() == []
    may_wait()


def test_a_key_is_known_at_once_from_its_second_use_until_it_is_revoked(
    store: OperationalStore,
) -> None:
    made = store.create_key(Scope.ADMIN, label="one")
    with at_once(), pytest.raises(NotAtOnceError):
        store.verify_token(made.token)
    assert store.verify_token(made.token) is not None
    with at_once():
        assert store.verify_token(made.token) is not None
    store.revoke_key(made.key.key_id)
    with at_once(), pytest.raises(NotAtOnceError):
        store.verify_token(made.token)
    assert store.verify_token(made.token) is None


def test_a_locked_file_is_not_waited_for_at_once(store: OperationalStore) -> None:
    made = store.create_key(Scope.ADMIN, label="one")
    assert store.verify_token(made.token) is not None
    path = store.database.url.database
    assert path is not None
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        began = time.perf_counter()
        with at_once(), pytest.raises(NotAtOnceError):
            store.verify_token("nba_unknown_key")
        assert time.perf_counter() - began < 0.5


def test_who_may_not_wait_does_no_work_of_others() -> None:
    led: list[int] = []

    def together(works: Sequence[Callable[[Any], Any]]) -> list[Any]:
        led.append(len(works))
        return [work(None) for work in works]

    group = Group(together)
    with at_once(), pytest.raises(NotAtOnceError):
        group.do(lambda _: None)
    assert led == []
    assert group.do(lambda _: 3) == 3
