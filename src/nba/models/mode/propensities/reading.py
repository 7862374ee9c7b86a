"""Whether a contact reaches the customer: sent by the clerk, and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from nba.arrays import Floats, Ints
from nba.models.mode.propensities.sending import sent_probability
from nba.models.mode.scores import MODES

#: With a smaller share of contacts read, reading is taken as not recorded.
MIN_READ_SHARE: Final = 0.02
MIN_READ_ROWS: Final = 100
#: Standardised columns are cut here.
FAR: Final = 4.0
SMALLEST: Final = 0.01


@dataclass(frozen=True)
class ReadModel:
    """A logistic of a sent contact being read, on standardised columns and the mode.

    Parameters
    ----------
    fill, scale : arrays of shape (columns,)
    weight : array of shape (columns,)
    level : array of shape (modes,)
    mean : float
        The share of sent contacts that were read, 1 where reading is not recorded.
    is_recorded : bool
    """

    fill: Floats
    scale: Floats
    weight: Floats
    level: Floats
    mean: float
    is_recorded: bool

    def terms(self, x: Floats) -> Floats:
        """Return `x` filled, standardised and cut."""
        known = np.where(np.isnan(x), self.fill, x)
        return np.clip((known - self.fill) / self.scale, -FAR, FAR)

    def probability(self, x: Floats) -> Floats:
        """Return the probability that a sent contact is read, shape (rows, modes)."""
        if not self.is_recorded:
            return np.ones((len(x), len(MODES)))
        odds = (self.terms(x) @ self.weight)[:, None] + self.level
        return np.asarray(np.maximum(1.0 / (1.0 + np.exp(-odds)), SMALLEST))


def fit_read_model(rows: pl.DataFrame, x: Floats, arm: Ints) -> tuple[ReadModel, Floats]:
    """Return the model of reading, and 1 where a contact reached the customer.

    Parameters
    ----------
    rows : DataFrame
        `sent` and `is_read`; absent: all that is listed is sent, and reading is not recorded.
    """
    sent = arm > 0
    if "sent" in rows.columns:
        sent = sent & rows["sent"].fill_null(True).to_numpy()
    fill, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for column in range(x.shape[1]):
        known = x[:, column][~np.isnan(x[:, column])]
        if len(known):
            fill[column] = float(np.median(known))
            spread = float(known.std())
            scale[column] = spread if spread > 1e-9 else np.inf
    unrecorded = ReadModel(fill, scale, np.zeros(x.shape[1]), np.zeros(len(MODES)), 1.0, False)
    if "is_read" not in rows.columns or not sent.any():
        return unrecorded, sent.astype(np.float64)
    read = rows["is_read"].fill_null(False).to_numpy() & sent
    share = read[sent].mean()
    if not MIN_READ_SHARE < share < 1 - MIN_READ_SHARE or sent.sum() < MIN_READ_ROWS:
        return unrecorded, sent.astype(np.float64)
    model = _logistic(
        np.hstack([unrecorded.terms(x)[sent], np.eye(len(MODES))[arm[sent] - 1]]), read[sent]
    )
    weight = model.coef_[0]
    level = weight[x.shape[1] :] + model.intercept_[0]
    read_model = ReadModel(fill, scale, weight[: x.shape[1]], level, float(share), True)
    return read_model, read.astype(np.float64)


def sent_probabilities(
    rows: pl.DataFrame, x: Floats, arm: Ints, *, folds: int, seed: int
) -> Floats:
    """Return P(sent | listed, x) of every row that was drawn, 1 for history: it was sent.

    Parameters
    ----------
    rows : polars.DataFrame
        Assignments: mode, customer_id, propensity, and `sent` where clerks report it.
    x : array of float
        Shape (rows, columns).
    arm : array of int
        Shape (rows,), 0 for none.
    folds : int
        Of whole customers: who predicts a row has not seen its customer.
    seed : int
    """
    probability = np.ones(rows.height)
    if "sent" not in rows.columns:
        return probability
    drawn = rows["propensity"].is_not_null().to_numpy()
    listed = drawn & (arm > 0)
    sent = rows["sent"].fill_null(True).to_numpy()
    if not listed.any() or sent[listed].all():
        return probability
    part = rows.filter(pl.Series(drawn)).select(
        "mode", pl.Series("sent", sent[drawn]), "customer_id"
    )
    probability[drawn] = sent_probability(part, x[drawn], folds=folds, seed=seed)
    return probability


def _logistic(terms: Floats, read: npt.NDArray[np.bool_]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=300, tol=1e-3).fit(terms, read)
