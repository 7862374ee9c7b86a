WITH gap AS (
    SELECT *, day - lag(day) OVER (PARTITION BY customer_id ORDER BY day) AS gap FROM ref_day),
days AS (
    SELECT customer_id, count(*) AS purchase_days, $today - max(day) AS since,
           $today - min(day) AS since_first, avg(gap) AS gap_mean, median(gap) AS gap_median,
           stddev_pop(gap) AS gap_std, max(gap) AS gap_max, sum(orders) AS orders,
           sum(lines) AS lines, sum(items) AS items, sum(amount) AS amount,
           sum(margin) AS margin, sum(discount) AS discount, max(amount) AS max_amount,
           coalesce(sum(amount) FILTER (day >= $today - 30), 0) AS amount_30,
           coalesce(sum(margin) FILTER (day >= $today - 30), 0) AS margin_30,
           count(*) FILTER (day >= $today - 30) AS days_30,
           coalesce(sum(amount) FILTER (day >= $today - 90), 0) AS amount_90,
           coalesce(sum(margin) FILTER (day >= $today - 90), 0) AS margin_90,
           count(*) FILTER (day >= $today - 90) AS days_90,
           coalesce(sum(amount) FILTER (day >= $today - 365), 0) AS amount_365,
           coalesce(sum(margin) FILTER (day >= $today - 365), 0) AS margin_365,
           count(*) FILTER (day >= $today - 365) AS days_365,
           count(*) FILTER (day >= $today - 180 AND day < $today - 90) AS days_before,
           sum(round(pow(0.5, ($today - day) / 90.0), 12)) AS decayed
    FROM gap GROUP BY ALL),
habit AS (
    SELECT customer_id, count(*) AS n,
           count(*) FILTER ((day + 3) % 7 = 0) / n AS w1, count(*) FILTER ((day + 3) % 7 = 1) / n AS w2,
           count(*) FILTER ((day + 3) % 7 = 2) / n AS w3, count(*) FILTER ((day + 3) % 7 = 3) / n AS w4,
           count(*) FILTER ((day + 3) % 7 = 4) / n AS w5, count(*) FILTER ((day + 3) % 7 = 5) / n AS w6,
           count(*) FILTER ((day + 3) % 7 = 6) / n AS w7,
           count(*) FILTER ((day + 3) % 7 >= 5) / n AS weekend,
           count(*) FILTER (hour BETWEEN 6 AND 11) / n AS morning,
           count(*) FILTER (hour BETWEEN 12 AND 17) / n AS afternoon,
           count(*) FILTER (hour BETWEEN 18 AND 21) / n AS evening,
           count(*) FILTER (hour >= 22 OR hour < 6) / n AS night,
           count(*) FILTER (channel = 'store') / n AS c_store,
           count(*) FILTER (channel = 'mini_program') / n AS c_mini,
           count(*) FILTER (channel = 'web') / n AS c_web
    FROM ref_order GROUP BY ALL),
hour AS (
    SELECT customer_id, arg_max(hour, n * 24 + 23 - hour) AS peak
    FROM (SELECT customer_id, hour, count(*) AS n FROM ref_order GROUP BY ALL) GROUP BY ALL),
weekday AS (
    SELECT customer_id, arg_max(weekday, n * 7 + 6 - weekday) + 1 AS peak
    FROM (SELECT customer_id, (day + 3) % 7 AS weekday, count(*) AS n FROM ref_order GROUP BY ALL)
    GROUP BY ALL),
taste AS (
    SELECT customer_id, count(*) AS categories, sum(n) AS total, sum(round(n * ln(n), 9)) AS logs,
           max(n) AS main_n, sum(level_quantity) / nullif(sum(levelled), 0) AS level,
           min(category) FILTER (n = best) AS main
    FROM (SELECT *, max(n) OVER (PARTITION BY customer_id) AS best
          FROM (SELECT customer_id, category, count(*) AS n, sum(level_quantity) AS level_quantity,
                       sum(levelled) AS levelled FROM ref_category_day GROUP BY ALL))
    GROUP BY ALL),
