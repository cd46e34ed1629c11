SELECT
    created_at AS "time",
    coalesce(resolved_at, now()) AS "timeend",
    severity || ': ' || title || ' <a href="${console:raw}/incidents/' || id || '">open in the console</a>' AS "text",
    service || ',' || severity AS "tags"
FROM incident.incidents
WHERE $__timeFilter(created_at) AND severity IN ('critical', 'high') AND service ~ '^(${service:pipe})$'
ORDER BY created_at
