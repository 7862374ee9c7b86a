WITH friend AS (
    SELECT customer_id, active, CASE WHEN active THEN clerk_id END AS clerk_id,
           CASE WHEN active THEN since END AS since
    FROM (SELECT *, coalesce(ended_at >= $as_of, true) AS active FROM friendships
          WHERE since < $as_of)
    QUALIFY row_number() OVER (PARTITION BY customer_id
                               ORDER BY active DESC, since DESC, clerk_id) = 1),
block AS (
    SELECT customer_id, max(ts) AS ts FROM ref_answer WHERE kind = 'blocked' GROUP BY ALL),
cases AS (
    SELECT customer_id, count(*) AS n,
           count(*) FILTER (coalesce(closed_at >= $as_of, true)) AS n_open,
           count(*) FILTER (kind = 'complaint' AND coalesce(closed_at >= $as_of, true)) AS n_bad,
           $today - epoch(max(opened_at))::BIGINT // 86400 AS days
    FROM service_cases WHERE opened_at < $as_of GROUP BY ALL),
benefit AS (
    SELECT customer_id, count(*) FILTER (kind = 'coupon') AS coupons,
           sum(amount) FILTER (kind = 'coupon') AS coupon_amount,
           sum(amount) FILTER (kind = 'points') AS points,
           count(*) FILTER (kind = 'gift') AS gifts,
           epoch(min(expires_at) FILTER (kind = 'coupon'))::BIGINT // 86400 - $today AS days
    FROM benefits WHERE coalesce(used_at >= $as_of, true) AND coalesce(expires_at >= $as_of, true)
    GROUP BY ALL),
joined AS (
    SELECT c.*, f.clerk_id AS friend_clerk,
           CASE WHEN f.customer_id IS NOT NULL THEN f.since
                WHEN c.friend_since < $as_of THEN c.friend_since END AS friend_from,
           greatest(CASE WHEN c.blocked_at < $as_of THEN c.blocked_at END, b.ts) AS block,
           block IS NOT NULL AND coalesce(block >= friend_from, true) AS blocked,
           s.n, s.n_open, s.n_bad, s.days AS case_days, e.coupons, e.coupon_amount, e.points,
           e.gifts, e.days AS coupon_days,
           TRY_CAST(right(c.birthday, 5)[1:2] AS BIGINT) AS month,
           TRY_CAST(right(c.birthday, 2) AS BIGINT) AS month_day,
           [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month]
             + CASE WHEN month = 2 AND month_day = 29 THEN 28 ELSE month_day END AS year_day,
           [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month($as_of)]
             + CASE WHEN month($as_of) = 2 THEN least(day($as_of), 28) ELSE day($as_of) END
             AS this_day
    FROM customers c LEFT JOIN friend f USING (customer_id) LEFT JOIN block b USING (customer_id)
    LEFT JOIN cases s USING (customer_id) LEFT JOIN benefit e USING (customer_id)
    WHERE coalesce(c.joined_at < $as_of, true))
SELECT customer_id, store_id, coalesce(friend_clerk, clerk_id) AS clerk_id,
       friend_from IS NOT NULL AND NOT blocked AS is_friend, friend_from AS friend_since,
       blocked AS is_blocked, CASE WHEN blocked THEN block END AS blocked_since,
       coalesce(consent_contact, true) AS consent_contact,
       coalesce(consent_profiling, true) AS consent_profiling, birthday,
       month AS birthday_month, ((year_day - this_day + 365) % 365)::DOUBLE AS days_to_birthday,
       CASE WHEN length(birthday) = 10
            THEN $year - birthday[1:4]::BIGINT - (year_day > this_day)::BIGINT END::DOUBLE
         AS age_years,
       gender, city, locale,
       ($today - epoch(joined_at)::BIGINT // 86400)::DOUBLE AS joined_days,
       coalesce(n_open, 0)::BIGINT AS open_service_cases,
       coalesce(n_bad, 0)::BIGINT AS open_complaints, coalesce(n, 0)::BIGINT AS service_cases,
       case_days::DOUBLE AS days_since_service_case, coalesce(coupons, 0)::BIGINT AS open_coupons,
       coalesce(coupon_amount, 0)::DOUBLE AS open_coupon_amount,
       coupon_days::DOUBLE AS coupon_expiry_days, coalesce(points, 0)::DOUBLE AS open_points,
       coalesce(gifts, 0)::BIGINT AS open_gifts
FROM joined
