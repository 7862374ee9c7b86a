"""The catalogue page: every feature with meaning, unit, entity, window, owner and null rule."""

from __future__ import annotations

from collections.abc import Mapping

from nba.features import VIEWS
from nba.features.view import Feature, View

_HEAD = "| feature | type | meaning | unit | window | null |\n|---|---|---|---|---|---|"


def catalogue_page(views: Mapping[str, View] = VIEWS) -> str:
    """Return the page as Markdown."""
    total = sum(len(view.features) for view in views.values())
    parts = [
        "# Feature catalogue",
        f"{total} features in {len(views)} views. A view has one row per distinct combination of "
        "its keys; every value is what was known before its moment.",
        *(_section(view) for view in views.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _section(view: View) -> str:
    keys = ", ".join(f"`{key}`" for key in view.entity_keys)
    return "\n\n".join(
        [
            f"## {view.name}",
            f"{view.meaning} Keys: {keys}. Owner: {view.owner}. "
            f"Served and joined for {view.ttl_days} days.",
            "\n".join([_HEAD, *(_row(feature) for feature in view.features)]),
        ]
    )


def _row(feature: Feature) -> str:
    null = "" if feature.null_rule == "never" else feature.null_rule
    return (
        f"| `{feature.name}` | {feature.dtype} | {feature.meaning} | {feature.unit} "
        f"| {feature.window} | {null} |"
    )
