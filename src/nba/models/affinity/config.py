"""The parameters of the affinity models."""

from __future__ import annotations

from pydantic import Field

from nba.cores import cores
from nba.models.base import ModelConfig


class ListConfig(ModelConfig):
    """What every affinity model's lists keep to."""

    top_n: int = Field(20, ge=1, description="Products per customer.")
    just_bought_days: float = Field(
        30.0, ge=0, description="A product that is not replenishable rests for so many days."
    )
    rebought_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Where no table states it, a category is replenishable when this share of "
        "its buyers bought the same product on two days or more.",
    )
    returned_days: float = Field(
        120.0,
        ge=0,
        description="A product that was sent back, and not bought since, rests for so many days; "
        "where enough were bought again after a return, as long as half of those took.",
    )
    popularity_weight: float = Field(
        0.4,
        ge=0,
        description="What the most popular product counts in the simple rule, in purchases of "
        "one's own just now; less popular ones by their share of its buyers.",
    )


class TwoStageConfig(ListConfig):
    """Parameters of `two_stage`. Days are days of the log, or baskets where it has no time."""

    explore_share: float | None = Field(
        0.1,
        ge=0,
        le=1,
        description="The share of the list, at its end, that is kept for the best of the products "
        "new to the customer; null leaves the order to the ranker alone.",
    )
    explore_range: tuple[float, float] = Field(
        (0.5, 3.0),
        description="How far what was taken up of the products that contacts brought may move "
        "`explore_share`, as factors; (1, 1) keeps it as it is.",
    )
    max_category_share: float = Field(
        0.5, gt=0, le=1, description="The largest share of a list that one category may take."
    )
    cutoff_days: tuple[int, ...] = Field(
        (15, 30, 45, 60, 75, 90, 120, 150),
        description="How long ago the cut-offs lie that the ranker learns from, in days, the "
        "nearest first; one nearer than the horizon knows only who came soon.",
    )
    cutoff_step: int = Field(30, ge=1, description="Days between the cut-offs of a year ago.")
    year_ago_cutoffs: int = Field(
        2,
        ge=0,
        description="Cut-offs in this season a year ago that the ranker learns from too, where "
        "the log reaches back half a year before them.",
    )
    horizon: int = Field(60, ge=1, description="The next basket counts within so many days.")
    min_baskets: int = Field(3, ge=1, description="Baskets before a cut-off to learn from.")
    learn_customers: int = Field(
        2_000, ge=1, description="Customers per cut-off to learn from (a seeded sample)."
    )
    source_customers: int = Field(
        100_000,
        ge=1_000,
        description="Customers whose purchases the sources of past cut-offs are fitted on (a "
        "seeded sample); those of now are fitted on all.",
    )
    learn_rows: int = Field(
        1_500_000,
        ge=1_000,
        description="Candidates that the rankers learn from; beyond them a seeded share of those "
        "that were not bought is left out.",
    )
    half_lives: tuple[float, ...] = Field(
        (30.0, 90.0, 180.0, 730.0), min_length=4, max_length=4, description="Decays, in days."
    )
    windows: tuple[int, ...] = Field(
        (14, 30, 90, 180), min_length=3, description="Windows of product sales, in days."
    )
    season_days: int = Field(
        365, ge=2, description="How long ago the same season was; sales then are a feature."
    )
    new_days: int = Field(60, ge=0, description="A product first sold in so many days is new.")
    repeat_candidates: int = Field(100, ge=1, description="Own products per customer.")
    popular_candidates: int = Field(30, ge=0, description="From what is popular now.")
    explore_candidates: int = Field(
        100, ge=1, description="New to the customer, by the blend of all sources."
    )
    season_candidates: int = Field(20, ge=0, description="From this season a year ago.")
    new_candidates: int = Field(10, ge=0, description="From new arrivals.")
    store_candidates: int = Field(5, ge=0, description="From what the customer's store sells now.")
    item_neighbours: int = Field(100, ge=1, description="Similar products kept per product.")
    neighbours: int = Field(100, ge=1, description="Neighbours per customer.")
    reference_customers: int = Field(
        8_000, ge=1, description="Customers among whom neighbours are sought (a seeded sample)."
    )
    als_factors: int = Field(32, ge=1, description="ALS factors.")
    als_iterations: int = Field(10, ge=1, description="ALS iterations.")
    als_regularization: float = Field(5.0, ge=0, description="ALS regularisation.")
    trees: int = Field(100, ge=1, description="Trees of the ranker.")
    leaves: int = Field(15, ge=2, description="Leaves per tree.")
    learning_rate: float = Field(0.06, gt=0, description="Learning rate of the ranker.")
    min_data_in_leaf: int = Field(300, ge=1, description="Rows per leaf at least.")
    min_bought_in_leaf: int = Field(
        10, ge=0, description="Bought candidates per leaf at least, on average."
    )
    first_trees: int = Field(
        20, ge=1, description="Trees of the first pass, which picks who is ranked by all."
    )
    first_kept: int = Field(
        40, ge=1, description="Candidates per customer that stay after the first pass."
    )
    segment_weight: float = Field(
        20.0,
        ge=0,
        description="Customers' worth of the whole shop that a store, tag or other group of "
        "customers is shrunk by, for lists of customers without purchases.",
    )
    truncation: int = Field(40, ge=1, description="LambdaRank looks at so many places.")
    chunk_customers: int = Field(64, ge=1, description="Customers whose scores stand at once.")
    part_customers: int = Field(
        4_000, ge=1, description="Customers whose history is reduced at a time, per thread."
    )
    threads: int = Field(
        0, ge=0, description="Threads for scoring and for the ranker; 0 is all cores."
    )

    @property
    def workers(self) -> int:
        """How many threads there are."""
        return min(self.threads or cores(), cores())
