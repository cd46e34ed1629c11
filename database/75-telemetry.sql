-- What services say about themselves: log lines, spans, errors. Bounded: the telemetry service removes what
-- is old or too much, by `received_at`, which no sender chooses.
RESET ROLE;
RESET search_path;
CREATE SCHEMA IF NOT EXISTS telemetry AUTHORIZATION platform;
SET ROLE platform;

CREATE TABLE IF NOT EXISTS telemetry.signals (
    signal_id uuid PRIMARY KEY,
    timestamp timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    service text NOT NULL,
    level text NOT NULL CHECK (level IN ('INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    message text NOT NULL,
    trace_id text,
    attributes jsonb NOT NULL DEFAULT '{}'
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_insert_scale_factor = 0.5);
CREATE INDEX IF NOT EXISTS signals_received ON telemetry.signals (received_at);
CREATE INDEX IF NOT EXISTS signals_newest ON telemetry.signals (timestamp DESC, signal_id);
CREATE INDEX IF NOT EXISTS signals_trace ON telemetry.signals (trace_id) WHERE trace_id IS NOT NULL;
-- What one looks for is rare: without this, to find it is to read all.
CREATE INDEX IF NOT EXISTS signals_alarming ON telemetry.signals (timestamp DESC, signal_id)
WHERE level IN ('WARNING', 'ERROR', 'CRITICAL');

CREATE TABLE IF NOT EXISTS telemetry.spans (
    trace_id text NOT NULL,
    span_id text NOT NULL,
    parent_span_id text,
    received_at timestamptz NOT NULL DEFAULT now(),
    service text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('internal', 'server', 'client', 'producer', 'consumer')),
    status text NOT NULL CHECK (status IN ('unset', 'ok', 'error')),
    status_message text,
    started_at timestamptz NOT NULL,
    duration_ms double precision NOT NULL CHECK (duration_ms >= 0),
    attributes jsonb NOT NULL DEFAULT '{}',
    events jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (trace_id, span_id)
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_insert_scale_factor = 0.5);
CREATE INDEX IF NOT EXISTS spans_received ON telemetry.spans (received_at);

-- A line for each trace, kept up as its spans come in, from several services at once.
CREATE TABLE IF NOT EXISTS telemetry.traces (
    trace_id text PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    duration_ms double precision NOT NULL
    GENERATED ALWAYS AS (extract(epoch FROM ended_at - started_at) * 1000) STORED,
    spans integer NOT NULL,
    errors integer NOT NULL,
    services text[] NOT NULL,
    routes text[] NOT NULL,
    -- Of the span without a parent; while none has come, of the one that started first.
    root_service text NOT NULL,
    root_name text NOT NULL,
    root_started_at timestamptz NOT NULL,
    has_root boolean NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX IF NOT EXISTS traces_received ON telemetry.traces (received_at);
CREATE INDEX IF NOT EXISTS traces_newest ON telemetry.traces (started_at DESC, trace_id);

CREATE TABLE IF NOT EXISTS telemetry.events (
    event_id uuid PRIMARY KEY,
    timestamp timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    group_id text NOT NULL,
    type text NOT NULL,
    value text NOT NULL,
    culprit text NOT NULL,
    service text NOT NULL,
    level text NOT NULL,
    message text NOT NULL,
    trace_id text,
    release text,
    environment text,
    tags jsonb NOT NULL DEFAULT '{}',
    stacktrace jsonb NOT NULL DEFAULT '[]',
    breadcrumbs jsonb NOT NULL DEFAULT '[]'
) WITH (autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX IF NOT EXISTS events_received ON telemetry.events (received_at);
CREATE INDEX IF NOT EXISTS events_group ON telemetry.events (group_id, timestamp DESC);
CREATE INDEX IF NOT EXISTS events_trace ON telemetry.events (trace_id) WHERE trace_id IS NOT NULL;

CREATE OR REPLACE FUNCTION telemetry.merged(ours text[], theirs text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN theirs <@ ours THEN ours
    ELSE ARRAY(SELECT DISTINCT one FROM unnest(ours || theirs) AS both_of(one) ORDER BY one) END
$$;

GRANT USAGE ON SCHEMA telemetry TO candidate, observer;
GRANT SELECT ON ALL TABLES IN SCHEMA telemetry TO candidate, observer;
ALTER DEFAULT PRIVILEGES IN SCHEMA telemetry GRANT SELECT ON TABLES TO candidate, observer;

RESET ROLE;
