WITH contact AS (
    SELECT customer_id, count(*) FILTER (NOT feed) AS contacts,
           $today - max(day) FILTER (NOT feed) AS days_since_contact,
           count(*) FILTER (channel = 'group' AND day >= $today - 90) AS group_contacts_90d,
           sum(round(pow(0.5, ($today - day) / 14.0), 12)) FILTER (NOT feed) AS wear,
           count(*) FILTER (NOT feed AND day >= $today - 7) AS contacts_7d,
           coalesce(sum(minutes) FILTER (day >= $today - 7), 0) AS minutes_7d,
           count(*) FILTER (NOT feed AND day >= $today - 30) AS contacts_30d,
           coalesce(sum(minutes) FILTER (day >= $today - 30), 0) AS minutes_30d,
           count(*) FILTER (NOT feed AND day >= $today - 90) AS contacts_90d,
           coalesce(sum(minutes) FILTER (day >= $today - 90), 0) AS minutes_90d,
           count(*) FILTER (NOT feed AND day >= $today - 365) AS contacts_365d,
           coalesce(sum(minutes) FILTER (day >= $today - 365), 0) AS minutes_365d,
           count(*) FILTER (NOT feed AND mode = 'shopping_assistant' AND day >= $today - 90) AS contacts_shopping_assistant_90d,
           count(*) FILTER (NOT feed AND mode = 'shopping_assistant' AND day >= $today - 365) AS contacts_shopping_assistant_365d,
           coalesce(sum(minutes) FILTER (mode = 'shopping_assistant' AND day >= $today - 90), 0) AS minutes_shopping_assistant_90d,
           $today - max(day) FILTER (NOT feed AND mode = 'shopping_assistant') AS days_since_contact_shopping_assistant,
           count(*) FILTER (NOT feed AND mode = 'topic_expert' AND day >= $today - 90) AS contacts_topic_expert_90d,
           count(*) FILTER (NOT feed AND mode = 'topic_expert' AND day >= $today - 365) AS contacts_topic_expert_365d,
           coalesce(sum(minutes) FILTER (mode = 'topic_expert' AND day >= $today - 90), 0) AS minutes_topic_expert_90d,
           $today - max(day) FILTER (NOT feed AND mode = 'topic_expert') AS days_since_contact_topic_expert,
           count(*) FILTER (NOT feed AND mode = 'private_partner' AND day >= $today - 90) AS contacts_private_partner_90d,
           count(*) FILTER (NOT feed AND mode = 'private_partner' AND day >= $today - 365) AS contacts_private_partner_365d,
           coalesce(sum(minutes) FILTER (mode = 'private_partner' AND day >= $today - 90), 0) AS minutes_private_partner_90d,
           $today - max(day) FILTER (NOT feed AND mode = 'private_partner') AS days_since_contact_private_partner
    FROM ref_contact GROUP BY ALL),
answer AS (
    SELECT customer_id, count(*) FILTER (kind = 'read' AND NOT feed AND day >= $today - 90) AS reads_90d,
           count(*) FILTER (negative AND day >= $today - 90) AS negative_responses_90d,
           count(*) FILTER (negative AND day >= $today - 365) AS negative_responses_365d,
           $today - max(day) FILTER (engaged) AS days_since_response,
           $today - max(day) FILTER (negative) AS days_since_negative_response,
           count(*) FILTER (engaged AND group_id IS NOT NULL AND day >= $today - 90)
             AS group_responses_90d,
           sum(round(pow(0.5, ($today - day) / 14.0), 12)) FILTER (engaged) AS relief,
           count(*) FILTER (engaged AND day >= $today - 7) AS responses_7d,
           count(*) FILTER (engaged AND day >= $today - 30) AS responses_30d,
           count(*) FILTER (engaged AND day >= $today - 90) AS responses_90d,
           count(*) FILTER (engaged AND day >= $today - 365) AS responses_365d,
           count(*) FILTER (engaged AND mode = 'shopping_assistant' AND day >= $today - 365) AS responses_shopping_assistant_365d,
           count(*) FILTER (engaged AND mode = 'topic_expert' AND day >= $today - 365) AS responses_topic_expert_365d,
           count(*) FILTER (engaged AND mode = 'private_partner' AND day >= $today - 365) AS responses_private_partner_365d
    FROM ref_answer GROUP BY ALL),
answered AS (
    SELECT customer_id, count(*) AS n,
           count(*) FILTER (mode = 'shopping_assistant') AS n_shopping_assistant,
           count(*) FILTER (mode = 'topic_expert') AS n_topic_expert,
           count(*) FILTER (mode = 'private_partner') AS n_private_partner
    FROM ref_contact
    WHERE NOT feed AND day >= $today - 365
      AND interaction_id IN (SELECT interaction_id FROM ref_answer
                             WHERE engaged AND interaction_id IS NOT NULL)
    GROUP BY ALL),
