WITH latest AS (
    SELECT * REPLACE (coalesce(source, 'import') AS source) FROM tags WHERE ts < $as_of
    QUALIFY row_number() OVER (PARTITION BY customer_id, tag, coalesce(source, 'import')
                               ORDER BY ts DESC) = 1)
SELECT customer_id, tag, value, source, ts, expires_at
FROM latest WHERE coalesce(expires_at > $as_of, true)
QUALIFY row_number() OVER (
    PARTITION BY customer_id, tag
    ORDER BY CASE source WHEN 'clerk' THEN 0 WHEN 'import' THEN 1 WHEN 'model' THEN 2 ELSE 3 END) = 1
