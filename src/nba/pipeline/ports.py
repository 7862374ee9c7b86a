"""The ports: what the use cases need from the outside, as protocols.

`nba.stores` keeps them with real systems; `nba.wiring` joins the two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

import polars as pl

from nba.data.erasure import Leaving, Tally
from nba.data.identity_keys import IdentityKey
from nba.decisions.rules import DecisionRules
from nba.models.base import Model
from nba.models.spec import ModelSpec
from nba.models.story import FitStory
from nba.models.version import ModelVersion


class Tables(Protocol):
    """The lake as one moment sees it."""

    @property
    def version(self) -> str:
        """The digest of what the lake holds."""

    def at(self, as_of: datetime | None) -> Mapping[str, Any]:
        """Return every table of the contract as visible at `as_of`, as Ibis expressions."""

    def collect(self, table: Any) -> pl.DataFrame:
        """Return an Ibis expression as a polars table."""

    def purchases(
        self,
        as_of: datetime,
        *,
        window_days: int,
        among: pl.DataFrame | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Return what was bought before `as_of`, per customer, product and day.

        Parameters
        ----------
        as_of : datetime
        window_days : int
            How far back.
        among : DataFrame, optional
            customer_id: of these customers alone.
        tables : mapping of str to ibis.Table, optional
            What `at` returned for `as_of`, where somebody has asked already.
        """


class FreshBase(Protocol):
    """What the day's features are computed from, as the night left it."""

    @property
    def as_of(self) -> datetime:
        """Naive local: the moment of its snapshot."""

    @property
    def made_at(self) -> datetime:
        """Aware: when it was made."""


