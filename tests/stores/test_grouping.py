"""Small writes that come together are one transaction, and none undoes another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from nba.errors import NotFoundError, UnavailableError
from nba.stores.grouping import Group, Work
from nba.stores.operational import OperationalStore, Writer
from nba.stores.outbox import Event


class Commits:
    """Does works one after another; holds up the first until enough others wait."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_go_on = threading.Event()
        self.error: Exception | None = None

    def __call__(self, works: Sequence[Work]) -> list[Any]:
        self.sizes.append(len(works))
        if len(self.sizes) == 1:
            assert self.may_go_on.wait(20)
        if self.error is not None:
            raise self.error
        return [work(None) for work in works]


def together(group: Group, commits: Commits, works: Sequence[Work]) -> list[Any]:
    """Return result or error of works of which all but the first come while it is at work."""

    def one(work: Work) -> Any:
        try:
            return group.do(work)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        first = pool.submit(one, works[0])
        while not commits.sizes:
            pass
        others = [pool.submit(one, work) for work in works[1:]]
        while len(group._waiting) < len(others):
            pass
        commits.may_go_on.set()
        return [future.result(20) for future in (first, *others)]


def test_who_comes_while_one_works_goes_together() -> None:
    commits = Commits()
    group = Group(commits)
    found = together(group, commits, [lambda _, n=n: n for n in range(9)])
    assert found == list(range(9))
    assert commits.sizes == [1, 8]
    assert group.do(lambda _: "alone") == "alone"


def test_a_store_that_does_not_answer_is_waited_for_once() -> None:
    commits = Commits()
    commits.error = UnavailableError("locked")
    found = together(Group(commits), commits, [lambda _: 1] * 5)
    assert [type(one) for one in found] == [UnavailableError] * 5
    assert commits.sizes == [1]


def test_one_that_ends_the_transaction_of_all_ends_its_own_alone() -> None:
    def fail(_: object) -> None:
        raise OverflowError

    commits = Commits()
    found = together(Group(commits), commits, [lambda _: 1, lambda _: 2, fail, lambda _: 3])
    assert found[:2] == [1, 2]
    assert isinstance(found[2], OverflowError)
    assert found[3] == 3
    assert commits.sizes == [1, 3, 1, 1, 1]


def sale(number: int) -> Event:
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    row = {"order_id": f"o{number}", "line_no": "1", "product_id": "p", "ts": moment}
    return Event("transactions", {**row, "quantity": 1, "customer_id": "c1"})


def test_on_a_store_a_refused_write_leaves_the_others(store: OperationalStore) -> None:
    def refused(writer: Writer) -> None:
        writer.accept(sale(0))
        raise NotFoundError("no such action")

    def taking(number: int) -> Callable[[Writer], str]:
        return lambda writer: writer.accept(sale(number))

    found = store._together([taking(1), refused, taking(2), taking(1)])
    assert [found[0], found[2], found[3]] == ["accepted", "accepted", "repeated"]
    assert isinstance(found[1], NotFoundError)
    assert store.new_events()["transactions"]["order_id"].to_list() == ["o1", "o2"]
    with pytest.raises(NotFoundError):
        store.write(refused)
    assert store.write(taking(0)) == "accepted"
    assert store.write(taking(0)) == "repeated"
