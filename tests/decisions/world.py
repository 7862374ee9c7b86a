"""Random inputs of the right shape, for tests of decisions."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

MODES = ("shopping_assistant", "topic_expert", "private_partner")
AS_OF = datetime(2026, 3, 2)


def make_inputs(customers: int = 400, clerks: int = 4, seed: int = 0) -> dict[str, pl.DataFrame]:
    """Return every input table for a shop of the given size."""
    rng = np.random.default_rng(seed)
    ids = [f"c{i:07d}" for i in range(customers)]
    clerk_ids = [f"k{i:05d}" for i in range(clerks)]
    of = rng.integers(0, clerks, customers)
    since = [AS_OF - timedelta(days=int(d)) for d in rng.integers(5, 700, customers)]
    friend = rng.random(customers) < 0.85
    state = pl.DataFrame(
        {
            "customer_id": ids,
            "store_id": [f"s{i % 4}" for i in of],
            "clerk_id": [clerk_ids[i] for i in of],
            "is_friend": friend,
            "friend_since": [t if f else None for t, f in zip(since, friend, strict=True)],
            "is_blocked": rng.random(customers) < 0.03,
            "consent_contact": rng.random(customers) < 0.95,
            "consent_profiling": rng.random(customers) < 0.9,
            "birthday": [f"19{y:02d}-{m:02d}-{d:02d}" for y, m, d in zip(
                rng.integers(50, 99, customers), rng.integers(1, 13, customers),
                rng.integers(1, 29, customers), strict=True)],
            "locale": rng.choice(["zh-CN", "en", "zh"], customers).tolist(),
            "open_service_cases": np.zeros(customers),
            "open_complaints": (rng.random(customers) < 0.02).astype(float),
        }
    )  # fmt: skip
    since_purchase = rng.exponential(60, customers).round()
    gap = rng.gamma(3, 15, customers)
    behaviour = pl.DataFrame(
        {
            "customer_id": ids,
            "days_since_purchase": since_purchase,
            "days_since_first_purchase": since_purchase + rng.integers(0, 500, customers),
            "purchase_days": rng.integers(1, 20, customers).astype(float),
            "purchase_days_365d": rng.integers(0, 12, customers).astype(float),
            "spend_365d_amount": rng.gamma(2, 400, customers),
            "margin_365d_amount": rng.gamma(2, 120, customers),
            "average_order_amount": rng.gamma(2, 60, customers),
            "gap_days_median": gap,
            "overdue_ratio": since_purchase / gap,
            "price_tier": rng.integers(1, 6, customers),
            "discount_share": rng.random(customers),
            "main_category": rng.choice(["tea", "shoes", "serum"], customers).tolist(),
            "main_category_kind": rng.choice(["short", "group", "premium"], customers).tolist(),
            "purchase_hour_peak": rng.integers(8, 22, customers),
        }
    )
    contact = pl.DataFrame(
        {
            "customer_id": ids,
            "contacts_30d": rng.integers(0, 4, customers),
            "contacts_90d": rng.integers(0, 9, customers),
            "days_since_contact": rng.exponential(30, customers).round(),
            "responses_90d": rng.integers(0, 5, customers),
            "response_rate": rng.random(customers),
            "unanswered_streak": rng.integers(0, 8, customers),
            "groups_joined": rng.integers(0, 3, customers),
            "response_hour_peak": rng.integers(0, 24, customers),
        }
    )
    p = rng.random((customers, 4))
    p.sort(axis=1)
    timing = pl.DataFrame(
        {
            "customer_id": ids,
            "p_purchase_7d": p[:, 0],
            "p_purchase_14d": p[:, 1],
            "p_purchase_30d": p[:, 2],
            "p_purchase_90d": p[:, 3],
            "expected_days": rng.exponential(40, customers),
            "p_alive": rng.random(customers),
            "expected_margin_90d": rng.gamma(2, 30, customers),
            "expected_margin_365d": rng.gamma(2, 120, customers),
        }
    )
    mode = pl.concat(
        [
            pl.DataFrame(
                {
                    "customer_id": ids,
                    "mode": [name] * customers,
                    "uplift_amount": rng.normal(mean, 3, customers),
                    "uplift_lower": rng.normal(mean - 3, 1, customers),
                    "risk": rng.random(customers) * 0.01,
                    "lost_share": 0.5,
                }
            )
            for name, mean in zip(MODES, (2.0, 3.0, 6.0), strict=True)
        ]
    )
    products = 60
    product_ids = [f"p{i:04d}" for i in range(products)]
    product = pl.DataFrame(
        {
            "product_id": product_ids,
            "name": [f"Product {i}" for i in range(products)],
            "category": rng.choice(["tea", "shoes", "serum"], products).tolist(),
            "price": rng.gamma(2, 50, products),
            "is_retired": rng.random(products) < 0.1,
            "launched_days": rng.integers(0, 400, products),
            "on_hand": rng.integers(0, 20, products),
        }
    )
    picks = np.argsort(rng.random((customers, products)), axis=1)[:, :8] if customers else None
    many = customers * 8
    affinity = pl.DataFrame(
        {
            "customer_id": np.repeat(ids, 8).tolist(),
            "rank": np.tile(np.arange(1, 9), customers),
            "product_id": [product_ids[i] for i in picks.ravel()] if picks is not None else [],
            "category": rng.choice(["tea", "shoes", "serum"], many).tolist(),
            "score": rng.random(many),
            "relevance": rng.random(many),
            "source": rng.choice(["repeat", "explore", "popular"], many).tolist(),
            "times_bought": rng.integers(0, 2, many),
        }
    )
    count = customers * 2
    interactions = pl.DataFrame(
        {
            "interaction_id": [f"i{i}" for i in range(count)],
            "customer_id": rng.choice(ids, count).tolist() if customers else [],
            "clerk_id": rng.choice(clerk_ids, count).tolist(),
            "ts": [AS_OF - timedelta(hours=float(h)) for h in rng.uniform(1, 24 * 90, count)],
            "mode": rng.choice([*MODES, "none"], count).tolist(),
            "action_type": rng.choice(["new_arrival", "care_call", "topic_post"], count).tolist(),
            "channel": rng.choice(["chat", "moments", "phone"], count).tolist(),
            "content_id": rng.choice(["t1", "t2", "x1"], count).tolist(),
            "product_ids": [[product_ids[i]] for i in rng.integers(0, products, count)],
        }
    )
    some = max(count // 10, 1) if customers else 0
    responses = pl.DataFrame(
        {
            "interaction_id": rng.choice(interactions["interaction_id"], some).tolist()
            if some
            else [],
            "customer_id": pl.Series([None] * some, dtype=pl.String),
            "ts": [AS_OF - timedelta(hours=float(h)) for h in rng.uniform(1, 24 * 90, some)],
            "kind": rng.choice(["read", "replied", "blocked", "complained"], some).tolist(),
        }
    )
    return {
        "customer_state": state,
        "customer_behaviour": behaviour,
        "customer_contact": contact,
        "customer_tags": pl.DataFrame(
            {"customer_id": ids[: customers // 20], "tag": ["newborn_family"] * (customers // 20)},
            schema={"customer_id": pl.String, "tag": pl.String},
        ),
        "timing": timing,
        "timing_category": pl.DataFrame(
            {
                "customer_id": ids,
                "category": ["tea"] * customers,
                "p_purchase_14d": rng.random(customers),
                "p_purchase_30d": rng.random(customers),
                "expected_days": rng.random(customers) * 30,
                "overdue_ratio": rng.random(customers) * 2,
            }
        ),
        "mode": mode,
        "affinity": affinity,
        "product": product,
        "clerk": pl.DataFrame(
            {
                "clerk_id": clerk_ids,
                "store_id": [f"s{i % 4}" for i in range(clerks)],
                "name": [f"Clerk {i}" for i in range(clerks)],
                "minutes_per_day": rng.choice([30.0, 60.0, 90.0], clerks),
                "works_today": rng.random(clerks) < 0.9,
                "shift_start": ["10:00"] * clerks,
                "shift_end": rng.choice(["18:00", "22:00", "20:30"], clerks).tolist(),
                "modes": [list(MODES)] * clerks,
            }
        ),
        "content": pl.DataFrame(
            {
                "content_id": ["t1", "t2", "a1"],
                "mode": ["topic_expert", "topic_expert", "shopping_assistant"],
                "title": ["How to brew", "How to run", "Spring news"],
            }
        ),
        "offers": pl.DataFrame(
            {
                "customer_id": ids * 2,
                "kind": ["content"] * customers + ["event"] * customers,
                "offer_id": rng.choice(["t1", "t2"], customers).tolist() + ["e1"] * customers,
                "score": rng.random(2 * customers),
            },
            schema={
                "customer_id": pl.String,
                "kind": pl.String,
                "offer_id": pl.String,
                "score": pl.Float64,
            },
        ),
        "events": pl.DataFrame(
            {
                "event_id": ["e1"],
                "topic": ["Tasting"],
                "store_id": ["s1"],
                "starts_at": [AS_OF + timedelta(days=5, hours=14)],
                "link": ["https://shop.example/e1"],
            }
        ),
        "benefits": pl.DataFrame(
            {
                "benefit_id": [f"b{i}" for i in range(customers // 10)],
                "customer_id": ids[: customers // 10],
                "kind": ["coupon"] * (customers // 10),
                "amount": [10.0] * (customers // 10),
                "expires_at": [AS_OF + timedelta(days=3)] * (customers // 10),
            },
            schema={
                "benefit_id": pl.String,
                "customer_id": pl.String,
                "kind": pl.String,
                "amount": pl.Float64,
                "expires_at": pl.Datetime("us"),
            },
        ),
        "interactions": interactions,
        "responses": responses,
        "groups": pl.DataFrame(
            {
                "group_id": ["g1"],
                "clerk_id": [clerk_ids[0]],
                "topic": ["tea"],
                "created_at": [AS_OF - timedelta(days=100)],
            }
        ),
        "memberships": pl.DataFrame(
            {
                "group_id": ["g1"] * (customers // 8),
                "customer_id": ids[: customers // 8],
                "joined_at": [AS_OF - timedelta(days=50)] * (customers // 8),
            },
            schema={
                "group_id": pl.String,
                "customer_id": pl.String,
                "joined_at": pl.Datetime("us"),
            },
        ),
    }
