WITH sale AS (
    SELECT product_id, coalesce(sum(quantity) FILTER (quantity > 0), 0) AS quantity,
           coalesce(-sum(quantity) FILTER (quantity <= 0), 0) AS returned,
           sum(quantity) FILTER (quantity > 0 AND day >= $today - 30) AS n_30,
           sum(quantity) FILTER (quantity > 0 AND day >= $today - 90) AS n_90,
           sum(quantity) FILTER (quantity > 0 AND day < $today - 90 AND day >= $today - 180)
             AS n_before,
           sum(amount) FILTER (quantity > 0 AND day >= $today - 90) AS amount_90,
           min(day) FILTER (quantity > 0) AS first_day, max(day) FILTER (quantity > 0) AS last_day
    FROM (SELECT t.product_id, t.quantity, epoch(t.ts)::BIGINT // 86400 AS day,
                 t.quantity * coalesce(t.unit_price, p.list_price, 0)
                   - sign(t.quantity) * coalesce(abs(t.discount), 0) AS amount
          FROM transactions t LEFT JOIN ref_product p USING (product_id) WHERE t.ts < $as_of)
    GROUP BY ALL),
buyer AS (
    SELECT product_id, count(*) FILTER (n > 0) AS buyers, count(*) FILTER (n > 1) AS repeat_buyers,
           count(*) FILTER (late) AS buyers_90
    FROM (SELECT product_id, customer_id, count(*) FILTER (bought) AS n,
                 bool_or(bought AND day >= $today - 90) AS late
          FROM ref_product_day GROUP BY ALL)
    GROUP BY ALL),
shelf AS (
    SELECT product_id, sum(on_hand) AS on_hand, count(*) FILTER (on_hand > 0) AS stores
    FROM (SELECT product_id, store_id, arg_max(on_hand, ts) AS on_hand FROM stock
          WHERE ts < $as_of GROUP BY ALL)
    GROUP BY ALL),
returned AS (
    SELECT a.product_id, max(a.ts) AS at FROM stock a
    ASOF JOIN stock b ON a.product_id = b.product_id AND a.store_id = b.store_id AND a.ts > b.ts
    WHERE a.ts < $as_of AND a.on_hand > 0 AND b.on_hand <= 0
    GROUP BY ALL)
SELECT p.product_id, p.name, r.category, k.kind AS category_kind,
       coalesce(k.replenishable, false) AS replenishable, p.brand, p.price, p.cost, r.margin_rate,
       r.price_level, p.link, coalesce(p.retired_at < $as_of, false) AS is_retired,
       coalesce(
         $today - epoch(p.launched_at)::BIGINT // 86400,
         CASE WHEN s.first_day - (SELECT min(first_day) FROM sale) >= 60
              THEN $today - s.first_day END
       )::DOUBLE AS launched_days,
       coalesce(s.n_30, 0) AS sales_30d, coalesce(s.n_90, 0) AS sales_90d,
       coalesce(s.n_before, 0) AS sales_previous_90d,
       (coalesce(s.n_90, 0) + 1) / (coalesce(s.n_before, 0) + 1) AS sales_trend,
       coalesce(s.amount_90, 0) AS spend_90d_amount, coalesce(b.buyers, 0)::BIGINT AS buyers,
       coalesce(b.buyers_90, 0)::BIGINT AS buyers_90d,
       b.repeat_buyers / nullif(b.buyers, 0) AS repeat_buyer_share,
       CASE WHEN s.quantity > 0 THEN least(s.returned / s.quantity, 1) END AS return_share,
       ($today - s.last_day)::DOUBLE AS days_since_sale, h.on_hand, h.stores AS stores_in_stock,
       ($today - epoch(back.at)::BIGINT // 86400)::DOUBLE AS days_since_restock
FROM products p LEFT JOIN ref_product r USING (product_id)
LEFT JOIN categories k ON k.category = r.category LEFT JOIN sale s USING (product_id)
LEFT JOIN buyer b USING (product_id) LEFT JOIN shelf h USING (product_id)
LEFT JOIN returned back USING (product_id)
