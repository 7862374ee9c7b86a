"""What customers buy: needs by personal rhythm, met here or elsewhere.

A cell is one category of one customer. A need arises with a Weibull hazard in the time
since the last one, times season, weekday and the customer's level of demand. The customer
meets it here with the probability `capture`, else at a competitor; either way the clock
starts again. A contact raises the hazard (an impulse, part of it only pulled forward) and
the capture (a purchase that would have gone elsewhere).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.simulation.config import CELLS, HAZARD_SHARE, LINE_TWO, MOVED
from nba.simulation.scene import TIER_WEIGHT, Scene, State

JOINT_TRIP = 0.22
"""Chance that a due category joins a trip made for another one."""
RAMP_DAYS = 4.0
"""Width of the rise of a customer's demand."""
_WEEKDAYS = np.array([0.86, 0.84, 0.86, 0.9, 1.04, 1.26, 1.24])
_FESTIVALS = ((315, 12, 1.7), (169, 8, 1.4), (25, 14, 1.35))  # Double 11, 618, before New Year


def level(scene: Scene, day: int) -> Floats:
    """Return each customer's level of demand: 0 before joining and after dropping out."""
    people = scene.people
    ramp = 1 / (1 + np.exp(np.clip((people.onset - day) / RAMP_DAYS, -50, 50)))
    active = (people.joined < day + 1) & (people.dropout > day)
    result: Floats = np.where(active, people.before + (1 - people.before) * ramp, 0.0)
    return result


def tier_now(scene: Scene, day: int) -> Floats:
    """Return each customer's price tier of the day."""
    people = scene.people
    ramp = 1 / (1 + np.exp(np.clip((people.onset - day) / RAMP_DAYS, -50, 50)))
    result: Floats = people.tier - people.tier_before * (1 - ramp)
    return result


def calendar(scene: Scene, day: int) -> Floats:
    """Return the multiplier of the day for each category: season, weekday, festival."""
    ordinal = scene.config.start.toordinal() + day
    year_day = (ordinal - 1) % 365.2425
    goods = scene.assortment
    season = 1 + goods.season * np.cos(2 * np.pi * (year_day - goods.peak) / 365.2425)
    result: Floats = season * _WEEKDAYS[(ordinal - 1) % 7] * festival_height(scene, day)
    return result


def festival_height(scene: Scene, day: int) -> float:
    """Return the multiplier of demand by the festivals of the year, 1 on ordinary days."""
    year_day = (scene.config.start.toordinal() + day - 1) % 365.2425
    festival = 1.0
    for peak, width, height in _FESTIVALS:
        if 0 <= peak - year_day < width:
            festival = height
    return festival


def need_hazard(scene: Scene, last: Floats, at: float, rows: Ints | slice = slice(None)) -> Floats:
    """Return the daily hazard of a need at a time, for cells last met at `last`.

    Parameters
    ----------
    scene : Scene
    last : array of float
        Shape (customers, 4): days since the start.
    at : float
        Days since the start.
    rows : array of int or slice
        The customers of `last`.
    """
    people = scene.people
    shape, scale = people.cell_shape[rows], people.cell_scale[rows]
    x = (at - last) / scale
    rate = shape / scale * np.minimum(np.maximum(x, 1e-12), 2.0) ** (shape - 1)
    result: Floats = np.where(x > 0, rate, 0.0)
    return result


def capture_rate(base: Floats, boost: Floats) -> Floats:
    """Return the share of needs met here under a boost."""
    gain = base + (1 - base) * -np.expm1(-np.maximum(boost, 0))
    result: Floats = np.where(boost >= 0, gain, base * np.exp(np.minimum(boost, 0)))
    return result


def base_capture(scene: Scene, state: State, rows: Ints | slice = slice(None)) -> Floats:
    """Return each customer's share of needs met here without any contact."""
    lost = np.isfinite(state.blocked[rows])
    result: Floats = scene.people.capture[rows] * np.where(lost, 1 - scene.family.demand_loss, 1.0)
    return result


@dataclass(frozen=True)
class Purchases:
    """The day's purchases: one entry per line, by customer, cell and product."""

    customer: Ints
    cell: Ints
    line: Ints
    product: Ints
    quantity: Floats
    discount: Floats
    boosted: Bools


