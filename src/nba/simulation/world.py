"""The world: a year of history, and one day at a time for the closed loop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from nba.arrays import Bools
from nba.errors import UsageError
from nba.simulation.actions import carry_out, read_plan
from nba.simulation.catalogue import day_rows, opening_rows
from nba.simulation.config import WorldConfig
from nba.simulation.contact import act, decay
from nba.simulation.demand import buy, record_purchases, take_returns, walk_ins
from nba.simulation.effects import effects_of, true_effect
from nba.simulation.habits import NONE, habitual_contacts, pilot_contacts
from nba.simulation.life import (
    arrivals,
    attribute,
    benefits,
    calendar_rows,
    clerk_tags,
    close_cases,
    contact_complaints,
    customer_rows,
    join_groups,
    record_lost,
    service_cases,
    visits,
)
from nba.simulation.lookup import positions
from nba.simulation.messages import Contacts, join
from nba.simulation.responses import record_left_alone
from nba.simulation.scene import Scene, State, build_scene, first_state
from nba.simulation.tables import Recorder, TableWriter
from nba.simulation.truth import cell_truth, customer_truth


@dataclass(frozen=True)
class DayOutcome:
    """What a day brought.

    Parameters
    ----------
    day : int
        Days since the first day of the history.
    date : date
    tables : dict of DataFrame
        Increments in canonical form, ready to ingest. Keys of transactions, interactions,
        responses and feedback never repeat; a friendship, benefit or service case that ends
        comes again under its key, with its end.
    margin : float
        Gross margin of the day's sales to known customers, returns deducted.
    contacts : int
        Contacts that reached a customer.
    minutes : float
        Clerk minutes that they took.
    blocks : int
        Friends lost.
    truth : DataFrame
        What is true about each contact; never to be shown to an engine.
    """

    day: int
    date: dt.date
    tables: dict[str, pl.DataFrame]
    margin: float
    contacts: int
    minutes: float
    blocks: int
    truth: pl.DataFrame


class World:
    """A retail world that can be stepped day by day.

    Parameters
    ----------
    config : WorldConfig

    Notes
    -----
    Two worlds of the same configuration that are given different plans share every random
    draw: they differ only by what the contacts change. The truth (`scene`, `state`,
    `true_effect`) is for oracles and tests; an engine reads nothing but the tables.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.scene: Scene = build_scene(config)
        self.state: State = first_state(self.scene)
        self._pending = Recorder()
        opening_rows(self.scene, self._pending)
        self._record_opening()

    def _record_opening(self) -> None:
        scene, state = self.scene, self.state
        people = scene.people
        who = np.flatnonzero(people.joined < 0)
        self._pending.add("customers", customer_rows(scene, state, who, np.zeros(len(who))))
        friends = who[state.friend[who]]
        self._pending.add(
            "friendships",
            pl.DataFrame(
                {
                    "customer_id": scene.customer_ids.gather(friends),
                    "clerk_id": scene.clerk_ids.gather(people.clerk[friends]),
                    "since": scene.timestamps(state.friend_since[friends]),
                }
            ),
        )
        join_groups(scene, state, -1, friends, self._pending)

    @property
    def day(self) -> int:
        """The day that the next step plays, counted from the start."""
        return self.state.day

    @property
    def date(self) -> dt.date:
        """The date that the next step plays."""
        return self.config.start + dt.timedelta(days=self.state.day)

    def day_of(self, when: dt.date) -> int:
        """Return the day number of a date."""
        return (when - self.config.start).days

    def copy(self) -> World:
        """Return an independent world in the same state, for a counterfactual."""
        twin = object.__new__(World)
        twin.config, twin.scene = self.config, self.scene
        twin.state = self.state.copy()
        twin._pending = self._pending.copy()
        return twin

    def step(
        self,
        day: int | dt.date,
        actions: pl.DataFrame | None = None,
        *,
        habitual: bool | Sequence[str] = False,
    ) -> DayOutcome:
        """Play one day.

        Parameters
        ----------
        day : int or date
            Must be the day at which the world stands.
        actions : DataFrame or None
            The plan, with the columns of `nba actions export`; rows of mode `none` are
            customers left alone. None: no plan.
        habitual : bool or sequence of customer ids
            Whom the clerks also contact by their own habit: everybody, nobody, or these
            (the business-as-usual arm).

        Raises
        ------
        UsageError
            Where the day is another one, or the plan names what the world does not have.
        """
        number = day if isinstance(day, int) else self.day_of(day)
        self._at(number)
        self._begin()
        return self._play(self._contacts(number, actions, self._allowed(habitual)))

    def step_with(self, made: Contacts | None) -> DayOutcome:
        """Play one day with given contacts, every one of which is carried out (for studies)."""
        self._begin()
        return self._play(made)

    def _begin(self) -> None:
        scene, state, recorder, day = self.scene, self.state, self._pending, self.state.day
        arrivals(scene, state, day, recorder)
        day_rows(scene, day, recorder)
        calendar_rows(scene, state, day, recorder)
        close_cases(state, day, recorder)

    def _pass_day(self, *, habitual: bool) -> pl.DataFrame:
        """Play a day of the history; its rows stay in the recorder. Return the contacts' truth."""
        self._begin()
        return self._live(self._contacts(self.state.day, None, self._allowed(habitual)))

    def _live(self, made: Contacts | None) -> pl.DataFrame:
        scene, state, recorder, day = self.scene, self.state, self._pending, self.state.day
        truth = act(scene, state, made, recorder).frame() if made else pl.DataFrame()
        contact_complaints(scene, state, day, recorder)
        self._sell(day, recorder)
        record_lost(scene, state, day, recorder)
        decay(state)
        state.day += 1
        return truth

    def _play(self, made: Contacts | None) -> DayOutcome:
        state, recorder, day = self.state, self._pending, self.state.day
        before = float(state.margin.sum())
        truth = self._live(made)
        blocks = int((np.floor(state.blocked) == day).sum())
        return DayOutcome(
            day=day,
            date=self.config.start + dt.timedelta(days=day),
            tables=recorder.take(),
            margin=float(state.margin.sum()) - before,
            contacts=len(made) if made else 0,
            minutes=float(made.minutes.sum()) if made else 0.0,
            blocks=blocks,
            truth=truth,
        )

    def _allowed(self, habitual: bool | Sequence[str]) -> Bools:
        allowed = np.zeros(self.scene.people.count, dtype=bool)
        if habitual is True:
            allowed[:] = True
        elif habitual is not False:
            ids = pl.Series(list(habitual), dtype=pl.String)
            allowed[positions(ids, self.scene.customer_ids, "customer")] = True
        return allowed

    def _contacts(self, day: int, actions: pl.DataFrame | None, allowed: Bools) -> Contacts | None:
        scene, state, recorder = self.scene, self.state, self._pending
        parts: list[Contacts] = []
        if actions is not None and actions.height:
            plan = read_plan(scene, day, actions)
            sent = carry_out(scene, state, day, plan, recorder) if plan else None
            parts += [sent] if sent else []
        if allowed.any():
            parts += habitual_contacts(scene, state, day, allowed)
            pilot = pilot_contacts(scene, state, day)
            if pilot is not None:
                record_left_alone(scene, day, pilot.take(pilot.mode == NONE), recorder)
                parts.append(pilot.take(pilot.mode != NONE))
        parts = [part for part in parts if len(part)]
        return join(parts) if parts else None

    def _sell(self, day: int, recorder: Recorder) -> None:
        scene, state = self.scene, self.state
        lines = buy(scene, state, day)
        orders = record_purchases(scene, state, day, lines)
        recorder.add("transactions", orders)
        recorder.add("transactions", take_returns(scene, state, day))
        recorder.add("transactions", walk_ins(scene, day))
        visits(scene, state, recorder)
        attribute(scene, state, lines, orders, recorder)
        service_cases(scene, state, day, lines, recorder)
        benefits(scene, state, day, lines, recorder)
        clerk_tags(scene, day, lines, recorder)

    def true_effect(
        self,
        day: int,
        customers: Sequence[str] | pl.Series,
        mode: str | Sequence[str],
        products: pl.Series | None = None,
    ) -> pl.DataFrame:
        """Return the expected incremental margin of one contact today; see `effects`.

        Parameters
        ----------
        day : int
            Days since the start; only today can be asked about.
        customers : sequence of str or polars.Series
            Ids.
        mode : str or sequence of str
            One for all, or one per customer.
        products : polars.Series, optional
            A list of product ids per customer; by default what fits each best.
        """
        self._at(day)
        return true_effect(self.scene, self.state, customers, mode, products)

    def true_effect_of(self, actions: pl.DataFrame) -> pl.DataFrame:
        """Return the expected incremental margin of each action of a plan, were it carried out.

        As `true_effect`, at the action's own channel, hour and clerk; rows of mode `none` are
        left out. Columns: action_id, customer_id, and those of `effects.contact_value`.
        """
        plan = read_plan(self.scene, self.day, actions)
        if plan is None:
            return pl.DataFrame()
        valued = effects_of(self.scene, self.state, plan.made)
        return plan.frame.select("action_id", "customer_id").hstack(valued)

    def _at(self, day: int) -> None:
        if day != self.state.day:
            raise UsageError(
                "the world plays its days in order",
                expected=f"day {self.state.day} ({self.date})",
                found=f"day {day}",
                next_step="step each day once",
            )