hours AS (
    SELECT customer_id,
           count(*) FILTER (h >= 0 AND h < 8) AS sent_night,
           count(*) FILTER (h >= 8 AND h < 11) AS sent_morning,
           count(*) FILTER (h >= 11 AND h < 14) AS sent_noon,
           count(*) FILTER (h >= 14 AND h < 16) AS sent_afternoon,
           count(*) FILTER (h >= 16 AND h < 18) AS sent_late_afternoon,
           count(*) FILTER (h >= 18 AND h < 20) AS sent_evening,
           count(*) FILTER (h >= 20 AND h < 24) AS sent_late_evening,
           count(*) FILTER (h >= 0 AND h < 8 AND seen) AS read_night,
           count(*) FILTER (h >= 8 AND h < 11 AND seen) AS read_morning,
           count(*) FILTER (h >= 11 AND h < 14 AND seen) AS read_noon,
           count(*) FILTER (h >= 14 AND h < 16 AND seen) AS read_afternoon,
           count(*) FILTER (h >= 16 AND h < 18 AND seen) AS read_late_afternoon,
           count(*) FILTER (h >= 18 AND h < 20 AND seen) AS read_evening,
           count(*) FILTER (h >= 20 AND h < 24 AND seen) AS read_late_evening
    FROM (SELECT customer_id, hour(ts) AS h,
                 interaction_id IN (SELECT interaction_id FROM ref_answer
                                    WHERE kind IN ('read', 'replied', 'clicked')
                                      AND interaction_id IS NOT NULL) AS seen
          FROM ref_contact
          WHERE day >= $today - 365 AND coalesce(channel NOT IN ('group', 'moments'), true))
    GROUP BY ALL),
streak AS (
    SELECT c.customer_id, count(*) FILTER (l.ts IS NULL OR c.ts > l.ts) AS unanswered_streak
    FROM ref_contact c
    LEFT JOIN (SELECT customer_id, max(ts) AS ts FROM ref_answer WHERE engaged GROUP BY ALL) l
      USING (customer_id)
    WHERE NOT c.feed
    GROUP BY ALL),
membership AS (
    SELECT customer_id, count(*) FILTER (coalesce(left_at >= $as_of, true)) AS groups_joined,
           count(*) FILTER (left_at < $as_of) AS groups_left,
           $today - epoch(max(joined_at) FILTER (coalesce(left_at >= $as_of, true)))::BIGINT // 86400
             AS days_since_group_joined
    FROM memberships WHERE joined_at < $as_of GROUP BY ALL),
peak AS (
    SELECT customer_id, arg_max(hour, n * 24 + 23 - hour) AS peak
    FROM (SELECT customer_id, hour(ts) AS hour, count(*) AS n FROM ref_answer WHERE engaged
          GROUP BY ALL)
    GROUP BY ALL),
state AS (
    SELECT customer_id, is_friend, $today - epoch(friend_since)::BIGINT // 86400 AS friend_days
    FROM ref_state)
