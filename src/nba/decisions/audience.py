"""Audience decisions: one post for a group or for a clerk's moments.

A post costs its minutes once and reaches many. It is decided whole, per group or per clerk:
in the tables it becomes one interaction row per member, with a shared content and
propensity. Moments can leave customers out; a group cannot, and whom a post reaches
although they were to be left alone is counted as interference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from nba.decisions.facts import valid_content
from nba.decisions.funnel import may_contact
from nba.decisions.hashing import uniform
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.policy import ContactPolicy
from nba.decisions.pool import with_arms
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings
from nba.decisions.units import arms_of_audiences, own_draws
from nba.decisions.when import HOURS, contact_windows, known_reach, reachable_hours
from nba.schema.words import SIMPLE_ARMS, Arm, Channel, Mode

#: What reaches a member of an audience, against a contact of their own in the same mode.
REACH = 0.15
#: Clerk time of a post.
POST_MINUTES = 5.0


@dataclass(frozen=True)
class Audiences:
    """The posts of a day.

    Parameters
    ----------
    posts : DataFrame
        A row per group or clerk with a post to decide: audience (`group:ID` or
        `moments:CLERK`), clerk_id, channel, mode, content_id, members, gain,
        price_per_minute, minutes, minutes_per_member, value, arm, posted, propensity, interference,
        contact_from, contact_to: when most of the members read, in the clerk's hours.
    members : DataFrame
        audience, customer_id, clerk_id, mode, channel, content_id, propensity, and
        `interference`: reached although the member's own arm is to be left alone.
    """

    posts: pl.DataFrame
    members: pl.DataFrame


def decide_audiences(
    inputs: Mapping[str, pl.DataFrame],
    rules: DecisionRules,
    *,
    as_of: datetime,
    clerks: pl.DataFrame | None = None,
) -> Audiences:
    """Decide which groups and which clerks' moments get a post today, and with what.

    Parameters
    ----------
    inputs : mapping of str to polars.DataFrame
    rules : DecisionRules
    as_of : datetime
    clerks : DataFrame, optional
        `Plan.clerks`: a post must earn more than its minutes would in that plan.

    Notes
    -----
    A post is worth the members' uplift in its mode, at the reach of a post, less what it
    risks and less its minutes at the clerk's price. It goes out with probability
    1 - floor where that is above zero, else with the floor, by a hash of audience and day.
    Members of a group share the arm of the group; a group held out gets no post. Arms with rules of
    their own get the same posts as the engine's, by the project's own rules.
    """
    policy, settings = rules.policy, rules.settings
    tables = conform_inputs(inputs)
    reachable = tables["customer_state"].filter(may_contact() & pl.col("is_friend"))
    arms = with_arms(tables, reachable.select("customer_id", "clerk_id"), settings, as_of=as_of)
    members = pl.concat([_group_members(tables, arms), _moments_members(arms, settings)])
    members = members.join(_working(tables), on="clerk_id", how="semi")
    content = _best_content(tables, members, as_of, policy)
    posts = _price(tables, members, content, clerks)
    posts = _within_limits(tables, posts, as_of=as_of, policy=policy)
    posts = _draw(tables, posts, as_of, settings)
    sent = posts.filter("posted").select("audience", "content_id", "propensity")
    left_alone = ~pl.col("own_arm").is_in(_reached(settings)).fill_null(False)
    rows = (
        members.join(sent, on="audience")
        .sort("audience", "customer_id")
        .with_columns(interference=left_alone)
    )
    alone = rows.group_by("audience").agg(pl.col("interference").sum())
    posts = posts.join(alone, on="audience", how="left").with_columns(
        pl.col("interference").fill_null(0)
    )
    posts = _with_windows(tables, members, posts, as_of=as_of, policy=policy)
    columns = ["audience", "customer_id", "clerk_id", "mode", "channel", "content_id", "propensity"]
    return Audiences(
        posts.sort("audience"),
        rows.select(*columns, "interference"),
    )


def _reached(settings: DecisionSettings) -> list[str]:
    """Return the arms that posts are for."""
    return [str(Arm.ENGINE), *(arm for arm in settings.variants if arm not in SIMPLE_ARMS)]


def _working(tables: DecisionInputs) -> pl.DataFrame:
    return tables["clerk"].filter(pl.col("works_today")).select("clerk_id")


def _group_members(tables: DecisionInputs, arms: pl.DataFrame) -> pl.DataFrame:
    """Return the members of every group; nobody can be left out of a group's post."""
    current = tables["memberships"].filter(pl.col("left_at").is_null())
    rows = (
        current.select("group_id", "customer_id")
        .unique()
        .join(tables["groups"].select("group_id", "clerk_id"), on="group_id")
        .join(arms.select("customer_id", "arm"), on="customer_id", how="left")
    )
    return rows.select(
        audience=pl.concat_str(pl.lit("group:"), "group_id"),
        customer_id="customer_id",
        clerk_id="clerk_id",
        mode=pl.lit(str(Mode.TOPIC_EXPERT)),
        channel=pl.lit(str(Channel.GROUP)),
        own_arm="arm",
    )


