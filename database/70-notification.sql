-- Pages and their deliveries.
RESET ROLE;
RESET search_path;
CREATE SCHEMA IF NOT EXISTS notification AUTHORIZATION platform;
SET ROLE platform;

-- The outbox, and what became of each notification. What is queued is due at
-- `due_at`; whoever claims it moves `due_at` to the end of its lease. A row with
-- a `bundle_id` is delivered by that row, which lists it.
CREATE TABLE IF NOT EXISTS notification.deliveries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    incident_id text,
    channel text NOT NULL CHECK (channel IN ('console', 'email', 'webhook', 'chat')),
    recipient text NOT NULL,
    message text NOT NULL,
    note text,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'delivered', 'dead')),
    is_bundle boolean NOT NULL DEFAULT false,
    bundle_id uuid REFERENCES notification.deliveries,
    attempt_count integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    reached text[] NOT NULL DEFAULT '{}',
    last_error text,
    idempotency_key text UNIQUE,
    request_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CHECK ((status = 'queued') = (ended_at IS NULL)),
    CHECK (NOT is_bundle OR bundle_id IS NULL)
);
ALTER TABLE notification.deliveries ADD COLUMN IF NOT EXISTS note text;
CREATE INDEX IF NOT EXISTS deliveries_queued ON notification.deliveries (channel, due_at)
WHERE status = 'queued' AND bundle_id IS NULL;
CREATE INDEX IF NOT EXISTS deliveries_pending ON notification.deliveries (channel) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS deliveries_recipient
ON notification.deliveries (channel, recipient, created_at);
CREATE INDEX IF NOT EXISTS deliveries_incident ON notification.deliveries (incident_id, seq);
CREATE INDEX IF NOT EXISTS deliveries_bundle ON notification.deliveries (bundle_id)
WHERE bundle_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS deliveries_ended ON notification.deliveries (ended_at)
WHERE ended_at IS NOT NULL;

-- One row for each attempt. One without an outcome is under way, or its process died.
CREATE TABLE IF NOT EXISTS notification.attempts (
    delivery_id uuid NOT NULL REFERENCES notification.deliveries,
    number integer NOT NULL CHECK (number > 0),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('delivered', 'failed', 'interrupted')),
    error text,
    PRIMARY KEY (delivery_id, number),
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
);

GRANT USAGE ON SCHEMA notification TO candidate;
GRANT SELECT ON ALL TABLES IN SCHEMA notification TO candidate;
ALTER DEFAULT PRIVILEGES IN SCHEMA notification GRANT SELECT ON TABLES TO candidate;

RESET ROLE;
