"""What models read: feature views as built at a moment, and what was bought before it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from nba.data.holidays import country_of, holidays_of
from nba.models.base import ModelInputs
from nba.models.purchases import PURCHASES
from nba.models.timing.holidays import HOLIDAYS
from nba.pipeline.ports import FeatureStore, Ports
from nba.settings import Settings

STATE: Final = "customer_state"
#: Views with a row per customer: read for every customer of `customer_state`.
CUSTOMER_VIEWS: Final = ("customer_behaviour", "customer_contact")
#: Views with other keys, read as built.
OTHER_VIEWS: Final = (
    "customer_category",
    "customer_product",
    "customer_tags",
    "product",
    "clerk",
    "store",
)
#: So far ahead stand the holidays that a model may need until it is fitted again.
_HOLIDAYS_AHEAD: Final = timedelta(days=800)
VIEWS: Final = (STATE, *CUSTOMER_VIEWS, *OTHER_VIEWS)


def read_inputs(
    ports: Ports,
    settings: Settings,
    as_of: datetime,
    among: pl.DataFrame | None = None,
    purchases: pl.DataFrame | None = None,
    lake: Mapping[str, Any] | None = None,
) -> ModelInputs:
    """Return every table that models and decisions read at `as_of`.

    The views come from the snapshot of that very moment, as Feast's point-in-time join would
    return them, and two thousand times faster.

    Parameters
    ----------
    ports : Ports
    settings : Settings
    as_of : datetime
    among : DataFrame, optional
        customer_id: of these customers alone; tables of other things are whole.
    purchases : DataFrame, optional
        Theirs, where somebody has read them already.
    lake : mapping of str to table, optional
        The lake's tables at `as_of`, where somebody has asked for them already.
    """
    store = ports.feature_store
    state = store.snapshot(STATE, as_of, among)
    tables = {STATE: state}
    customers = state.select("customer_id")
    for view in CUSTOMER_VIEWS:
        built = store.snapshot(view, as_of, among)
        tables[view] = customers.join(built, on="customer_id", how="left", maintain_order="left")
    for view in OTHER_VIEWS:
        tables[view] = store.snapshot(view, as_of, among)
    window_days = days_read(ports)
    tables[PURCHASES] = (
        ports.tables.purchases(as_of, window_days=window_days, among=among, tables=lake)
        if purchases is None
        else purchases
    )
    tables[HOLIDAYS] = holidays_of(
        settings.country or country_of(settings.time_zone),
        (as_of - timedelta(days=window_days)).date(),
        (as_of + _HOLIDAYS_AHEAD).date(),
    )
    return ModelInputs(tables)


def days_read(ports: Ports) -> int:
    """Return of how many days purchases are read: as many as some model wants."""
    return max(spec.window_days for spec in ports.specs.values())


def of_service(inputs: ModelInputs, store: FeatureStore, service: str) -> ModelInputs:
    """Return what a model reads: of the views, those that its feature service names.

    Parameters
    ----------
    inputs : ModelInputs
        All views, and tables that are no views, which every model may read.
    store : FeatureStore
        Knows the services.
    service : str
        The `feature_service` of `models/NAME.yaml`.
    """
    columns = store.service_columns(service)
    views = {name: inputs[name].select(columns[name]) for name in VIEWS if name in columns}
    others = {name: table for name, table in inputs.items() if name not in VIEWS}
    return ModelInputs({**views, **others})
