SELECT
    coalesce(assigned_to, 'nobody') AS "person",
    sum(extract(epoch FROM coalesce(resolved_at, now()) - created_at)) / 3024 AS "spent"
FROM incident.incidents
WHERE severity = 'critical' AND $__timeFilter(created_at) AND service ~ '^(${service:pipe})$'
GROUP BY 1
ORDER BY 1
