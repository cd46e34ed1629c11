SELECT
    resolved_by AS "person",
    avg(extract(epoch FROM resolved_at - created_at)) AS "mean",
    percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM resolved_at - created_at)) AS "90%"
FROM incident.incidents
WHERE resolved_at IS NOT NULL AND $__timeFilter(created_at) AND service ~ '^(${service:pipe})$'
GROUP BY 1
ORDER BY 1
