-- The role of the exporter of Postgres' own metrics. It is no member of `pg_monitor`, which would show it
-- everybody's statements, and whoever reads its metrics when the examiner's sessions come and go: it asks
-- one function, which runs as its owner and counts the sessions of the shop, the platform and the candidate.
RESET ROLE;
RESET search_path;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'metrics') THEN
        CREATE ROLE metrics LOGIN;
    END IF;
END
$$;
REVOKE pg_monitor FROM metrics;
ALTER ROLE metrics CONNECTION LIMIT 5;

CREATE SCHEMA IF NOT EXISTS metrics;
CREATE OR REPLACE FUNCTION metrics.sessions()
RETURNS TABLE (
    application text, state text, wait text, sessions bigint, longest_transaction_seconds double precision
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT
        coalesce(nullif(activity.application_name, ''), 'unnamed'),
        coalesce(activity.state, 'unknown'),
        coalesce(activity.wait_event_type, 'none'),
        count(*),
        coalesce(max(extract(epoch FROM clock_timestamp() - activity.xact_start)), 0)::double precision
    FROM pg_stat_activity AS activity
    WHERE activity.datname = current_database() AND activity.usename IN ('shop', 'platform', 'candidate')
    GROUP BY 1, 2, 3
$$;
REVOKE ALL ON FUNCTION metrics.sessions() FROM PUBLIC;
GRANT USAGE ON SCHEMA metrics TO metrics;
GRANT EXECUTE ON FUNCTION metrics.sessions() TO metrics;
