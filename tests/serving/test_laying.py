"""Lists laid ready say what lists made anew say, and nothing of who is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import polars as pl
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from tests.serving.conftest import DAY, NOW, PLAN, Shop, actions_frame

from nba.decisions import Catalogue
from nba.schema.words import TagSource
from nba.serving import Services
from nba.serving.laying import Layer, lay_actions, lay_cards, lay_lists
from nba.stores.laid import (
    LaidAction,
    LaidCard,
    LaidList,
    pack,
    pack_card,
    unpack,
    unpack_card,
)
from nba.stores.outbox import Event
from nba.stores.people import Consent, Tag
from nba.stores.schema import books, laid, laid_cards

Client = Callable[..., TestClient]
LIST = "/v1/clerks/k1/actions"


@pytest.fixture
def ready(services: Services) -> Services:
    """Return services whose lists are laid ready."""
    assert lay_lists(services) == 3
    assert lay_lists(services) == 0
    return services


def body(answer: Any) -> tuple[dict[str, Any], str]:
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["etag"]


def both(client: Client, path: str = LIST, **changes: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Return what a service says with what was laid, and one to which it means nothing."""
    yield body(client("clerk", **changes).get(path))
    yield body(client("clerk", definitions="others", **changes).get(path))


def marked(services: Services) -> None:
    """Change what was laid for k1, so that an answer shows whether it was used."""
    with services.store.writing() as writer:
        rows = writer.connection.execute(select(laid.c.record).where(laid.c.clerk_id == "k1"))
        found = unpack(rows.scalar_one())
        texts = [
            replace(one, text=one.text.replace(b"care_call", b"as_laid")) for one in found.actions
        ]
        writer.connection.execute(
            update(laid)
            .where(laid.c.clerk_id == "k1")
            .values(record=pack(LaidList(found.published_at, texts)))
        )


def types(answer: Any) -> list[str]:
    return [one["action_type"] for one in body(answer)[0]["actions"]]


def say(services: Services, client: Client, what: str) -> None:
    """Let something happen to the list of k1."""
    caller, store = client("admin"), services.store
    row = {"feedback_id": what, "kind": what, "ts": "2026-03-02T10:00:00"}
    if what in ("opened", "skipped"):
        assert caller.post("/v1/actions/k1-2/feedback", json=row).status_code == 200
    elif what == "bought":
        sale = {"order_id": "o", "line_no": "1", "customer_id": "c11", "product_id": "05"}
        store.accept([Event("transactions", sale | {"ts": NOW, "quantity": Decimal(1)})])
    elif what == "refused":
        store.put_consent("c12", Consent(False, True, NOW))
    elif what == "erased":
        store.erase("c13")
    elif what == "sold out":
        stock = {"product_id": "05", "store_id": "s1", "ts": "2026-03-02T10:00", "on_hand": 0}
        assert client("source").post("/v1/events", json={"stock": [stock]}).json()["accepted"]


@pytest.mark.parametrize(
    "what", ["nothing", "opened", "skipped", "bought", "refused", "erased", "sold out"]
)
@pytest.mark.parametrize("query", ["", "?limit=2", "?limit=1", "?mode=private_partner"])
def test_both_say_the_same_whatever_was_heard(
    client: Client, ready: Services, what: str, query: str
) -> None:
    say(ready, client, what)
    as_laid, anew = both(client, LIST + query)
    assert as_laid == anew


def test_both_say_the_same_of_what_has_expired_and_of_another_page(
    client: Client, ready: Services
) -> None:
    later = NOW + timedelta(days=2)
    as_laid, anew = both(client, clock=lambda: later)
    assert as_laid == anew
    assert as_laid[0]["actions"][0]["expired"]
    assert as_laid[0]["age_days"] == 2
    cursor = body(client("clerk").get(f"{LIST}?limit=2"))[0]["next_cursor"]
    as_laid, anew = both(client, f"{LIST}?limit=2&cursor={cursor}")
    assert as_laid == anew
    assert len(as_laid[0]["actions"]) == 1


