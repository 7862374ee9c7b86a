WITH sale AS (
    SELECT store_id, sum(amount) AS amount, sum(amount) FILTER (customer_id IS NULL) AS anonymous
    FROM (SELECT t.store_id, t.customer_id,
                 t.quantity * coalesce(t.unit_price, p.list_price, 0)
                   - sign(t.quantity) * coalesce(abs(t.discount), 0) AS amount
          FROM transactions t LEFT JOIN ref_product p USING (product_id)
          WHERE t.ts < $as_of AND t.quantity > 0 AND epoch(t.ts)::BIGINT // 86400 >= $today - 90)
    GROUP BY ALL)
SELECT s.store_id, s.name, s.region, s.timezone,
       (SELECT count(*) FROM clerks c
        WHERE c.store_id = s.store_id AND NOT coalesce(c.left_at < $as_of, false)) AS clerks,
       (SELECT count(*) FROM customers c
        WHERE c.store_id = s.store_id AND coalesce(c.joined_at < $as_of, true)) AS customers,
       coalesce(a.amount, 0) AS sales_90d_amount,
       CASE WHEN a.amount > 0 THEN coalesce(a.anonymous, 0) / a.amount END AS anonymous_share
FROM stores s LEFT JOIN sale a USING (store_id)
