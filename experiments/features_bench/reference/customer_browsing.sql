SELECT customer_id,
       count(*) FILTER (kind = 'view' AND day >= $today - 7) AS product_views_7d,
       count(*) FILTER (kind = 'view' AND day >= $today - 30) AS product_views_30d,
       count(DISTINCT product_id) FILTER (kind = 'view' AND day >= $today - 30)
         AS products_viewed_30d,
       count(*) FILTER (kind = 'search' AND day >= $today - 30) AS searches_30d,
       count(*) FILTER (kind = 'cart' AND day >= $today - 30) AS carts_30d,
       count(*) FILTER (kind = 'favourite' AND day >= $today - 90) AS favourites_90d,
       count(*) FILTER (kind = 'share' AND day >= $today - 90) AS shares_90d,
       ($today - max(day))::DOUBLE AS days_since_browsing,
       ($today - max(day) FILTER (kind = 'cart'))::DOUBLE AS days_since_cart
FROM (SELECT *, epoch(ts)::BIGINT // 86400 AS day FROM behaviour WHERE ts < $as_of)
GROUP BY customer_id