def test_what_was_laid_is_what_is_sent(client: Client, ready: Services) -> None:
    marked(ready)
    caller = client("clerk")
    assert types(caller.get(LIST)) == ["as_laid"] * 3
    say(ready, client, "bought")
    assert types(caller.get(LIST)) == ["as_laid"] * 2
    assert types(client("clerk", definitions="others").get(LIST)) == ["care_call"] * 2


def test_who_refuses_profiling_later_is_shown_without_a_value(
    client: Client, ready: Services
) -> None:
    text = {"zh": "致电关怀", "en": "Care call"}
    care = {"action_type": "care_call", "mode": "private_partner", "channel": "chat", "minutes": 4}
    care |= {"name": text, "talking_point": text, "profiling": False}
    catalogue = Catalogue.model_validate({"actions": [care]})
    ready.store.put_consent("c11", Consent(True, False, NOW))
    for page, _ in both(client, catalogue=catalogue):
        said = {one["customer_id"]: one["value"] for one in page["actions"]}
        assert said == {"c11": None, "c12": 5.0, "c13": pytest.approx(10 / 3)}


def test_what_brings_something_sold_out_is_made_anew(client: Client, ready: Services) -> None:
    marked(ready)
    say(ready, client, "sold out")
    caller = client("clerk")
    assert types(caller.get(LIST)) == ["care_call"] * 3
    shown = body(caller.get(LIST))[0]["actions"][0]["products"]
    assert [one["product_id"] for one in shown] == ["7"]


def test_another_plan_makes_what_was_laid_worthless(
    client: Client, ready: Services, republish: Callable[[], None]
) -> None:
    marked(ready)
    republish()
    assert types(client("clerk").get(LIST)) == ["care_call"] * 3
    assert lay_lists(ready) == 3
    as_laid, anew = both(client)
    assert as_laid == anew


def test_of_an_erased_customer_nothing_stays_laid(client: Client, ready: Services) -> None:
    say(ready, client, "erased")
    with ready.store.database.reading() as connection:
        rows = connection.execute(select(laid.c.clerk_id, laid.c.customer_ids)).all()
    assert {row.clerk_id for row in rows} == {"k2", "k3"}
    assert not any("c13" in row.customer_ids for row in rows)
    assert "王3丽" not in client("clerk").get(LIST).text
    assert lay_lists(ready) == 0  # something was heard of that list


def test_who_is_erased_while_lists_are_laid_is_in_none(services: Services) -> None:
    class Erasing(Shop):
        """A customer is erased when who they are was read already."""

        def people(self, customer_ids: Any) -> Any:
            found = super().people(customer_ids)
            if "c21" in customer_ids:
                services.store.erase("c21")
            return found

    assert lay_lists(replace(services, cards=Erasing())) == 2
    with services.store.database.reading() as connection:
        assert set(connection.scalars(select(laid.c.clerk_id))) == {"k1", "k3"}


def test_a_damaged_record_is_none(client: Client, ready: Services) -> None:
    before = body(client("clerk").get(LIST))
    for record in (b"", b"no record", pack(LaidList(NOW, []))[:-3]):
        with ready.store.writing() as writer:
            writer.connection.execute(update(laid).values(record=record))
        assert body(client("clerk").get(LIST)) == before


def test_a_list_of_a_day_before_is_swept_away(services: Services, ready: Services) -> None:
    tomorrow = DAY + timedelta(days=1)
    services.store.publish(PLAN | {"as_of": tomorrow}, actions_frame(tomorrow, salt="t"))
    assert lay_lists(services) == 3
    with services.store.database.reading() as connection:
        assert set(connection.scalars(select(laid.c.as_of))) == {tomorrow}


def test_a_clerk_who_fell_out_has_an_empty_list(client: Client, ready: Services) -> None:
    absence = {"absences": [{"clerk_id": "k1", "date": "2026-03-02"}]}
    assert client("admin").post("/v1/events", json=absence).json()["accepted"] == 1
    as_laid, anew = both(client)
    assert as_laid == anew
    assert as_laid[0]["actions"] == []


