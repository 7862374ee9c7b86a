WITH friend AS (
    SELECT clerk_id, count(*) AS customers, count(*) FILTER (is_friend) AS friends
    FROM ref_state GROUP BY ALL),
contact AS (
    SELECT clerk_id, count(*) FILTER (day >= $today - 30) AS contacts,
           sum(minutes) FILTER (day >= $today - 30) AS minutes FROM ref_contact GROUP BY ALL),
word AS (
    SELECT clerk_id, count(*) AS answered, count(*) FILTER (sent) AS sent
    FROM (SELECT clerk_id, action_id, bool_or(kind = 'sent') AS sent FROM feedback
          WHERE ts < $as_of AND epoch(ts)::BIGINT // 86400 >= $today - 90 GROUP BY ALL)
    GROUP BY ALL)
SELECT c.clerk_id, c.store_id, c.name, coalesce(c.minutes_per_day, 60.0) AS minutes_per_day,
       contains(coalesce(c.working_days, '1234567'), $isoweekday)
         AND NOT coalesce(c.left_at < $as_of, false)
         AND NOT EXISTS (FROM absences a WHERE a.clerk_id = c.clerk_id AND a.date = $date)
         AS works_today,
       coalesce(c.left_at < $as_of, false) AS has_left, c.shift_start, c.shift_end,
       coalesce(c.modes, ['shopping_assistant', 'topic_expert', 'private_partner']) AS modes,
       coalesce(f.customers, 0) AS customers, coalesce(f.friends, 0) AS friends,
       coalesce(t.contacts, 0) AS contacts_30d, coalesce(t.minutes, 0)::DOUBLE AS minutes_30d,
       coalesce(w.answered, 0) AS actions_answered_90d, coalesce(w.sent, 0) AS actions_sent_90d,
       (coalesce(w.sent, 0) + 1) / (coalesce(w.answered, 0) + 2) AS adoption_rate
FROM clerks c LEFT JOIN friend f USING (clerk_id) LEFT JOIN contact t USING (clerk_id)
LEFT JOIN word w USING (clerk_id)
