SELECT
    created_at AS "opened",
    severity,
    service,
    title,
    status,
    coalesce(assigned_to, 'nobody') AS "assigned to",
    extract(epoch FROM acknowledged_at - created_at) AS "acknowledged after",
    extract(epoch FROM resolved_at - created_at) AS "resolved after",
    id::text AS "incident"
FROM incident.incidents
WHERE ($__timeFilter(created_at) OR status <> 'resolved') AND service ~ '^(${service:pipe})$'
ORDER BY created_at DESC
LIMIT 100