def test_lists_of_which_something_was_heard_are_not_laid(
    client: Client, services: Services
) -> None:
    with services.store.writing() as writer:
        writer.connection.execute(
            update(books).where(books.c.clerk_id == "k2").values(touched=books.c.touched + 1)
        )
    assert lay_lists(services) == 2


class Night:
    """Rescores everybody as the night did: one action that is not listed, and one that is."""

    def __init__(self, services: Services, brings: str = "05") -> None:
        self.row = {**services.store.action("k1-1"), "product_ids": [brings]}
        self.asked: list[str] = []

    def as_the_night(self, customer_ids: list[str]) -> dict[str, pl.DataFrame]:
        columns = ("clerk_id", "as_of", "mode", "action_type", "product_ids", "reasons")
        return {
            one: pl.DataFrame(
                [
                    {name: self.row[name] for name in columns}
                    | {"customer_id": one, "action_id": it}
                    for it in (f"night-{one}", f"k1-{one[-1]}")
                ]
            )
            for one in customer_ids
        }

    def actions(self, customer_id: str) -> list[dict[str, Any]]:
        self.asked.append(customer_id)
        return self.as_the_night([customer_id])[customer_id].to_dicts()

    def knows_today(self, customer_id: str) -> bool:
        return False


@pytest.fixture
def night(services: Services) -> Night:
    found = Night(services)
    assert lay_actions(services, cast("Any", found)) == 9
    return found


def test_next_actions_laid_ready_are_those_that_are_worked_out_when_asked(
    client: Client, services: Services, night: Night
) -> None:
    path = "/v1/customers/c11/actions"
    ready = client("clerk", live=night).get(path).json()
    assert night.asked == []
    anew = client("clerk", live=night, definitions="others").get(path).json()
    assert night.asked == ["c11"]
    assert ready == anew
    assert ready["rescored"]
    assert [(one["action_id"], one["rank"]) for one in ready["actions"]] == [
        ("k1-1", 1),
        ("night-c11", None),
    ]


@pytest.mark.parametrize("what", ["bought", "sold out", "erased", "another plan"])
def test_what_was_heard_makes_next_actions_laid_ready_worthless(
    client: Client,
    services: Services,
    night: Night,
    what: str,
    republish: Callable[[], None],
) -> None:
    customer = "c13" if what == "erased" else "c11"
    if what == "another plan":
        republish()
    say(services, client, what)
    answer = client("admin", live=night).get(f"/v1/customers/{customer}/actions")
    if what == "erased":
        assert answer.status_code == 404
        assert services.store.laid_actions(customer, "") is None
    elif what == "bought":
        assert (answer.json()["rescored"], answer.json()["actions"]) == (False, [])
    else:
        assert night.asked == [customer]


@pytest.mark.parametrize("what", ["opened", "skipped", "refused", "sold out", "erased", "bought"])
def test_an_answer_that_is_kept_stands_only_while_nothing_is_heard(
    client: Client, services: Services, night: Night, what: str
) -> None:
    caller = client("admin", live=night)
    customers = ("c11", "c12", "c13")
    paths = [f"/v1/customers/{one}/actions" for one in customers]
    before = [caller.get(path).json() for path in paths]
    assert [caller.get(path).json() for path in paths] == before
    say(services, client, what)
    kept = [caller.get(path).json() for path in paths]
    anew = [client("admin", live=night).get(path).json() for path in paths]
    for one in (*kept, *anew):
        one.pop("request_id", None)
    assert kept == anew
    assert kept != before


def test_only_who_may_see_a_customer_reads_what_was_laid(
    client: Client, services: Services, night: Night
) -> None:
    assert client("clerk", live=night).get("/v1/customers/c21/actions").status_code == 403
    services.store.put_consent("c12", Consent(True, False, NOW))
    refused = client("clerk", live=night).get("/v1/customers/c12/actions").json()
    assert not refused["rescored"]
    services.store.put_consent("c13", Consent(False, True, NOW))
    assert client("clerk", live=night).get("/v1/customers/c13/actions").json()["actions"] == []


