WITH gap AS (
    SELECT *, day - lag(day) OVER (PARTITION BY customer_id, category ORDER BY day) AS gap
    FROM ref_category_day),
pair AS (
    SELECT customer_id, category, count(*) AS n, count(*) FILTER (day >= $today - 365) AS n_365,
           sum(quantity) AS quantity, sum(amount) AS amount,
           coalesce(sum(amount) FILTER (day >= $today - 365), 0) AS amount_365,
           sum(margin) AS margin, $today - max(day) AS since, $today - min(day) AS since_first,
           avg(gap) AS gap_mean, median(gap) AS gap_median, stddev_pop(gap) AS gap_std,
           sum(level_quantity) / nullif(sum(levelled), 0) AS level
    FROM gap GROUP BY ALL)
SELECT customer_id, category, n AS purchase_days, n_365 AS purchase_days_365d, quantity,
       amount AS spend_amount, amount_365 AS spend_365d_amount, margin AS margin_amount,
       since::DOUBLE AS days_since_purchase, since_first::DOUBLE AS days_since_first_purchase,
       gap_mean AS gap_days_mean, gap_median AS gap_days_median, gap_std AS gap_days_std,
       1 / (1 + pow(gap_std / gap_mean, 2)) AS gap_regularity, since / gap_median AS overdue_ratio,
       CASE WHEN level IS NULL THEN 3 WHEN level < 0.6 THEN 1 WHEN level < 0.9 THEN 2
            WHEN level < 1.2 THEN 3 WHEN level < 1.8 THEN 4 ELSE 5 END::BIGINT AS price_tier,
       k.kind, coalesce(k.replenishable, false) AS replenishable
FROM pair LEFT JOIN categories k USING (category)
