WITH critical AS (
    SELECT
        coalesce(assigned_to, 'nobody') AS person,
        range_agg(tstzrange(created_at, coalesce(resolved_at, now()))) AS lasted
    FROM incident.incidents
    WHERE severity = 'critical' AND $__timeFilter(created_at) AND service ~ '^(${service:pipe})$'
    GROUP BY 1
), shown AS (
    SELECT greatest(1, extract(epoch FROM $__timeTo()::timestamptz - $__timeFrom()::timestamptz) / 604800) AS weeks
)
SELECT
    person AS "person",
    sum(extract(epoch FROM upper(stretch) - lower(stretch))) / 3024 / min(weeks) AS "spent"
FROM shown, critical, unnest(critical.lasted) AS stretch
GROUP BY 1
ORDER BY 1
