SELECT
    to_char(date_trunc('week', created_at, 'UTC') AT TIME ZONE 'UTC', 'IYYY-"W"IW') AS "week",
    coalesce(assigned_to, 'nobody') AS "person",
    count(*) AS "incidents",
    avg(extract(epoch FROM acknowledged_at - created_at)) AS "MTTA",
    avg(extract(epoch FROM resolved_at - created_at)) AS "MTTR",
    coalesce(
        sum(extract(epoch FROM coalesce(resolved_at, now()) - created_at)) FILTER (WHERE severity = 'critical'), 0
    ) / 3024 AS "budget spent"
FROM incident.incidents
WHERE $__timeFilter(created_at) AND service ~ '^(${service:pipe})$'
GROUP BY 1, 2
ORDER BY 1 DESC, 2