def test_a_record_holds_what_was_packed() -> None:
    text = '{"name":"王"'.encode()
    moment = datetime(2026, 3, 3, tzinfo=UTC)
    one = LaidAction("a", "c", 1, moment, ["05"], text)
    other = replace(one, action_id="b", expires_at=None, product_ids=[])
    found = LaidList(NOW, [one, other])
    assert unpack(pack(found)) == found


def test_a_service_lays_each_plan_once(services: Services) -> None:
    calls: list[int] = []
    layer = Layer(services.store, lambda: calls.append(lay_lists(services)))
    layer.start()
    until = datetime.now(UTC) + timedelta(seconds=20)
    while not calls and datetime.now(UTC) < until:
        pass
    layer.close()
    assert calls == [3]


CARD = "/v1/customers/c11"


@pytest.fixture
def cards(services: Services) -> Services:
    """Return services with cards laid ready."""
    assert lay_cards(services) == 9
    return services


def relaid(services: Services, **changes: Any) -> None:
    """Lay the card of c11 again, with its text and what else is given changed."""
    day, digest = services.store.mark() or (DAY, "")
    with services.store.database.reading() as connection:
        query = select(laid_cards.c.record).where(laid_cards.c.customer_id == "c11")
        found = unpack_card(connection.execute(query).scalar_one())
    text = found.text.replace(b'"days_since_purchase":12.0', b'"days_since_purchase":99.0')
    changed = replace(found, **{"text": text, **changes})
    services.store.lay_cards(day, digest, services.definitions, {"c11": changed})


def days(answer: Any) -> float:
    assert answer.status_code == 200, answer.text
    return float(answer.json()["behaviour"]["days_since_purchase"])


def said(answer: Any) -> tuple[int, str, str | None]:
    """Return all that an answer says of a customer, to the byte."""
    text = answer.text if answer.status_code == 200 else ""
    return answer.status_code, text, answer.headers.get("etag")


@pytest.mark.parametrize(
    "what", ["nothing", "skipped", "bought", "refused", "tagged", "erased", "another plan"]
)
def test_cards_are_the_same_to_the_byte_whatever_was_heard(
    client: Client, cards: Services, what: str, republish: Callable[[], None]
) -> None:
    if what == "tagged":
        tag = Tag("vip", "gold", TagSource.CLERK, NOW, NOW + timedelta(hours=1))
        cards.store.put_tag("c12", tag)
    elif what == "another plan":
        republish()
    else:
        say(cards, client, what)
    for customer in ("c11", "c12", "c13", "c21"):
        path = f"/v1/customers/{customer}"
        as_laid = said(client("admin").get(path))
        assert as_laid == said(client("admin", definitions="others").get(path))
        assert as_laid[0] == (404 if (what, customer) == ("erased", "c13") else 200)


def test_a_card_laid_ready_is_what_is_sent_until_something_is_heard(
    client: Client, cards: Services
) -> None:
    relaid(cards)
    caller = client("clerk")
    assert days(caller.get(CARD)) == 99
    say(cards, client, "erased")  # of another
    assert days(caller.get(CARD)) == 99
    say(cards, client, "bought")
    assert days(caller.get(CARD)) == 12
    assert days(client("clerk", definitions="others").get(CARD)) == 12


def test_a_card_laid_ready_holds_between_its_moments_alone(client: Client, cards: Services) -> None:
    soon = NOW + timedelta(hours=1)
    relaid(cards, until=soon)
    for moment, expected in (
        (NOW - timedelta(seconds=1), 12),
        (NOW, 99),
        (soon - timedelta(seconds=1), 99),
        (soon, 12),
    ):
        assert days(client("clerk", clock=lambda it=moment: it).get(CARD)) == expected
    moments = [soon - timedelta(seconds=1)]
    caller = client("clerk", clock=lambda: moments[-1])
    assert days(caller.get(CARD)) == 99
    moments.append(soon)  # what a process keeps ends with it
    assert days(caller.get(CARD)) == 12


