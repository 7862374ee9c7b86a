"""Parameters of the contact-value model."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from nba.arrays import Floats
from nba.models.base import ModelConfig
from nba.models.contact_value.design import Beliefs, prior_of
from nba.models.mode.prior import PriorConfig


class ContactValueConfig(ModelConfig):
    """What is believed before data, and how far data may move it."""

    beliefs: Beliefs = Field(default=Beliefs(), description="The priors of all factors.")
    scale: float = Field(
        default=0.035,
        gt=0,
        description="Chance that a contact about a category at its gap, in the fitting mode, "
        "brings an order that would not have come.",
    )
    scale_error: float = Field(default=0.02, gt=0, description="Standard deviation of the scale.")
    history_trust: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Weight of a contact that a clerk chose, against one that was drawn, where too "
        "few unread contacts show how those who were chosen differ.",
    )
    category_error: float = Field(
        default=0.15, gt=0, description="Spread of categories around their kind."
    )
    clerk_error: float = Field(default=0.12, gt=0, description="Spread of clerks.")
    pull_forward: float = Field(
        default=-0.2, description="Orders missing after the window, per extra one in it."
    )
    pull_forward_error: float = Field(default=0.2, gt=0, description="Its standard deviation.")
    spread_over: float = Field(
        default=0.95, description="Extra orders over everything, per extra one in the category."
    )
    spread_over_error: float = Field(default=0.15, gt=0, description="Its standard deviation.")
    draw_share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of what is not known that lists explore: 0 follows the expectation.",
    )
    nothing: float = Field(
        default=0.5, gt=0, lt=1, description="Chance, before data, that contacts add nothing."
    )
    stop_at: float = Field(
        default=0.7,
        gt=0.5,
        lt=1,
        description="The same chance, after drawn contacts, from which lists shrink to service and "
        "trials: a list that stops for nothing loses more than one that goes on for nothing.",
    )
    min_drawn: int = Field(
        default=500,
        ge=0,
        description="Drawn contacts below which lists go on as if contacts add something.",
    )
    min_contacts: int = Field(
        default=200, ge=1, description="With fewer contacts the priors stand alone."
    )
    largest_log: int = Field(
        default=60_000,
        ge=1_000,
        description="Customers whose contacts are learned from, at most: every n-th of more.",
    )
    largest_contacts: int = Field(
        default=120_000,
        ge=1_000,
        description="Contacts that are learned from, at most; those that were drawn come first.",
    )
    largest_moments: int = Field(
        default=40_000,
        ge=1_000,
        description="Moments without a contact that are learned from, at most.",
    )
    risk: PriorConfig = Field(
        default=PriorConfig(), description="Risk of losing the friend, and what goes with one."
    )
    lower_z: float = Field(
        default=1.2816, ge=0, description="Standard errors below the estimate (1.2816: 90 %)."
    )

    def prior(self) -> tuple[Floats, Floats]:
        """Return mean and covariance of the scale and all factors before any data.

        Returns
        -------
        tuple of arrays of shape (1 + parameters,) and (1 + parameters, 1 + parameters)
        """
        mean, factors = prior_of(self.beliefs)
        covariance = np.zeros((1 + len(mean), 1 + len(mean)))
        covariance[0, 0] = self.scale_error**2
        covariance[1:, 1:] = factors
        return np.concatenate([[self.scale], mean]), covariance
