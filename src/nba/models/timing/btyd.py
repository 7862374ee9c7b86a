"""Buy-till-you-die models by maximum likelihood, vectorised and in closed form.

One family: customers buy with gaps that are Erlang(k, rate), after each purchase they
drop out for good with a probability of their own; rates are Gamma(r, alpha), drop-out
probabilities Beta(a, b).

- **BG/NBD** (Fader, Hardie and Lee, 2005): k = 1, nobody drops out after the first purchase.
- **MBG/CNBD-k** (Reutterer, Platzer and Schröder, 2021): any k, so that regular rhythms
  count, and a customer may drop out after the first purchase too.

Everything that is asked of a customer follows from the posterior in closed form: with
`j` arrivals of the underlying Poisson process since the last purchase, the rate is
Gamma(r + k x + j, alpha + T), counts to come are negative binomial, and the tail of a
negative binomial is a regularised incomplete beta function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betainc, betaln, digamma, gammaln, hyp2f1

from nba.arrays import Floats, Ints
from nba.models.purchases import PurchaseDays

Family = Literal["bg", "mbg"]

DAYS_PER_WEEK: Final = 7.0
#: Customers that the likelihood is taken over at most; more change the third digit only.
LARGEST_FIT: Final = 10_000
#: Largest logarithm of a parameter.
_LARGEST_LOG: Final = 12.0
_PENALTY: Final = 1e-4  # on log parameters, per 1,000 customers: keeps flat ridges finite


@dataclass(frozen=True)
class Summary:
    """What the likelihood needs of each customer; arrays (n,), time in weeks.

    `repeats` purchases after the first, the last at `recency` after it, watched for
    `age`; `log_gaps` is the sum of the logarithms of the gaps.
    """

    repeats: Floats
    recency: Floats
    age: Floats
    log_gaps: Floats

    def take(self, rows: Ints | slice | NDArray[np.bool_]) -> Summary:
        """Return the summary of `rows`."""
        parts = (self.repeats, self.recency, self.age, self.log_gaps)
        return Summary(*(part[rows] for part in parts))


def summarise(log: PurchaseDays, cutoff: int) -> tuple[Summary, NDArray[np.bool_]]:
    """Return the summary of customers who bought before `cutoff`, and the mask of who did."""
    begin, end = log.start[:-1], log.first_row_from(cutoff)
    some = end > begin
    first, last = log.day[begin[some]], log.day[end[some] - 1]
    gap = np.diff(log.day, prepend=0).astype(np.float64)
    gap[begin[begin < len(gap)]] = DAYS_PER_WEEK
    seen = log.day < cutoff
    logs = np.log(np.maximum(gap[seen], 1.0) / DAYS_PER_WEEK)
    total = np.bincount(log.entity[seen], weights=logs, minlength=log.entities)
    return Summary(
        (end - begin - 1)[some].astype(np.float64),
        (last - first).astype(np.float64) / DAYS_PER_WEEK,
        (cutoff - 1 - first).astype(np.float64) / DAYS_PER_WEEK,
        total[some].astype(np.float64),
    ), some


@dataclass(frozen=True)
class Btyd:
    """A fitted model: `family` and `k`, the four parameters, the log-likelihood."""

    family: Family
    k: int
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    # -- posterior ------------------------------------------------------------------

    def _stages(self, s: Summary) -> Floats:
        """Return log weights (n, k) of `j` hidden arrivals since the last purchase, alive."""
        j = np.arange(self.k)
        shape = self.r + self.k * s.repeats[:, None] + j
        since = np.maximum(s.age - s.recency, 1e-12)[:, None]
        waited = np.where(j == 0, 0.0, j * np.log(since) - gammaln(j + 1.0))
        return np.asarray(waited + gammaln(shape) - shape * np.log(self.alpha + s.age)[:, None])

    def _chances(self, s: Summary) -> Floats:
        """Return E[(1 - p)^chances] counts: how often the customer could have dropped out."""
        return s.repeats + (1.0 if self.family == "mbg" else 0.0)

    def log_terms(self, s: Summary) -> tuple[Floats, Floats]:
        """Return the log-likelihood's alive and dropped-out terms, each (n,)."""
        n = self._chances(s)
        common = (
            (self.k - 1) * s.log_gaps
            - s.repeats * gammaln(self.k)
            + self.r * np.log(self.alpha)
            - gammaln(self.r)
            - betaln(self.a, self.b)
        )
        alive = betaln(self.a, self.b + n) + _logsumexp(self._stages(s))
        shape = self.r + self.k * s.repeats
        gone = (
            betaln(self.a + 1.0, self.b + np.maximum(n, 1.0) - 1.0)
            + gammaln(shape)
            - shape * np.log(self.alpha + s.recency)
        )
        gone = np.where(n > 0, gone, -np.inf)
        return common + alive, common + gone

    def log_density(self, s: Summary) -> Floats:
        """Return each customer's log-likelihood."""
        return np.asarray(np.logaddexp(*self.log_terms(s)))

    def slopes(self, s: Summary) -> tuple[Floats, Floats]:
        """Return each customer's log-likelihood, and its slope in log (r, alpha, a, b), (n, 4)."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        n = self._chances(s)
        fewest = np.maximum(n, 1.0)
        stages = self._stages(s)
        weight = np.exp(stages - _logsumexp(stages)[:, None])
        watched = r + self.k * s.repeats[:, None] + np.arange(self.k)
        bought = r + self.k * s.repeats
        both, ended = digamma(a + b + n), digamma(a + b + fewest)
        alive = (
            (weight * (digamma(watched) - np.log(alpha + s.age)[:, None])).sum(axis=1),
            -(weight * watched).sum(axis=1) / (alpha + s.age),
            digamma(a) - both,
            digamma(b + n) - both,
        )
        gone = (
            digamma(bought) - np.log(alpha + s.recency),
            -bought / (alpha + s.recency),
            digamma(a + 1.0) - ended,
            digamma(b + fewest - 1.0) - ended,
        )
        terms = self.log_terms(s)
        total = np.logaddexp(*terms)
        stays = np.exp(terms[0] - total)
        level = digamma(a + b)
        common = (
            np.log(alpha) - digamma(r),
            r / alpha,
            level - digamma(a),
            level - digamma(b),
        )
        by = [
            value * (shared + stays * there + (1.0 - stays) * left)
            for value, shared, there, left in zip(
                (r, alpha, a, b), common, alive, gone, strict=True
            )
        ]
        return np.asarray(total), np.column_stack(by)

    def p_alive(self, s: Summary) -> Floats:
        """Return P(the customer has not dropped out)."""
        alive, gone = self.log_terms(s)
        return np.asarray(1.0 / (1.0 + np.exp(np.minimum(gone - alive, 700.0))))

    def survival(self, s: Summary, days: Floats) -> Floats:
        """Return P(no purchase in the coming `days`), shape (n, len(days))."""
        stages = self._stages(s)
        weight = np.exp(stages - _logsumexp(stages)[:, None])
        weeks = np.asarray(days, dtype=np.float64) / DAYS_PER_WEEK
        scale = (self.alpha + s.age)[:, None]
        buys = np.zeros((len(s.repeats), len(weeks)))
        for j in range(self.k):
            shape = (self.r + self.k * s.repeats + j)[:, None]
            if self.k - j == 1:
                chance = -np.expm1(-shape * np.log1p(weeks / scale))
            else:
                chance = betainc(self.k - j, shape, weeks / (scale + weeks))
            buys += weight[:, j : j + 1] * chance
        return np.asarray(1.0 - self.p_alive(s)[:, None] * buys)

    def expected_purchases(self, s: Summary, days: float) -> Floats:
        """Return the expected number of purchase days in the coming `days`."""
        if self.k == 1:
            return self.p_alive(s) * self._expected_alive(s, days)
        out = np.zeros(len(s.repeats))
        rate = (self.r + self.k * s.repeats) / (self.alpha + s.age) / self.k
        order = np.argsort(rate, kind="stable")
        for rows in np.array_split(order, max(1, len(order) // 2_000)):
            out[rows] = self._expected_by_sum(s.take(rows), days / DAYS_PER_WEEK)
        return out

    def _expected_alive(self, s: Summary, days: float) -> Floats:
        """Closed form for k = 1 (Fader, Hardie and Lee, 2005, eq. 10, before P(alive))."""
        weeks, shape = days / DAYS_PER_WEEK, self.r + s.repeats
        a, b = self.a, self.b + self._chances(s)
        scale = self.alpha + s.age
        z = weeks / (scale + weeks)
        with np.errstate(all="ignore"):
            series = hyp2f1(shape, b, a + b - 1.0, z)
            closed = (a + b - 1.0) / (a - 1.0) * (1.0 - (1.0 - z) ** shape * series)
        bad = ~np.isfinite(closed) | (closed < 0) | (abs(a - 1.0) < 1e-6)
        if bad.any():
            slow = s.take(bad)
            closed[bad] = self._expected_by_sum(slow, weeks) / np.maximum(
                self.p_alive(slow), 1e-300
            )
        return np.asarray(closed)

    def _expected_by_sum(self, s: Summary, weeks: float) -> Floats:
        """Sum P(m-th further purchase takes place) over m."""
        stages = self._stages(s)
        weight = np.exp(stages - _logsumexp(stages)[:, None])
        n = self._chances(s)
        q = weeks / (self.alpha + s.age + weeks)
        total, left = np.zeros(len(n)), np.zeros(len(n))
        for m in range(1, 2_000):
            stay = np.exp(betaln(self.a, self.b + n + m - 1.0) - betaln(self.a, self.b + n))
            term = np.zeros(len(n))
            for j in range(self.k):
                shape = self.r + self.k * s.repeats + j
                term += weight[:, j] * betainc(self.k * m - j, shape, q)
            left = stay * term
            total += left
            if left.max(initial=0.0) < 1e-7:
                break
        return np.asarray(self.p_alive(s) * total)


def _logsumexp(values: Floats) -> Floats:
    top = values.max(axis=1, initial=-np.inf)
    return np.asarray(top + np.log(np.exp(values - top[:, None]).sum(axis=1)))


def fit_btyd(
    summary: Summary, *, family: Family = "bg", k: int = 1, near: Btyd | None = None
) -> Btyd:
    """Fit the four parameters by maximum likelihood.

    Parameters
    ----------
    summary : Summary
        Customers who have bought at least once; an even sample beyond 10,000.
    family : {"bg", "mbg"}
        Whether customers can drop out only after a repeat purchase, or after any.
    k : int
        Regularity: 1 is a Poisson process, larger k are ever more regular gaps.
    near : Btyd, optional
        A fit of another k, to start from.
    """
    n = len(summary.repeats)
    if n > LARGEST_FIT:
        summary = summary.take(np.linspace(0, n - 1, LARGEST_FIT).astype(np.int64))
    cells, counts = _distinct(summary)

    def loss(logs: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG))
        each, by = Btyd(family, k, r, alpha, a, b, 0.0).slopes(cells)
        inside = np.abs(logs) < _LARGEST_LOG
        slope = -(counts @ by) * inside / max(1, n) + 2.0 * _PENALTY * 1e-3 * logs
        return -float(counts @ each) / max(1, n) + _PENALTY * 1e-3 * float(logs @ logs), slope

    best = None
    for start in _starts(k, near):
        fit = minimize(
            loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-9}
        )
        best = fit if best is None or fit.fun < best.fun else best
    assert best is not None
    r, alpha, a, b = (float(v) for v in np.exp(np.clip(best.x, -_LARGEST_LOG, _LARGEST_LOG)))
    fitted = Btyd(family, k, r, alpha, a, b, 0.0)
    return Btyd(family, k, r, alpha, a, b, float(counts @ fitted.log_density(cells)))


def _starts(k: int, near: Btyd | None) -> list[Floats]:
    """Return the log parameters that a fit begins at."""
    if near is not None:
        shift = np.array([0.0, np.log(k / near.k) * 0.5, 0.0, 0.0])
        return [np.log([near.r, near.alpha, near.a, near.b]) + shift]
    shift = np.array([0.0, np.log(k) * 0.5, 0.0, 0.0])
    return [np.array(start) + shift for start in ([0.0, 1.5, 0.0, 1.0], [-1.0, 1.0, -0.5, 1.0])]


def fit_regular(summary: Summary, *, largest_k: int = 5) -> Btyd:
    """Fit MBG/CNBD-k with the k of the highest likelihood; stops at the first that is worse."""
    best = fit_btyd(summary, family="mbg", k=1)
    for k in range(2, largest_k + 1):
        other = fit_btyd(summary, family="mbg", k=k, near=best)
        if other.log_likelihood <= best.log_likelihood:
            break
        best = other
    return best


def _distinct(s: Summary) -> tuple[Summary, Floats]:
    """Fold equal customers, most of them one-time buyers, into one row with a count."""
    rows = np.column_stack([s.repeats, s.recency, s.age, s.log_gaps])
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    return Summary(*np.ascontiguousarray(distinct.T)), counts.astype(np.float64)