def buy(scene: Scene, state: State, day: int) -> Purchases:
    """Draw the day's needs and purchases, and set the clocks of the cells."""
    cell, pulled = _needs(scene, state, day)
    people = scene.people
    last = state.last.reshape(-1)
    age = np.maximum(day + 0.5 - last[cell], 0)
    gap = people.cell_gap.reshape(-1)[cell]
    captured = cell[_captured(scene, state, day, cell)]
    last[cell] = day + 0.5 + np.where(pulled, np.maximum(gap - age, 0), 0.0)
    joined = _joint(scene, state, day, np.unique(captured // CELLS), cell)
    last[joined] = day + 0.5
    own = np.concatenate([_without_owed(state, captured), joined])
    induced = _induced(scene, state, own)
    bought = np.sort(np.concatenate([own, induced]))
    state.last_order.reshape(-1)[bought] = day + 0.5
    return _lines(scene, state, day, bought, induced)


def _without_owed(state: State, cell: Ints) -> Ints:
    """Leave out orders that a contact has brought forward."""
    owed = state.owed.reshape(-1)
    brought_forward = owed[cell] > 0
    owed[cell[brought_forward]] -= 1
    return cell[~brought_forward]


def _induced(scene: Scene, state: State, taken: Ints) -> Ints:
    """Return the cells in which a contact leads to an order today.

    One whose cell has another order today waits for the next day; a customer who is gone
    places none.
    """
    if not scene.family.orders:
        return np.empty(0, dtype=np.int64)
    due = state.order_day.reshape(-1)
    cell = np.setdiff1d(np.flatnonzero(due <= state.day), taken)
    due[cell] = np.inf
    cell = cell[level(scene, state.day)[cell // CELLS] > 0]
    state.owed.reshape(-1)[cell] += scene.family.swallows
    return cell


def _needs(scene: Scene, state: State, day: int) -> tuple[Ints, Bools]:
    people, streams = scene.people, scene.streams
    hazard = need_hazard(scene, state.last, day + 0.5)
    hazard *= level(scene, day)[:, None] * calendar(scene, day)[people.cell_category]
    impulse = np.exp(HAZARD_SHARE * state.boost)
    draw = streams.uniform("need", np.arange(hazard.size), day=day).reshape(hazard.shape)
    need = draw < -np.expm1(-hazard * impulse)
    arrived = np.flatnonzero(np.floor(people.joined) == day)
    need[arrived, np.argmin(people.cell_gap[arrived], axis=1)] = True
    cell = np.flatnonzero(need)
    induced = 1 - 1 / np.maximum(impulse.reshape(-1)[cell], 1.0)
    chance = induced * people.pulled_share[cell // CELLS]
    return cell, streams.uniform("pulled", cell, day=day) < chance


def _captured(scene: Scene, state: State, day: int, cell: Ints) -> Bools:
    customer = cell // CELLS
    base = base_capture(scene, state, customer)
    rate = capture_rate(base, state.boost.reshape(-1)[cell])
    first = np.floor(scene.people.joined[customer]) == day
    captured: Bools = (scene.streams.uniform("capture", cell, day=day) < rate) | first
    return captured


def _joint(scene: Scene, state: State, day: int, visitors: Ints, needed: Ints) -> Ints:
    people = scene.people
    cells = (visitors[:, None] * CELLS + np.arange(CELLS)).reshape(-1)
    cells = np.setdiff1d(cells, needed, assume_unique=True)
    due = (day + 0.5 - state.last.reshape(-1)[cells]) / people.cell_gap.reshape(-1)[cells]
    chance = JOINT_TRIP * np.clip(due, 0, 1) ** 2
    joins: Ints = cells[scene.streams.uniform("joint", cells, day=day) < chance]
    return joins


def choice_logits(scene: Scene, customer: Ints, category: Ints, tier: Floats) -> Floats:
    """Return the appeal of each product slot of a category, rows × slots.

    Parameters
    ----------
    scene : Scene
    customer, category : arrays of int
        Shape (rows,), positions.
    tier : array of float
        Shape (rows,): the price tier that the customer looks for.
    """
    goods = scene.assortment
    slots = category[:, None] * goods.slots + np.arange(goods.slots)
    taste = np.einsum("nd,nsd->ns", scene.people.taste[customer], goods.style[slots])
    logits: Floats = (
        0.6 * taste
        + goods.popularity[slots]
        - TIER_WEIGHT * (goods.tier[slots] - tier[:, None]) ** 2
    )
    return logits


def available(scene: Scene, product: Ints, store: Ints, day: int) -> Bools:
    """Whether a product is on sale and in stock in a store; stock changes each 30 days.

    Parameters
    ----------
    scene : Scene
    product, store : arrays of int
        Positions, of shapes that broadcast.
    day : int
        Days since the start.
    """
    goods = scene.assortment
    on_sale = (goods.launched[product] <= day) & (goods.retired[product] > day)
    result: Bools = on_sale & (stock_draw(scene, product, store, day // 30) > 0.03)
    return result


def stock_draw(scene: Scene, product: Ints, store: Ints, period: int) -> Floats:
    """Return the draw that decides the stock of a product in a store in a 30-day period.

    Parameters
    ----------
    scene : Scene
    product, store : arrays of int
        Positions, of shapes that broadcast.
    period : int
        30-day periods since the start.
    """
    return scene.streams.uniform("stock", product * 10_007 + store, day=period)


def _lines(scene: Scene, state: State, day: int, cell: Ints, induced: Ints) -> Purchases:
    people, goods, streams = scene.people, scene.assortment, scene.streams
    two = streams.uniform("two", cell, day=day) < LINE_TWO
    flat = np.repeat(cell, 1 + two)
    line = np.concatenate([[0], np.where(flat[1:] == flat[:-1], 1, 0)])[: len(flat)]
    customer, key = flat // CELLS, flat * 2 + line
    category = people.cell_category.reshape(-1)[flat]
    tier = tier_now(scene, day)[customer] + state.boost_tier.reshape(-1)[flat]
    logits = choice_logits(scene, customer, category, tier)
    slots = category[:, None] * goods.slots + np.arange(goods.slots)
    noise = streams.gumbel("choice", (key[:, None] * goods.slots + np.arange(goods.slots)).ravel(),
                           day=day).reshape(slots.shape)  # fmt: skip
    open_ = available(scene, slots, people.store[customer][:, None], day)
    product = slots[np.arange(len(flat)), np.argmax(np.where(open_, logits + noise, -1e9), axis=1)]
    product = _known_product(scene, state, flat, line, product)
    product = _brought_product(scene, state, flat, (line == 0) & np.isin(flat, induced), product)
    state.favourite.reshape(-1)[flat[line == 0]] = product[line == 0]
    pieces = _pieces(scene, key, product, day)
    return Purchases(
        customer=customer,
        cell=flat,
        line=line,
        product=product,
        quantity=pieces,
        discount=_discount(scene, key, customer, product, day) * pieces,
        boosted=(state.boost.reshape(-1)[flat] > 0.02) | np.isin(flat, induced),
    )


def _known_product(scene: Scene, state: State, flat: Ints, line: Ints, product: Ints) -> Ints:
    """Replace the choice by the product brought by a contact, or by the habitual one."""
    people, streams, day = scene.people, scene.streams, state.day
    store = people.store[flat // CELLS]
    favourite = state.favourite.reshape(-1)[flat]
    habit = streams.uniform("repeat", flat, day=day) < people.repeat[flat // CELLS]
    same = habit & (favourite >= 0) & (line == 0) & available(scene, favourite, store, day)
    brought = state.brought.reshape(-1)[flat]
    moved = (state.boost.reshape(-1)[flat] > 0.1) & (brought >= 0) & (line == 0)
    moved &= (streams.uniform("moved", flat, day=day) < MOVED) & available(
        scene, brought, store, day
    )
    result: Ints = np.where(moved, brought, np.where(same, favourite, product))
    return result


def _brought_product(scene: Scene, state: State, flat: Ints, induced: Bools, product: Ints) -> Ints:
    """Replace the choice of an order that a contact led to by the product that it brought."""
    if scene.family.swallows or not induced.any():
        return product
    brought = state.order_product.reshape(-1)[flat]
    moved = induced & (brought >= 0)
    moved &= scene.streams.uniform("moved", flat, day=state.day) < MOVED
    moved &= available(scene, brought, scene.people.store[flat // CELLS], state.day)
    result: Ints = np.where(moved, brought, product)
    return result


def _pieces(scene: Scene, key: Ints, product: Ints, day: int) -> Floats:
    goods = scene.assortment
    draw = scene.streams.uniform("pieces", key, day=day)
    several = goods.replenishable[goods.category[product]]
    many = 1.0 + (draw > 0.6) + (draw > 0.85)
    few = 1.0 + (draw > 0.92)
    pieces: Floats = np.where(goods.price[product] > 1500, 1.0, np.where(several, many, few))
    return pieces


def _discount(scene: Scene, key: Ints, customer: Ints, product: Ints, day: int) -> Floats:
    draw = scene.streams.uniform("discount_draw", key, day=day)
    chance = scene.people.discount_share[customer]
    depth = np.select([draw < chance * 0.5, draw < chance * 0.85, draw < chance], [0.1, 0.2, 0.3])
    discount: Floats = np.round(scene.assortment.price[product] * depth, 2)
    return discount


def record_purchases(scene: Scene, state: State, day: int, lines: Purchases) -> pl.DataFrame:
    """Book the purchases in the state and return them as `transactions` rows.

    Parameters
    ----------
    scene : Scene
    state : State
        Changed: spend, margin and visits.
    day : int
        Days since the start.
    lines : Purchases
    """
    people, goods, streams = scene.people, scene.assortment, scene.streams
    who = lines.customer
    amount = goods.price[lines.product] * lines.quantity - lines.discount
    np.add.at(state.spend, who, amount)
    np.add.at(state.margin, who, amount - goods.cost[lines.product] * lines.quantity)
    visitors = np.unique(who)
    state.last_visit[visitors] = day
    state.visits[visitors] += 1
    hour = np.clip(people.peak_hour[who] + 1.5 * streams.normal("hour", who, day=day), 9.2, 21.9)
    today = (state.contact_day[who] == day) & (not scene.family.inert)
    hour = np.where(today, np.minimum(np.maximum(hour, state.contact_hour[who] + 0.1), 23.9), hour)
    draw = streams.uniform("sales_channel", who, day=day)
    channel = np.where(draw < people.mini_program_share[who], "mini_program",
                       np.where(draw > 0.97, "web", "store"))  # fmt: skip
    customer = scene.customer_ids.gather(who)
    frame = pl.DataFrame(
        {
            "order_id": f"O{day:05d}-" + customer,
            "line_no": pl.Series(lines.cell % CELLS * 2 + lines.line + 1).cast(pl.String),
            "customer_id": customer,
            "product_id": scene.product_ids.gather(lines.product),
            "ts": scene.timestamps(day + hour / 24),
            "quantity": lines.quantity,
            "unit_price": goods.price[lines.product],
            "discount": lines.discount,
            "channel": pl.Series(channel.tolist(), dtype=pl.String),
            "clerk_id": scene.clerk_ids.gather(people.clerk[who]),
            "store_id": scene.store_ids.gather(people.store[who]),
        }
    ).with_columns(pl.when(pl.col("channel") == "store").then("clerk_id").alias("clerk_id"))
    _plan_returns(scene, state, day, lines, frame)
    return frame


def _plan_returns(
    scene: Scene, state: State, day: int, lines: Purchases, frame: pl.DataFrame
) -> None:
    """Decide which lines come back, and on which day."""
    rate = scene.assortment.return_rate[scene.assortment.category[lines.product]]
    key = lines.cell * 2 + lines.line
    back = np.flatnonzero(scene.streams.uniform("return", key, day=day) < rate)
    after = 3 + (12 * scene.streams.uniform("return_day", key[back], day=day)).astype(np.int64)
    rows = frame[back].with_columns(
        pl.Series("customer", lines.customer[back]), pl.Series("product", lines.product[back])
    )
    for days in np.unique(after):
        state.returns.setdefault(int(day + days), []).append(rows.filter(pl.Series(after == days)))


def take_returns(scene: Scene, state: State, day: int) -> pl.DataFrame:
    """Book today's returns and give them as `transactions` rows of negative quantity."""
    parts = state.returns.pop(day, [])
    if not parts:
        return pl.DataFrame()
    rows = pl.concat(parts)
    who, product = rows["customer"].to_numpy(), rows["product"].to_numpy()
    quantity, discount = rows["quantity"].to_numpy(), rows["discount"].to_numpy()
    goods = scene.assortment
    amount = goods.price[product] * quantity - discount
    np.add.at(state.margin, who, goods.cost[product] * quantity - amount)
    np.add.at(state.spend, who, -amount)
    return rows.drop("customer", "product").with_columns(
        ("R" + pl.col("order_id").str.slice(1)).alias("order_id"),
        scene.timestamps(np.full(rows.height, day + 16.0 / 24)).alias("ts"),
        -pl.col("quantity"),
        -pl.col("discount"),
        pl.lit("store").alias("channel"),
    )


def walk_ins(scene: Scene, day: int) -> pl.DataFrame:
    """Return sales to people without a membership."""
    goods, streams = scene.assortment, scene.streams
    mean = 0.004 * scene.config.customers
    spread = streams.normal("walk_in_count", np.arange(1), day=day)[0]
    count = int(max(0.0, mean + spread * mean**0.5))
    key = np.arange(count)
    product = (streams.uniform("walk_in", key, day=day) * goods.count).astype(np.int64)
    store = (streams.uniform("walk_in_store", key, day=day) * scene.shops.stores).astype(np.int64)
    keep = np.flatnonzero(available(scene, product, store, day))
    product, store = product[keep], store[keep]
    hour = 10 + 11 * streams.uniform("walk_in_hour", keep, day=day)
    return pl.DataFrame(
        {
            "order_id": f"A{day:05d}-" + pl.Series(keep).cast(pl.String),
            "line_no": pl.repeat("1", len(keep), eager=True),
            "product_id": scene.product_ids.gather(product),
            "ts": scene.timestamps(day + hour / 24),
            "quantity": np.ones(len(keep)),
            "unit_price": goods.price[product],
            "channel": pl.repeat("store", len(keep), eager=True),
            "store_id": scene.store_ids.gather(store),
        }
    )
