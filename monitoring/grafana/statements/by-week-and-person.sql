WITH told AS (
    SELECT
        to_char(date_trunc('week', created_at, 'UTC') AT TIME ZONE 'UTC', 'IYYY-"W"IW') AS week,
        coalesce(assigned_to, 'nobody') AS person,
        count(*) AS incidents,
        avg(extract(epoch FROM acknowledged_at - created_at)) AS mtta,
        avg(extract(epoch FROM resolved_at - created_at)) AS mttr,
        range_agg(tstzrange(created_at, coalesce(resolved_at, now()))) FILTER (WHERE severity = 'critical') AS lasted
    FROM incident.incidents
    WHERE $__timeFilter(created_at) AND service ~ '^(${service:pipe})$'
    GROUP BY 1, 2
)
SELECT
    week AS "week",
    person AS "person",
    incidents AS "incidents",
    mtta AS "MTTA",
    mttr AS "MTTR",
    (
        SELECT coalesce(sum(extract(epoch FROM upper(stretch) - lower(stretch))), 0)
        FROM unnest(told.lasted) AS stretch
    ) / 3024 AS "budget spent"
FROM told
ORDER BY 1 DESC, 2
