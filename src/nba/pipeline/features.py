"""Build the feature views of a day."""

from __future__ import annotations

from typing import Any

from nba.errors import NotFoundError
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE


def features_stand(context: RunContext) -> bool:
    """Return whether every view of the run is there, or has been removed for its age."""
    return not context.ports.feature_store.lost_views(context.as_of)


def build_features(context: RunContext) -> dict[str, Any]:
    """Build every feature view at the run's `as_of`; return what was built.

    Raises
    ------
    NotFoundError
        When no customer is known at that moment.
    """
    built = context.ports.feature_store.build(context.as_of, force=True)
    customers = context.ports.feature_store.snapshot(STATE, context.as_of).height
    if not customers:
        raise NotFoundError(
            f"no customer is known at {context.as_of:%Y-%m-%d}",
            expected="tables with a customer or a purchase before that day",
            found=f"none in the lake at version {context.ports.tables.version[:16]}",
            next_step="bring tables in with `nba ingest FOLDER`, or choose a later --as-of",
        )
    return {"views": len(built["views"]), "customers": customers, "manifest": dict(built)}
