SELECT customer_id, product_id, max(category) AS category,
       count(*) FILTER (bought) AS purchase_days, sum(quantity) AS quantity,
       sum(amount) AS spend_amount,
       coalesce(sum(round(pow(0.5, ($today - day) / 180.0), 12)) FILTER (bought), 0) AS decayed_count,
       ($today - max(day) FILTER (bought))::DOUBLE AS days_since_purchase,
       ($today - min(day) FILTER (bought))::DOUBLE AS days_since_first_purchase,
       CASE WHEN count(*) FILTER (bought) > 1
            THEN (max(day) FILTER (bought) - min(day) FILTER (bought))
                 / (count(*) FILTER (bought) - 1) END AS gap_days_mean,
       sum(returned_quantity) > 0 AS returned,
       ($today - max(day) FILTER (returned_quantity > 0))::DOUBLE AS days_since_return
FROM ref_product_day GROUP BY customer_id, product_id