def test_features_brought_online_make_a_card_laid_ready_worthless(
    client: Client, services: Services
) -> None:
    class Fresh:
        at = 7

        def moment(self, customer_id: str) -> int:
            return self.at

    fresh = cast("Any", Fresh())
    assert lay_cards(replace(services, fresh=fresh)) == 9
    relaid(services)
    assert days(client("clerk", fresh=fresh).get(CARD)) == 99
    fresh.at = 8
    assert days(client("clerk", fresh=fresh).get(CARD)) == 12


def test_a_card_ends_with_what_expires_first(services: Services) -> None:
    class Changing(Shop):
        """A benefit of c11 ends in two hours."""

        def changes_at(self, customer_id: str) -> datetime | None:
            return NOW + timedelta(hours=2) if customer_id == "c11" else None

    tag = Tag("vip", None, TagSource.CLERK, NOW, NOW + timedelta(hours=1))
    services.store.put_tag("c12", tag)
    lay_cards(replace(services, cards=Changing()))
    with services.store.database.reading() as connection:
        rows = connection.execute(select(laid_cards)).all()
    found = {row.customer_id: unpack_card(row.record).until for row in rows}
    assert (found["c11"], found["c12"], found["c13"]) == (
        NOW + timedelta(hours=2),
        NOW + timedelta(hours=1),
        None,
    )


def test_of_an_erased_customer_no_card_stays_laid(client: Client, cards: Services) -> None:
    say(cards, client, "erased")
    with cards.store.database.reading() as connection:
        ids = set(connection.scalars(select(laid_cards.c.customer_id)))
    assert "c13" not in ids
    assert "c12" in ids
    assert lay_cards(cards) == 8
    assert client("admin").get("/v1/customers/c13").status_code == 404


def test_who_is_erased_while_cards_are_laid_has_none(services: Services) -> None:
    class Erasing(Shop):
        """A customer is erased when their card was made already."""

        def card(self, customer_id: str) -> Any:
            found = super().card(customer_id)
            if customer_id == "c21":
                services.store.erase("c13")
            return found

    lay_cards(replace(services, cards=Erasing()))
    with services.store.database.reading() as connection:
        ids = set(connection.scalars(select(laid_cards.c.customer_id)))
    assert len(ids & {"c11", "c13", "c21"}) == 2


def test_a_damaged_card_is_none(client: Client, cards: Services) -> None:
    before = said(client("clerk").get(CARD))
    whole = pack_card(LaidCard([None, None, None, 0], NOW, None, b"{}"))
    for record in (b"", b"no record", whole[:-3], pack(LaidList(NOW, []))):
        with cards.store.writing() as writer:
            writer.connection.execute(update(laid_cards).values(record=record))
        assert said(client("clerk").get(CARD)) == before


def test_cards_go_when_records_are_written_anew_and_with_their_day(
    services: Services, cards: Services
) -> None:
    def laid_days() -> set[date]:
        with services.store.database.reading() as connection:
            return set(connection.scalars(select(laid_cards.c.as_of)))

    assert laid_days() == {DAY}
    assert not services.store.publish(PLAN, actions_frame())  # it stands; records are new
    assert laid_days() == set()
    assert lay_cards(services) == 9
    tomorrow = DAY + timedelta(days=1)
    services.store.publish(PLAN | {"as_of": tomorrow}, actions_frame(tomorrow, salt="t"))
    assert laid_days() == set()


def test_only_who_may_see_a_customer_sees_a_card_laid_ready(
    client: Client, cards: Services
) -> None:
    assert client("clerk").get("/v1/customers/c21").status_code == 403


def test_a_card_record_holds_what_was_packed() -> None:
    text = '{"name":"王"'.encode()
    found = LaidCard([1, None, 3, 4], NOW, NOW + timedelta(hours=1), text)
    assert unpack_card(pack_card(found)) == found
    assert unpack_card(pack_card(replace(found, until=None))).until is None
