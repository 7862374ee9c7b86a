"""Everything else that happens: friends, groups, events, benefits, cases, tags, consent."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.schema.languages import BETWEEN
from nba.simulation.demand import Purchases, stock_draw
from nba.simulation.habits import absent_on
from nba.simulation.identities import identities
from nba.simulation.people import CITIES
from nba.simulation.responses import RESPONSE_KINDS, Answers, add_responses
from nba.simulation.scene import Scene, State
from nba.simulation.tables import Recorder

#: Groups of a clerk: one topic for families and beauty, one for sports, one for collectors.
TOPICS: Final = ("育儿交流 Parenting", "护肤课堂 Skin Care Class", "跑团 Running Club")
GROUP_SHARE: Final = 0.3
LEAVE_KNOWN: Final = 7
"""Days ahead for which absences are known."""
PURCHASED: Final = RESPONSE_KINDS.to_list().index("purchased")
COUPON_AMOUNTS: Final = np.array([20.0, 50.0, 100.0])


def customer_rows(scene: Scene, state: State, who: Ints, when: Floats) -> pl.DataFrame:
    """Return the current version of some customers, valid from the given times.

    Parameters
    ----------
    scene : Scene
    state : State
    who : array of int
        Positions.
    when : array of float
        Days since the start, for each.
    """
    people = scene.people
    year = pl.Series(people.birth_year[who]).cast(pl.String)
    born_at = pl.lit("2001-01-01").str.to_date() + pl.duration(days=pl.col("born"))
    date = born_at.dt.strftime("%m-%d")
    known = pl.Series(scene.streams.uniform("birthday_known", who))
    friend = np.where(np.isfinite(state.friend_since[who]), state.friend_since[who], np.nan)
    revoked = people.revoke_day[who]
    frame = pl.DataFrame(
        {
            "customer_id": scene.customer_ids.gather(who),
            "store_id": scene.store_ids.gather(people.store[who]),
            "clerk_id": scene.clerk_ids.gather(people.clerk[who]),
            "joined_at": scene.timestamps(np.maximum(people.joined[who], -3000.0)),
            "year": year,
            "born": people.birthday[who],
            "gender": pl.Series(["female", "male", None]).gather(people.gender[who]),
            "city": pl.Series(CITIES).gather(people.city[who]),
            "friend_since": scene.timestamps(friend),
            "blocked_at": scene.timestamps(state.blocked[who]),
            "consent_contact": state.consent_contact[who],
            "consent_profiling": state.consent_profiling[who],
            "consent_at": scene.timestamps(
                np.where(revoked < when + 1e-9, revoked, np.maximum(people.joined[who], -3000.0))
            ),
            "locale": np.where(people.english[who], "en", "zh"),
            **identities(scene, who),
            "valid_from": scene.timestamps(when),
        }
    )
    return frame.with_columns(
        pl.when(known < 0.25)
        .then(pl.lit(None))
        .when(known < 0.5)
        .then(date)
        .otherwise(pl.col("year") + "-" + date)
        .alias("birthday")
    ).drop("year", "born")


def arrivals(scene: Scene, state: State, day: int, recorder: Recorder) -> None:
    """Record who joins, who becomes a friend by themselves and who withdraws consent today.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: consent and friends.
    day : int
        Days since the start.
    recorder : Recorder
    """
    people = scene.people
    revoked = np.flatnonzero((np.floor(people.revoke_day) == day) & (people.joined < day))
    state.consent_contact[revoked] = False
    state.consent_profiling[revoked] = False
    joins = np.floor(people.joined) == day
    won = (np.floor(people.friend_day) == day) & ~state.friend & ~np.isfinite(state.blocked)
    won &= people.joined < day + 1
    win_friends(scene, state, np.flatnonzero(won), recorder)
    changed = np.flatnonzero(joins)
    add_versions(scene, state, changed, people.joined[changed], recorder)
    add_versions(scene, state, revoked, people.revoke_day[revoked], recorder)


def add_versions(scene: Scene, state: State, who: Ints, when: Floats, recorder: Recorder) -> None:
    """Record new versions of some customers.

    Parameters
    ----------
    scene : Scene
    state : State
    who : array of int
        Positions.
    when : array of float
        Days since the start, for each: `valid_from`.
    recorder : Recorder
    """
    if len(who):
        recorder.add("customers", customer_rows(scene, state, who, when))


def win_friends(
    scene: Scene, state: State, who: Ints, recorder: Recorder, *, hour: float = 20.0
) -> None:
    """Make customers friends of their clerk and record it.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: friends and groups.
    who : array of int
        Positions.
    recorder : Recorder
    hour : float
        The hour of the day.
    """
    if not len(who):
        return
    people, day = scene.people, state.day
    since = np.maximum(np.full(len(who), day + hour / 24), people.joined[who])
    state.friend[who] = True
    state.friend_since[who] = since
    recorder.add(
        "friendships",
        pl.DataFrame(
            {
                "customer_id": scene.customer_ids.gather(who),
                "clerk_id": scene.clerk_ids.gather(people.clerk[who]),
                "since": scene.timestamps(since),
            }
        ),
    )
    known = who[people.joined[who] < day]
    add_versions(scene, state, known, state.friend_since[known], recorder)
    join_groups(scene, state, day, who, recorder)


def join_groups(scene: Scene, state: State, day: int, who: Ints, recorder: Recorder) -> None:
    """A new friend with an interest in one of the clerk's topics may join its group.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    who : array of int
        Positions of the new friends.
    recorder : Recorder
    """
    topic = topic_of(scene, who)
    draw = scene.streams.uniform("group", who)
    joins = (topic >= 0) & (state.group[who] < 0) & (draw < GROUP_SHARE)
    add_members(scene, state, day, who=who[joins], topic=topic[joins], recorder=recorder)


def add_members(
    scene: Scene, state: State, day: int, *, who: Ints, topic: Ints, recorder: Recorder
) -> None:
    """Record memberships of the clerk's group of a topic.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start; before it began, memberships follow the friendship.
    who, topic : arrays of int
        Positions: a customer, and one of `TOPICS`, for each membership.
    recorder : Recorder
    """
    if not len(who):
        return
    group = scene.people.clerk[who] * len(TOPICS) + topic
    since = np.full(len(who), day + 20.5 / 24)
    if day < 0:
        since = np.minimum(state.friend_since[who] + 0.01, -0.01)
    state.group[who] = group
    recorder.add(
        "memberships",
        pl.DataFrame(
            {
                "group_id": group_ids(group),
                "customer_id": scene.customer_ids.gather(who),
                "joined_at": scene.timestamps(since),
            }
        ),
    )


def topic_of(scene: Scene, who: Ints) -> Ints:
    """Return the topic that interests each customer most, -1 for none."""
    topic = np.array([spec.topic for spec in scene.assortment.specs])
    cells = topic[scene.people.cell_category[who]]
    return np.where(cells[:, 0] >= 0, cells[:, 0], cells.max(axis=1))


def group_ids(group: Ints) -> pl.Series:
    """Return group ids from positions."""
    return "G" + pl.Series(group + 1).cast(pl.String).str.zfill(5)


def record_lost(scene: Scene, state: State, day: int, recorder: Recorder) -> None:
    """Record the friendships that ended today.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    recorder : Recorder
    """
    who = np.flatnonzero(np.floor(state.blocked) == day)
    if not len(who):
        return
    friends = who[np.isfinite(state.friend_since[who])]
    frame = pl.DataFrame(
        {
            "customer_id": scene.customer_ids.gather(friends),
            "clerk_id": scene.clerk_ids.gather(scene.people.clerk[friends]),
            "since": scene.timestamps(state.friend_since[friends]),
            "ended_at": scene.timestamps(state.blocked[friends]),
        }
    ).with_columns(pl.lit("customer").alias("ended_by"))
    recorder.add("friendships", frame)
    add_versions(scene, state, who, state.blocked[who], recorder)


def attribute(
    scene: Scene, state: State, lines: Purchases, orders: pl.DataFrame, recorder: Recorder
) -> None:
    """Record `purchased` responses: bought within three days of a contact that was felt.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: which contacts have been answered by a purchase.
    lines : Purchases
        What was bought today.
    orders : polars.DataFrame
        The rows of `lines`, in the same order.
    recorder : Recorder
    """
    day = state.day
    who, first = np.unique(lines.customer, return_index=True)
    felt = np.zeros(scene.people.count, dtype=bool)
    felt[lines.customer[lines.boosted]] = True
    near = felt[who] & (day - state.contact_day[who] <= 3)
    near &= state.attributed[who] < state.contact_day[who]
    who, first = who[near], first[near]
    if not len(who):
        return
    ids = last_interaction(scene, state, who)
    local = orders["ts"].dt.convert_time_zone(scene.config.time_zone)
    hour = (local.dt.hour().cast(pl.Float64) + local.dt.minute() / 60).to_numpy()[first]
    when = day + np.minimum(hour + 0.02, 23.99) / 24
    kind = np.full(len(who), PURCHASED)
    add_responses(scene, Answers(kind, ids, who, scene.people.clerk[who], when), recorder)
    state.attributed[who] = state.contact_day[who]


def last_interaction(scene: Scene, state: State, who: Ints) -> pl.Series:
    """Return the ids of the latest interactions of some customers who had one."""
    days = pl.Series(state.contact_day[who].astype(np.int64)).cast(pl.String).str.zfill(5)
    ordinal = pl.Series(state.contact_ordinal[who]).cast(pl.String)
    return "I" + days + "-" + scene.customer_ids.gather(who) + "-" + ordinal


def visits(scene: Scene, state: State, recorder: Recorder) -> None:
    """Record the visits of customers whom a contact made curious: they follow its link again."""
    today = (state.visit_day == state.day) & np.isfinite(state.contact_day)
    who = np.flatnonzero(today)
    hour = 9.5 + 12.0 * scene.streams.uniform("visit_hour", who, day=state.day)
    kind = np.full(len(who), len(RESPONSE_KINDS) - 1)
    ids = last_interaction(scene, state, who)
    clerk = scene.people.clerk[who]
    add_responses(scene, Answers(kind, ids, who, clerk, state.day + hour / 24), recorder)


def service_cases(
    scene: Scene, state: State, day: int, lines: Purchases, recorder: Recorder
) -> None:
    """Some purchases lead to a question, an after-sale case or a complaint, closed in days.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    lines : Purchases
        What was bought today.
    recorder : Recorder
    """
    who = np.unique(lines.customer)
    draw = scene.streams.uniform("case", who, day=day)
    hit = draw < 0.02
    who, draw = who[hit], draw[hit]
    kind = np.where(draw < 0.003, "complaint", np.where(draw < 0.011, "after_sale", "question"))
    _open_cases(scene, state, recorder, who=who, kinds=kind.tolist(), source=0)


def contact_complaints(scene: Scene, state: State, day: int, recorder: Recorder) -> None:
    """A complaint about a contact opens a case.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    recorder : Recorder
    """
    who = np.flatnonzero(state.case_until == day + 3)
    _open_cases(scene, state, recorder, who=who, kinds=["complaint"] * len(who), source=1)


def _open_cases(
    scene: Scene, state: State, recorder: Recorder, *, who: Ints, kinds: list[str], source: int
) -> None:
    if not len(who):
        return
    day = state.day
    length = 1 + (5 * scene.streams.uniform("case_days", who, day=day)).astype(np.int64)
    state.case_until[who] = np.maximum(state.case_until[who], day + length + 0.5)
    frame = pl.DataFrame(
        {
            "case_id": f"Q{day:05d}-" + scene.customer_ids.gather(who) + f"-{source}",
            "customer_id": scene.customer_ids.gather(who),
            "kind": pl.Series(kinds, dtype=pl.String),
            "opened_at": scene.timestamps(np.full(len(who), day + 23.0 / 24)),
        }
    )
    recorder.add("service_cases", frame)
    closing = frame.with_columns(scene.timestamps(day + length + 11.0 / 24).alias("closed_at"))
    for days in np.unique(length):
        part = closing.filter(pl.Series(length == days))
        state.closings.setdefault(int(day + days), []).append(part)


def close_cases(state: State, day: int, recorder: Recorder) -> None:
    """Record the cases that are closed today (the open row again, now with its end)."""
    for part in state.closings.pop(day, []):
        recorder.add("service_cases", part)


def benefits(scene: Scene, state: State, day: int, lines: Purchases, recorder: Recorder) -> None:
    """Coupons come to some members each month; a purchase may use one.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: who holds a coupon.
    day : int
        Days since the start.
    lines : Purchases
        What was bought today.
    recorder : Recorder
    """
    who = np.arange(scene.people.count)
    date = scene.config.start + timedelta(days=day)
    if date.day == 1:
        draw = scene.streams.uniform("coupon", who, day=day)
        given = who[(draw < 0.12) & (scene.people.joined < day) & (state.visits > 0)]
        state.coupon_day[given] = day
        recorder.add("benefits", _coupons(scene, state, given))
    buyers = np.unique(lines.customer)
    holds = buyers[day - state.coupon_day[buyers] < 30]
    used = holds[scene.streams.uniform("coupon_use", holds, day=day) < 0.4]
    if len(used):
        when = scene.timestamps(np.full(len(used), day + 23.5 / 24))
        recorder.add("benefits", _coupons(scene, state, used).with_columns(when.alias("used_at")))
        state.coupon_day[used] = -np.inf


def _coupons(scene: Scene, state: State, who: Ints) -> pl.DataFrame:
    issued = state.coupon_day[who].astype(np.int64)
    kind = np.where(who % 4 == 0, "points", "coupon")
    return pl.DataFrame(
        {
            "benefit_id": "B"
            + pl.Series(issued).cast(pl.String).str.zfill(5)
            + "-"
            + scene.customer_ids.gather(who),
            "customer_id": scene.customer_ids.gather(who),
            "kind": pl.Series(kind.tolist(), dtype=pl.String),
            "amount": COUPON_AMOUNTS[who % 3],
            "expires_at": scene.timestamps(issued + 30.0),
        }
    )


def clerk_tags(scene: Scene, day: int, lines: Purchases, recorder: Recorder) -> None:
    """Clerks tag now and then what a buyer likes, and are wrong one time in seven.

    Parameters
    ----------
    scene : Scene
    day : int
        Days since the start.
    lines : Purchases
        What was bought today.
    recorder : Recorder
    """
    who, first = np.unique(lines.customer, return_index=True)
    noted = scene.streams.uniform("tag", who, day=day) < 0.03
    who, cell = who[noted], lines.cell[first[noted]]
    if not len(who):
        return
    wrong = scene.streams.uniform("tag_wrong", who, day=day) < 1 / 7
    right = scene.people.cell_category.reshape(-1)[cell]
    other = (scene.streams.uniform("tag_other", who, day=day) * len(scene.assortment.specs)).astype(
        np.int64
    )
    liked = [_liked(spec.name) for spec in scene.assortment.specs]
    names = pl.Series(liked, dtype=pl.String)
    when = scene.timestamps(np.full(len(who), day + 22.5 / 24))
    recorder.add(
        "tags",
        pl.DataFrame(
            {
                "customer_id": scene.customer_ids.gather(who),
                "tag": names.gather(np.where(wrong, other, right)),
                "ts": when,
            }
        ).with_columns(pl.lit("clerk").alias("source")),
    )


def _liked(category: str) -> str:
    """Return what a clerk writes down who notes that somebody likes a category, `手袋 Handbags`."""
    zh, _, en = category.partition(" ")
    return f"喜欢{zh}{BETWEEN}likes {en}"


def calendar_rows(scene: Scene, state: State, day: int, recorder: Recorder) -> None:
    """Record what the shop plans: absences a day ahead of time, stock.

    Parameters
    ----------
    scene : Scene
    state : State
    day : int
        Days since the start.
    recorder : Recorder
    """
    for ahead in range(LEAVE_KNOWN + 1) if day == 0 else (LEAVE_KNOWN,):
        _absences(scene, day + ahead, recorder)
    if day % 30 == 0 or (np.floor(scene.assortment.launched) == day).any():
        recorder.add("stock", _stock(scene, day))
    _attend(scene, state, day, recorder)


def _absences(scene: Scene, day: int, recorder: Recorder) -> None:
    absent = np.flatnonzero(absent_on(scene, day))
    if len(absent):
        date = scene.config.start + timedelta(days=day)
        rows = pl.DataFrame({"clerk_id": scene.clerk_ids.gather(absent)})
        recorder.add("absences", rows.with_columns(pl.lit(date).alias("date")))


def _stock(scene: Scene, day: int) -> pl.DataFrame:
    """Return the stock of all goods at the start of a 30-day period, of new goods at launch."""
    launched = np.floor(scene.assortment.launched)
    goods = np.flatnonzero((launched <= day) if day % 30 == 0 else (launched == day))
    product = np.repeat(goods, scene.shops.stores)
    store = np.tile(np.arange(scene.shops.stores), len(goods))
    draw = stock_draw(scene, product, store, day // 30)
    on_hand = np.where(draw > 0.03, np.floor(3 + 40 * (draw - 0.03)), 0.0)
    return pl.DataFrame(
        {
            "product_id": scene.product_ids.gather(product),
            "store_id": scene.store_ids.gather(store),
            "ts": scene.timestamps(np.full(len(product), float(day))),
            "on_hand": on_hand,
        }
    )


def event_day(scene: Scene, store: Ints, month: int) -> Ints:
    """Return the day of a store's event in a 30-day period."""
    draw = scene.streams.uniform("event", store, day=month)
    return 30 * month + 8 + (20 * draw).astype(np.int64)


def _attend(scene: Scene, state: State, day: int, recorder: Recorder) -> None:
    """Members who were contacted lately may attend their store's event."""
    people = scene.people
    month = day // 30
    today = event_day(scene, np.arange(scene.shops.stores), month) == day
    who = np.flatnonzero(today[people.store] & (state.group >= 0) & state.friend)
    warm = np.where(state.boost[who].max(axis=1) > 0.02, 0.25, 0.03) if len(who) else who
    who = who[scene.streams.uniform("attend", who, day=day) < warm]
    if not len(who):
        return
    ids = "E" + pl.Series(np.full(len(who), month)).cast(pl.String).str.zfill(3)
    ids = ids + "-" + scene.store_ids.gather(people.store[who])
    frame = pl.DataFrame(
        {
            "response_id": f"VE{day:05d}-" + scene.customer_ids.gather(who),
            "customer_id": scene.customer_ids.gather(who),
            "clerk_id": scene.clerk_ids.gather(people.clerk[who]),
            "event_id": ids,
            "ts": scene.timestamps(np.full(len(who), day + 14.5 / 24)),
        }
    ).with_columns(pl.lit("attended").alias("kind"))
    recorder.add("responses", frame)