goods AS (
    SELECT customer_id, count(*) FILTER (n > 0) AS products,
           count(*) FILTER (n > 1) / nullif(count(*) FILTER (n > 0), 0) AS repeated,
           sum(returned_amount) AS returned_amount,
           CASE WHEN sum(quantity) > 0 THEN least(sum(returned_quantity) / sum(quantity), 1) END
             AS returned,
           $today - max(last_return) AS since_return
    FROM (SELECT customer_id, product_id, count(*) FILTER (bought) AS n,
                 sum(quantity) AS quantity, sum(returned_quantity) AS returned_quantity,
                 sum(returned_amount) AS returned_amount,
                 max(day) FILTER (returned_quantity > 0) AS last_return
          FROM ref_product_day GROUP BY ALL)
    GROUP BY ALL)
SELECT d.customer_id, since::DOUBLE AS days_since_purchase,
       since_first::DOUBLE AS days_since_first_purchase, purchase_days, orders::BIGINT AS orders,
       lines::BIGINT AS lines, items, amount AS spend_amount, margin AS margin_amount,
       discount AS discount_amount, returned_amount AS return_amount,
       amount_30 AS spend_30d_amount, margin_30 AS margin_30d_amount,
       days_30 AS purchase_days_30d, amount_90 AS spend_90d_amount,
       margin_90 AS margin_90d_amount, days_90 AS purchase_days_90d,
       amount_365 AS spend_365d_amount, margin_365 AS margin_365d_amount,
       days_365 AS purchase_days_365d, decayed AS decayed_purchase_days,
       amount / orders AS average_order_amount, max_amount AS max_day_amount,
       items / orders AS items_per_order, amount / nullif(items, 0) AS average_item_amount,
       gap_mean AS gap_days_mean, gap_median AS gap_days_median, gap_std AS gap_days_std,
       gap_max::DOUBLE AS gap_days_max, 1 / (1 + pow(gap_std / gap_mean, 2)) AS gap_regularity,
       since / gap_median AS overdue_ratio, (days_90 + 1) / (days_before + 1) AS trend_ratio,
       weekday.peak AS weekday_peak, w1 AS weekday_1_share, w2 AS weekday_2_share,
       w3 AS weekday_3_share, w4 AS weekday_4_share, w5 AS weekday_5_share, w6 AS weekday_6_share,
       w7 AS weekday_7_share, weekend AS weekend_share, hour.peak AS purchase_hour_peak,
       morning AS morning_share, afternoon AS afternoon_share, evening AS evening_share,
       night AS night_share, c_store AS channel_store_share, c_mini AS channel_mini_program_share,
       c_web AS channel_web_share, level AS price_level,
       CASE WHEN level IS NULL THEN 3 WHEN level < 0.6 THEN 1 WHEN level < 0.9 THEN 2
            WHEN level < 1.2 THEN 3 WHEN level < 1.8 THEN 4 ELSE 5 END::BIGINT AS price_tier,
       CASE WHEN amount + discount <> 0 THEN greatest(least(discount / (amount + discount), 1), 0) END
         AS discount_share,
       returned AS return_share, since_return::DOUBLE AS days_since_return,
       categories AS category_count, CASE WHEN categories > 1 THEN greatest(ln(total) - logs / total, 0) ELSE 0 END
         AS category_entropy,
       main AS main_category, main_n / total AS main_category_share,
       k.kind AS main_category_kind, products AS product_count,
       repeated AS repeat_product_share
FROM days d JOIN habit USING (customer_id) JOIN hour USING (customer_id)
JOIN weekday USING (customer_id) JOIN taste USING (customer_id) JOIN goods USING (customer_id)
LEFT JOIN categories k ON k.category = main