def simulate(config: WorldConfig, folder: Path, folder_truth: Path | None = None) -> World:
    """Play the history and write its tables.

    Parameters
    ----------
    config : WorldConfig
    folder : Path
        Receives one Parquet file per table of the data contract.
    folder_truth : Path or None
        Receives the truth; by default a folder beside `folder`, with `_truth` added.

    Returns
    -------
    World
        Standing at the first day after the history.
    """
    world = World(config)
    truth_folder = folder_truth or folder.with_name(folder.name + "_truth")
    truth_folder.mkdir(parents=True, exist_ok=True)
    writer = TableWriter(folder)
    collected = Recorder()
    contacts: list[pl.DataFrame] = []
    for day in range(config.days):
        contacts.append(world._pass_day(habitual=config.habits))
        if day % 30 == 29 or day == config.days - 1:
            for name, frame in world._pending.take().items():
                collected.add(name, frame)
            _flush(writer, collected, keep=day < config.days - 1)
    writer.close()
    _write_truth(world, contacts, truth_folder)
    return world


#: Tables whose rows may come again with their end: written at the end, the last one standing.
_UPDATED = {
    "friendships": ("customer_id", "clerk_id", "since"),
    "benefits": ("benefit_id",),
    "service_cases": ("case_id",),
}


def _flush(writer: TableWriter, collected: Recorder, *, keep: bool) -> None:
    tables = collected.take()
    for name, key in _UPDATED.items():
        if name in tables and keep:
            collected.add(name, tables.pop(name))
        elif name in tables:
            tables[name] = tables[name].unique(key, keep="last", maintain_order=True)
    writer.write(tables)


def _write_truth(world: World, contacts: list[pl.DataFrame], folder: Path) -> None:
    (folder / "config.json").write_text(world.config.model_dump_json(indent=2) + "\n")
    customer_truth(world.scene).write_parquet(folder / "customers.parquet")
    cell_truth(world.scene).write_parquet(folder / "cells.parquet")
    filled = [part for part in contacts if part.height]
    if filled:
        pl.concat(filled).write_parquet(folder / "contacts.parquet")