SELECT s.customer_id,
       coalesce(contacts, 0)::BIGINT AS contacts,
       coalesce(contacts_7d, 0)::BIGINT AS contacts_7d,
       coalesce(contacts_30d, 0)::BIGINT AS contacts_30d,
       coalesce(contacts_90d, 0)::BIGINT AS contacts_90d,
       coalesce(contacts_365d, 0)::BIGINT AS contacts_365d,
       coalesce(contacts_shopping_assistant_90d, 0)::BIGINT AS contacts_shopping_assistant_90d,
       coalesce(contacts_topic_expert_90d, 0)::BIGINT AS contacts_topic_expert_90d,
       coalesce(contacts_private_partner_90d, 0)::BIGINT AS contacts_private_partner_90d,
       coalesce(contacts_shopping_assistant_365d, 0)::BIGINT AS contacts_shopping_assistant_365d,
       coalesce(contacts_topic_expert_365d, 0)::BIGINT AS contacts_topic_expert_365d,
       coalesce(contacts_private_partner_365d, 0)::BIGINT AS contacts_private_partner_365d,
       days_since_contact::DOUBLE AS days_since_contact,
       days_since_contact_shopping_assistant::DOUBLE AS days_since_contact_shopping_assistant,
       days_since_contact_topic_expert::DOUBLE AS days_since_contact_topic_expert,
       days_since_contact_private_partner::DOUBLE AS days_since_contact_private_partner,
       coalesce(minutes_7d, 0)::DOUBLE AS minutes_7d,
       coalesce(minutes_30d, 0)::DOUBLE AS minutes_30d,
       coalesce(minutes_90d, 0)::DOUBLE AS minutes_90d,
       coalesce(minutes_365d, 0)::DOUBLE AS minutes_365d,
       coalesce(minutes_shopping_assistant_90d, 0)::DOUBLE AS minutes_shopping_assistant_90d,
       coalesce(minutes_topic_expert_90d, 0)::DOUBLE AS minutes_topic_expert_90d,
       coalesce(minutes_private_partner_90d, 0)::DOUBLE AS minutes_private_partner_90d,
       coalesce(responses_7d, 0)::BIGINT AS responses_7d,
       coalesce(responses_30d, 0)::BIGINT AS responses_30d,
       coalesce(responses_90d, 0)::BIGINT AS responses_90d,
       coalesce(responses_365d, 0)::BIGINT AS responses_365d,
       coalesce(responses_shopping_assistant_365d, 0)::BIGINT AS responses_shopping_assistant_365d,
       coalesce(responses_topic_expert_365d, 0)::BIGINT AS responses_topic_expert_365d,
       coalesce(responses_private_partner_365d, 0)::BIGINT AS responses_private_partner_365d,
       coalesce(reads_90d, 0)::BIGINT AS reads_90d,
       coalesce(o.sent_night, 0)::BIGINT AS sent_night_365d,
       coalesce(o.sent_morning, 0)::BIGINT AS sent_morning_365d,
       coalesce(o.sent_noon, 0)::BIGINT AS sent_noon_365d,
       coalesce(o.sent_afternoon, 0)::BIGINT AS sent_afternoon_365d,
       coalesce(o.sent_late_afternoon, 0)::BIGINT AS sent_late_afternoon_365d,
       coalesce(o.sent_evening, 0)::BIGINT AS sent_evening_365d,
       coalesce(o.sent_late_evening, 0)::BIGINT AS sent_late_evening_365d,
       coalesce(o.read_night, 0)::BIGINT AS read_night_365d,
       coalesce(o.read_morning, 0)::BIGINT AS read_morning_365d,
       coalesce(o.read_noon, 0)::BIGINT AS read_noon_365d,
       coalesce(o.read_afternoon, 0)::BIGINT AS read_afternoon_365d,
       coalesce(o.read_late_afternoon, 0)::BIGINT AS read_late_afternoon_365d,
       coalesce(o.read_evening, 0)::BIGINT AS read_evening_365d,
       coalesce(o.read_late_evening, 0)::BIGINT AS read_late_evening_365d,
       days_since_response::DOUBLE AS days_since_response,
       (coalesce(w.n, 0) + 1) / (coalesce(contacts_365d, 0) + 5) AS response_rate,
       (coalesce(w.n_shopping_assistant, 0) + 1) / (coalesce(contacts_shopping_assistant_365d, 0) + 5) AS response_rate_shopping_assistant,
       (coalesce(w.n_topic_expert, 0) + 1) / (coalesce(contacts_topic_expert_365d, 0) + 5) AS response_rate_topic_expert,
       (coalesce(w.n_private_partner, 0) + 1) / (coalesce(contacts_private_partner_365d, 0) + 5) AS response_rate_private_partner,
       coalesce(unanswered_streak, 0)::BIGINT AS unanswered_streak,
       coalesce(negative_responses_90d, 0)::BIGINT AS negative_responses_90d,
       coalesce(negative_responses_365d, 0)::BIGINT AS negative_responses_365d,
       days_since_negative_response::DOUBLE AS days_since_negative_response,
       coalesce(wear, 0) / (1 + coalesce(relief, 0)) AS fatigue,
       h.peak AS response_hour_peak,
       coalesce(groups_joined, 0)::BIGINT AS groups_joined,
       coalesce(groups_left, 0)::BIGINT AS groups_left,
       days_since_group_joined::DOUBLE AS days_since_group_joined,
       coalesce(group_contacts_90d, 0)::BIGINT AS group_contacts_90d,
       coalesce(group_responses_90d, 0)::BIGINT AS group_responses_90d,
       friend_days::DOUBLE AS friend_days,
       is_friend AND coalesce(days_since_response > 90, true) AND coalesce(friend_days > 90, false) AS is_silent_friend
FROM state s LEFT JOIN contact USING (customer_id) LEFT JOIN answer USING (customer_id)
LEFT JOIN answered w USING (customer_id) LEFT JOIN hours o USING (customer_id) LEFT JOIN streak USING (customer_id)
LEFT JOIN membership USING (customer_id) LEFT JOIN peak h USING (customer_id)
