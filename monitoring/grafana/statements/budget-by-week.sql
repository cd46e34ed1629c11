WITH critical AS (
    SELECT tstzrange(created_at, coalesce(resolved_at, now())) AS lasted
    FROM incident.incidents
    WHERE severity = 'critical' AND service ~ '^(${service:pipe})$'
), weeks AS (
    SELECT starts_at, tstzrange(starts_at, starts_at + interval '168 hours') AS lasted
    FROM generate_series(
        date_trunc('week', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz, interval '168 hours'
    ) AS starts_at
)
SELECT
    to_char(starts_at AT TIME ZONE 'UTC', 'IYYY-"W"IW') AS "week",
    coalesce(sum(extract(epoch FROM upper(stretch) - lower(stretch))), 0) / 3024 AS "spent"
FROM weeks
LEFT JOIN LATERAL unnest(
    (SELECT range_agg(critical.lasted * weeks.lasted) FROM critical WHERE critical.lasted && weeks.lasted)
) AS stretch ON true
GROUP BY 1
ORDER BY 1
