CREATE OR REPLACE TEMP TABLE ref_product AS
SELECT p.product_id, coalesce(p.category, 'unknown') AS category, p.price AS list_price,
       p.cost AS unit_cost,
       CASE WHEN p.cost IS NOT NULL AND p.price > 0 THEN (p.price - p.cost) / p.price
            ELSE coalesce(c.margin_rate, 0.3) END AS margin_rate,
       CASE WHEN p.price > 0 AND p.category IS NOT NULL
            THEN p.price / avg(p.price) FILTER (p.price > 0) OVER (PARTITION BY p.category) END
         AS price_level
FROM products p LEFT JOIN categories c USING (category);

CREATE OR REPLACE TEMP TABLE ref_product_day AS
SELECT customer_id, product_id, category, day,
       coalesce(sum(quantity) FILTER (quantity > 0), 0) AS quantity,
       coalesce(-sum(quantity) FILTER (quantity <= 0), 0) AS returned_quantity,
       coalesce(sum(amount) FILTER (quantity > 0), 0) AS amount,
       coalesce(sum(margin) FILTER (quantity > 0), 0) AS margin,
       coalesce(-sum(amount) FILTER (quantity <= 0), 0) AS returned_amount,
       coalesce(sum(round(price_level * quantity, 9)) FILTER (quantity > 0), 0) AS level_quantity,
       coalesce(sum(quantity) FILTER (quantity > 0 AND price_level IS NOT NULL), 0) AS levelled,
       bool_or(quantity > 0) AS bought
FROM (
    SELECT t.customer_id, t.product_id, coalesce(p.category, 'unknown') AS category,
           epoch(t.ts)::BIGINT // 86400 AS day, t.quantity, p.price_level,
           t.quantity * coalesce(t.unit_price, p.list_price, 0)
             - sign(t.quantity) * coalesce(abs(t.discount), 0) AS paid,
           round(paid, 4) AS amount,
           round(CASE WHEN p.unit_cost IS NOT NULL THEN paid - t.quantity * p.unit_cost
                      ELSE paid * coalesce(p.margin_rate, 0.3) END, 4) AS margin
    FROM transactions t LEFT JOIN ref_product p USING (product_id)
    WHERE t.ts < $as_of AND t.customer_id IS NOT NULL)
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE ref_category_day AS
SELECT customer_id, category, day, sum(quantity) AS quantity, sum(amount) AS amount,
       sum(margin) AS margin, sum(level_quantity) AS level_quantity, sum(levelled) AS levelled
FROM ref_product_day WHERE bought GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE ref_order AS
SELECT customer_id, order_id, epoch(ts)::BIGINT // 86400 AS day, min(hour(ts)) AS hour,
       count(*) AS lines, sum(quantity) AS items, sum(amount) AS amount, sum(margin) AS margin,
       sum(taken) AS discount, min(channel) AS channel
FROM (
    SELECT t.customer_id, t.order_id, t.ts, t.quantity, t.channel,
           coalesce(abs(t.discount), 0) AS taken,
           t.quantity * coalesce(t.unit_price, p.list_price, 0) - sign(t.quantity) * taken AS paid,
           round(paid, 4) AS amount,
           round(CASE WHEN p.unit_cost IS NOT NULL THEN paid - t.quantity * p.unit_cost
                      ELSE paid * coalesce(p.margin_rate, 0.3) END, 4) AS margin
    FROM (SELECT * FROM transactions
          WHERE ts < $as_of AND customer_id IS NOT NULL AND quantity > 0) t
    LEFT JOIN ref_product p USING (product_id))
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE ref_day AS
SELECT customer_id, day, count(*) AS orders, sum(lines) AS lines, sum(items) AS items,
       sum(amount) AS amount, sum(margin) AS margin, sum(discount) AS discount
FROM ref_order GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE ref_contact AS
SELECT interaction_id, customer_id, clerk_id, ts, mode, channel, group_id,
       coalesce(channel = 'moments', false) AS feed,
       epoch(ts)::BIGINT // 86400 AS day, coalesce(minutes, 0) AS minutes
FROM interactions WHERE ts < $as_of AND mode <> 'none';

CREATE OR REPLACE TEMP TABLE ref_answer AS
SELECT r.interaction_id, coalesce(r.customer_id, i.customer_id) AS customer_id, i.mode,
       i.group_id, coalesce(i.channel = 'moments', false) AS feed, r.ts, epoch(r.ts)::BIGINT // 86400 AS day, r.kind,
       r.kind IN ('replied', 'clicked', 'joined', 'attended', 'purchased') AS engaged,
       r.kind IN ('blocked', 'complained') AS negative
FROM (SELECT * FROM responses WHERE ts < $as_of) r
LEFT JOIN (SELECT * FROM interactions WHERE ts < $as_of) i ON r.interaction_id = i.interaction_id
WHERE coalesce(r.customer_id, i.customer_id) IS NOT NULL