def _moments_members(arms: pl.DataFrame, settings: DecisionSettings) -> pl.DataFrame:
    """Return the friends of each clerk whom posts are for; moments can leave others out."""
    return arms.filter(pl.col("arm").is_in(_reached(settings))).select(
        audience=pl.concat_str(pl.lit("moments:"), "clerk_id"),
        customer_id="customer_id",
        clerk_id="clerk_id",
        mode=pl.lit(str(Mode.SHOPPING_ASSISTANT)),
        channel=pl.lit(str(Channel.MOMENTS)),
        own_arm="arm",
    )


def _best_content(
    tables: DecisionInputs, members: pl.DataFrame, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Return the newest content of the audience's mode that it was not shown lately."""
    since = as_of - timedelta(days=policy.same_content_days)
    shown = (
        tables["interactions"]
        .filter((pl.col("ts") >= since) & (pl.col("mode") != str(Mode.NONE)))
        .select("customer_id", "content_id")
        .drop_nulls()
        .join(members.select("audience", "customer_id"), on="customer_id")
        .select("audience", "content_id")
        .unique()
    )
    content = valid_content(tables, as_of).select("content_id", "mode", "valid_from")
    return (
        members.select("audience", "mode").unique()
        .join(content, on="mode")
        .join(shown, on=["audience", "content_id"], how="anti")
        .sort("audience", "valid_from", "content_id", descending=[False, True, False],
              nulls_last=True)
        .unique("audience", keep="first", maintain_order=True)
        .select("audience", "content_id")
    )  # fmt: skip


def _price(
    tables: DecisionInputs,
    members: pl.DataFrame,
    content: pl.DataFrame,
    clerks: pl.DataFrame | None,
) -> pl.DataFrame:
    """Return a row per audience that has something to post, with its value."""
    profiled = tables["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    scores = tables["mode"].join(profiled, on="customer_id", how="semi")
    worth = tables["timing"].select("customer_id", "expected_margin_365d")
    rows = (
        members.join(content, on="audience")
        .join(
            scores.select("customer_id", "mode", "uplift_amount", "risk", "lost_share"),
            on=["customer_id", "mode"],
            how="left",
        )
        .join(worth, on="customer_id", how="left")
        .sort("audience", "customer_id")
    )
    lost = pl.col("risk") * pl.col("lost_share") * pl.col("expected_margin_365d")
    gain = pl.col("uplift_amount").fill_null(0.0) - lost.fill_null(0.0)
    posts = rows.group_by("audience", maintain_order=True).agg(
        pl.col("clerk_id").first(),
        pl.col("channel").first(),
        pl.col("mode").first(),
        pl.col("content_id").first(),
        pl.len().alias("members"),
        (gain.sum() * REACH).alias("gain"),
    )
    if clerks is None:
        posts = posts.with_columns(price_per_minute=pl.lit(0.0))
    else:
        prices = clerks.select("clerk_id", "price_per_minute")
        posts = posts.join(prices, on="clerk_id", how="left", maintain_order="left")
    return posts.with_columns(
        minutes=pl.lit(POST_MINUTES),
        minutes_per_member=POST_MINUTES / pl.col("members"),
        value=pl.col("gain") - POST_MINUTES * pl.col("price_per_minute").fill_null(0.0),
    )


def _with_windows(
    tables: DecisionInputs,
    members: pl.DataFrame,
    posts: pl.DataFrame,
    *,
    as_of: datetime,
    policy: ContactPolicy,
) -> pl.DataFrame:
    """Add the window in which most members read, from the mean of their curves."""
    curves = members.join(known_reach(tables), on="customer_id").group_by("audience")
    hours = [pl.col("reach").list.get(hour, null_on_oob=True).mean() for hour in range(HOURS)]
    reach = curves.agg(reach=pl.concat_list(hours))
    facts = posts
    for part, key in (
        (reachable_hours(tables["clerk"], policy), "clerk_id"),
        (tables["clocks"].select("clerk_id", "ahead_minutes"), "clerk_id"),
        (reach, "audience"),
    ):
        facts = facts.join(part, on=key, how="left", maintain_order="left")
    own = ("purchase_hour_peak", "purchase_days", "response_hour_peak", "responses_90d")
    facts = facts.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in own)
    return posts.with_columns(*contact_windows(facts, as_of=as_of, policy=policy))


def _within_limits(
    tables: DecisionInputs, posts: pl.DataFrame, *, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Drop groups and clerks whose posts of the week or month are spent."""
    past = tables["interactions"].filter(pl.col("mode") != str(Mode.NONE))
    group = past if "group_id" in past.columns else past.with_columns(group_id=pl.lit(None))
    week, month = as_of - timedelta(days=7), as_of - timedelta(days=30)
    groups = (
        group.filter((pl.col("channel") == str(Channel.GROUP)) & (pl.col("ts") >= week))
        .drop_nulls("group_id")
        .group_by(audience=pl.concat_str(pl.lit("group:"), pl.col("group_id").cast(pl.String)))
        .agg(pl.col("content_id").n_unique().alias("posts"))
        .filter(pl.col("posts") >= policy.audience.per_group_week)
    )
    moments = (
        past.filter((pl.col("channel") == str(Channel.MOMENTS)) & (pl.col("ts") >= month))
        .drop_nulls("clerk_id")
        .group_by(audience=pl.concat_str(pl.lit("moments:"), "clerk_id"))
        .agg(pl.col("content_id").n_unique().alias("posts"))
        .filter(pl.col("posts") >= policy.audience.moments_per_month)
    )
    spent = pl.concat([groups.select("audience"), moments.select("audience")])
    if as_of.date() in policy.holidays:
        return posts.clear()
    return posts.join(spent, on="audience", how="anti")


def _draw(
    tables: DecisionInputs, posts: pl.DataFrame, as_of: datetime, settings: DecisionSettings
) -> pl.DataFrame:
    """Draw each post by a hash of audience and day, with the floor on either side."""
    posts = posts.sort("audience")
    arms = own_draws(posts["audience"], settings, day=as_of.date())
    if settings.by_units is not None:
        of_units = arms_of_audiences(tables, posts, settings.by_units)
        arms = arms.to_frame().select(
            pl.when(pl.col("arm") == str(Arm.ENGINE)).then(of_units).otherwise("arm").alias("arm")
        )["arm"]
    floor = settings.exploration_floor
    u = uniform(posts["audience"], f"post/{settings.seed}/{as_of.date().isoformat()}")
    is_group = pl.col("channel") == str(Channel.GROUP)
    worth_it = pl.col("value") > 0
    p = pl.when(is_group & ~pl.col("arm").is_in(_reached(settings))).then(0.0).otherwise(
        pl.when(worth_it).then(1.0 - floor).otherwise(floor)
    )  # fmt: skip
    return (
        posts.with_columns(arms, u=pl.Series(u))
        .with_columns(p_post=p)
        .with_columns(posted=pl.col("u") < pl.col("p_post"))
        .with_columns(propensity=pl.when("posted").then("p_post").otherwise(1.0 - pl.col("p_post")))
        .drop("u", "p_post")
    )