class FeatureStore(Protocol):
    """Features by name: built per `as_of`, joined point-in-time, brought online."""

    def build(self, as_of: datetime, *, force: bool = False) -> Mapping[str, Any]:
        """Build every view at `as_of`; return the manifest (rows, seconds, digest per view)."""

    def ensure(self, moments: Sequence[datetime], *, views: Sequence[str]) -> Any:
        """Build views at training cut-offs where they do not stand yet."""

    def snapshot(
        self, view: str, as_of: datetime, among: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """Return one view as built at `as_of`, of all or of some customers."""

    def draw(self, as_of: datetime, most: int, *, seed: int) -> pl.DataFrame:
        """Return at most so many customers of a snapshot: customer_id, by a hash of the id."""

    def service_columns(self, service: str) -> Mapping[str, Sequence[str]]:
        """Return the views of a feature service, each with its keys and the features it names."""

    def historical(self, service: str, entities: pl.DataFrame) -> pl.DataFrame:
        """Point-in-time join of a feature service onto `entities` (keys, `event_timestamp`)."""

    def materialise(self, as_of: datetime) -> Mapping[str, bool]:
        """Bring the snapshot of `as_of` online; never sets an online value back."""

    def lost_views(self, as_of: datetime) -> Sequence[str]:
        """Return the views of a built `as_of` that are gone, though not for their age."""

    def is_online(self, as_of: datetime) -> bool:
        """Return whether the snapshot of `as_of`, or a later one, is online."""

    def base(self) -> FreshBase | None:
        """Return what the day's features are computed from, or None."""

    def prepare(self, *, now: datetime) -> None:
        """Make ready what the first refresh of the day at `now` (naive local) would wait for."""

    def refresh(
        self, day: Mapping[str, pl.DataFrame], customer_ids: Sequence[str], *, now: datetime
    ) -> None:
        """Compute the features of a few customers at `now` (naive local) and push them.

        Parameters
        ----------
        day : mapping of str to DataFrame
            What was accepted of them since the base was made, by table.
        customer_ids : sequence of str
        now : datetime
        """

    def is_refreshed(self, customer_id: str) -> bool:
        """Return whether a customer's features are newer than the night's."""

    def online_rows(self, view: str, first_keys: Sequence[str]) -> pl.DataFrame:
        """Return what is online of a view for the given customers."""

    def fresh_tables(
        self, day: Mapping[str, pl.DataFrame], customer_ids: Sequence[str], *, now: datetime
    ) -> Mapping[str, pl.DataFrame]:
        """Return a few customers' rows before `now` (naive local), and `purchases`.

        Parameters
        ----------
        day : mapping of str to DataFrame
            As for `refresh`.
        customer_ids : sequence of str
        now : datetime
        """


class ModelRegistry(Protocol):
    """Fits as runs, models as versions, one champion per name."""

    def register(
        self,
        model: Model,
        *,
        as_of: datetime,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        seed: int,
        config_digest: str,
        story: FitStory | None = None,
    ) -> ModelVersion:
        """Log the fit as a run, store the model and return its version (not yet champion).

        Parameters
        ----------
        model : Model
        as_of : datetime
            The moment of the fit; the model has seen nothing from it on.
        parameters, metrics : mapping
            Logged with the run.
        seed : int
        config_digest : str
            Of the model's file: with another one the model is due again.
        story : FitStory, optional
            What the run says of itself.
        """

    def promote(
        self, version: ModelVersion, *, reason: str = "", pinned: bool = False
    ) -> ModelVersion:
        """Point the `champion` alias at `version` and write why; pinned: by hand, until undone."""

    def refuse(self, version: ModelVersion, *, reason: str) -> ModelVersion:
        """Keep `version` as the challenger that was not promoted, and write why."""

    def challenger(self, name: str) -> ModelVersion | None:
        """Return the version that was refused last, or None."""

    def version(self, name: str, number: str) -> ModelVersion:
        """Return a version by its number; `NotFoundError` where there is none."""

    def champion(self, name: str) -> ModelVersion | None:
        """Return the champion's version from the last good local copy, or None before a fit."""

    def has(self, version: ModelVersion) -> bool:
        """Return whether `load` would find `version`."""

    def load(self, version: ModelVersion) -> Model:
        """Return the model of `version` (the registry knows the class of its kind)."""


class PlanStore(Protocol):
    """The operational store as the use cases see it."""

    def publish(
        self,
        plan: Mapping[str, Any],
        actions: pl.DataFrame,
        reserve: pl.DataFrame | None = None,
        shifts: pl.DataFrame | None = None,
        packed: Iterable[Sequence[tuple[str, bytes]]] = (),
    ) -> Any:
        """Replace the plan of this `as_of` by this one; a reader sees the old or the new.

        Parameters
        ----------
        plan : mapping
            The header.
        actions : DataFrame
        reserve : DataFrame, optional
            Actions that may take a free place during the day.
        shifts : DataFrame, optional
            clerk_id and closes_at of the clerks who work.
        packed : iterable of parts
            Each customer's id and packed record.
        """

    def plan(self, as_of: date) -> Mapping[str, Any] | None:
        """Return the header of the published plan of a day, or None."""

    def action(self, action_id: str) -> Mapping[str, Any]:
        """Return one published action; `NotFoundError` where there is none."""

    def redraw(
        self, day: date, clerk_id: str, sequence: int
    ) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]:
        """Return what a decision of a day drew by action_id, as logged and drawn again."""

    def drawn_during(self, day: date) -> pl.DataFrame:
        """Return who was drawn for a free place during a day, as rows of a decision log."""

    def heard_of(self, as_of: datetime, made_at: datetime) -> Sequence[str]:
        """Return the customers of whom a base does not know all; both moments are aware."""

    def day_frames(
        self, customer_ids: Sequence[str], as_of: datetime, made_at: datetime
    ) -> Mapping[str, pl.DataFrame]:
        """Return accepted rows of some customers that a base does not know, by table."""

    def quota_frame(self, day: date) -> pl.DataFrame:
        """Return what the quota ledger leaves on a day."""

    def snoozed(self, after: datetime) -> pl.DataFrame:
        """Return customer_id and until (UTC) of customers set aside beyond `after` (aware)."""

    def talking_points(self, since: date, before: date) -> pl.DataFrame:
        """Return customer_id and text of what plans of [`since`, `before`) say to customers."""

    def consents(self) -> pl.DataFrame:
        """Return every consent said over the API; `consent_at` is UTC."""

    def erased_among(self, customer_ids: Sequence[str]) -> set[str]:
        """Return those that were erased and must not come back."""

    def receipt(self, customer_id: str) -> ErasureReceipt | None:
        """Return the receipt of a customer's erasure, or None."""

    def erase(self, customer_id: str, *, by: str | None) -> ErasureReceipt:
        """Erase a customer from this store and leave a tombstone; idempotent."""

    def delete_customer(self, customer_id: str) -> Mapping[str, int]:
        """Delete the rows of an erased customer that stand here; return how many, by table."""

    def add_tombstone_keys(self, keys: Mapping[str, Collection[IdentityKey]]) -> None:
        """Keep digests of erased customers' keys, by the receipt_id of the erasure."""

    def withdraw_erasure(self, receipt_id: str) -> None:
        """Remove the tombstone of an erasure that found nobody."""

    def pending_erasures(self) -> Mapping[str, str]:
        """Return receipt_id → customer_id of erasures that the rest has yet to follow."""

    def complete_erasure(self, receipt_id: str, counts: Mapping[str, int]) -> None:
        """Note what was erased elsewhere, and forget the id."""

    def action_ids(self, customer_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the customers' published actions: action_id → customer_id."""

    def purge(self) -> None:
        """Overwrite what was deleted."""


class ErasureReceipt(Protocol):
    """Proof of an erasure."""

    @property
    def receipt_id(self) -> str:
        """Names the erasure."""

    @property
    def erased_at(self) -> datetime:
        """When it was asked for, and done in the operational store."""

    @property
    def completed_at(self) -> datetime | None:
        """When everything that is kept had followed."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What went: rows by table of the operational store, rows and files by place."""

    @property
    def requested_by(self) -> str | None:
        """Who asked for it."""


class KeptPlace(Protocol):
    """A place that keeps something of customers, and can be told to erase them."""

    @property
    def place(self) -> str:
        """What the place is called on a receipt."""

    def erase(self, leaving: Leaving) -> Tally:
        """Take customers out, whole and idempotent; return what was there."""


class RunFolder(Protocol):
    """What one run keeps, by names such as `plan/actions`."""

    def has(self, name: str) -> bool:
        """Return whether a table is kept."""

    def write(self, name: str, table: pl.DataFrame | pl.LazyFrame) -> None:
        """Keep a table, as a whole or not at all."""

    def read(self, name: str, among: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return a kept table; `NotFoundError` where there is none.

        `among` (customer_id) confines a table of customers to the rows of these.
        """

    def scan(self, name: str) -> pl.LazyFrame:
        """Return a kept table to read parts of; `NotFoundError` where there is none."""

    def remove(self, group: str) -> None:
        """Remove every table of a group, and of the groups in it."""

    def tables(self, group: str, among: pl.DataFrame | None = None) -> Mapping[str, pl.DataFrame]:
        """Return every table kept in a group, by name; `among` as for `read`."""

    def write_text(self, name: str, content: str) -> None:
        """Keep a text, as a whole or not at all."""

    def read_text(self, name: str) -> str | None:
        """Return a kept text, or None."""


class RunFolders(Protocol):
    """What all runs keep."""

    def of(self, day: date) -> RunFolder:
        """Return the folder of one day, made or not."""

    def action_ids(self, customer_ids: Sequence[str]) -> Mapping[str, str]:
        """Return every action that a kept plan has for the customers, each with its customer."""

    def planned_days(self) -> Sequence[date]:
        """Return the days of which a plan is kept, in order."""

    def planned(self, day: date) -> RunFolder:
        """Return the folder of a day of which a plan is kept, else raise `NotFoundError`."""


class Ports(Protocol):
    """All ports of one project, each made when it is first asked for: `nba.wiring.Wiring`."""

    @property
    def tables(self) -> Tables:
        """The lake's tables."""

    @property
    def feature_store(self) -> FeatureStore:
        """The feature store."""

    @property
    def registry(self) -> ModelRegistry:
        """The model registry."""

    @property
    def plan_store(self) -> PlanStore:
        """The operational store."""

    @property
    def runs(self) -> RunFolders:
        """What runs keep."""

    @property
    def kept_places(self) -> Sequence[KeptPlace]:
        """Everything beside the operational store that keeps something of customers."""

    def identity_keys(self, customer_ids: Sequence[str]) -> Mapping[str, Collection[IdentityKey]]:
        """Return every key by which the lake knows some customers."""

    @property
    def specs(self) -> Mapping[str, ModelSpec]:
        """The models' YAML files, by name."""

    def pack_records(self, as_of: datetime) -> Iterable[Sequence[tuple[str, bytes]]]:
        """Yield what lake and scores hold of each customer on a plan's day, packed."""

    @property
    def parts(self) -> int:
        """In how many partitions a night scores and plans; 1: in one piece, in this process."""

    def spread(
        self, context: Any, work: Callable[[Any, int], Any], numbers: Sequence[int]
    ) -> list[Any]:
        """Do a piece of work for each number, here or where the settings say.

        Parameters
        ----------
        context : RunContext
            Of the run; elsewhere `work` gets one like it.
        work : callable
            Takes the context and a number; can be pickled. What it makes of customers it keeps
            in the run's folder, and what it returns is small and can be written as JSON.
        numbers : sequence of int

        Returns
        -------
        list
            What `work` returned, in the order of `numbers`.
        """

    @property
    def is_served(self) -> bool:
        """Whether a service answers from plans during their day."""

    def decision_rules(
        self, model_versions: str, *, changes: Mapping[str, Any] | None = None
    ) -> DecisionRules:
        """Return the rules as files and settings stand now, or with `changes` to the files."""
