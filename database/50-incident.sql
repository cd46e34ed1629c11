-- Alerts and the incidents that they belong to. incident-management owns incidents, timeline, notes,
-- postmortems and outbox; alert-ingestion owns alerts and correlation_slots, reads incidents, and
-- appends to the timeline.
RESET ROLE;
RESET search_path;
CREATE SCHEMA IF NOT EXISTS incident AUTHORIZATION platform;
SET ROLE platform;

-- `idempotency_key` makes a repeated request for an incident the same incident; an alert that waits
-- for its incident knows it by that key.
CREATE TABLE IF NOT EXISTS incident.incidents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    title text NOT NULL,
    service text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'in_progress', 'resolved')),
    assigned_to text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at timestamptz,
    resolved_by text,
    reopened_from uuid UNIQUE REFERENCES incident.incidents,
    idempotency_key text UNIQUE,
    request_hash text
);
CREATE INDEX IF NOT EXISTS incidents_newest ON incident.incidents (created_at DESC, id);
CREATE INDEX IF NOT EXISTS incidents_unresolved ON incident.incidents (service, severity, created_at)
WHERE status <> 'resolved';
CREATE INDEX IF NOT EXISTS incidents_status ON incident.incidents (status);

CREATE TABLE IF NOT EXISTS incident.timeline (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id uuid NOT NULL REFERENCES incident.incidents,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    what text NOT NULL,
    from_value text,
    to_value text
);
CREATE INDEX IF NOT EXISTS timeline_of ON incident.timeline (incident_id, id);

CREATE TABLE IF NOT EXISTS incident.notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id uuid NOT NULL REFERENCES incident.incidents,
    at timestamptz NOT NULL DEFAULT now(),
    author text NOT NULL,
    text text NOT NULL
);
CREATE INDEX IF NOT EXISTS notes_of ON incident.notes (incident_id, id);

CREATE TABLE IF NOT EXISTS incident.postmortems (
    incident_id uuid PRIMARY KEY REFERENCES incident.incidents,
    written_at timestamptz NOT NULL DEFAULT now(),
    author text NOT NULL,
    summary text NOT NULL,
    impact text NOT NULL,
    root_cause text NOT NULL,
    lessons text NOT NULL,
    action_items jsonb NOT NULL
);

-- What is still to be asked of on-call and notification. A row is taken by moving `due_at` into the
-- future: if whoever took it dies, it is due again then.
CREATE TABLE IF NOT EXISTS incident.outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    incident_id uuid NOT NULL REFERENCES incident.incidents,
    kind text NOT NULL CHECK (kind IN ('assignment', 'page')),
    recipient text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    UNIQUE (incident_id, kind, recipient)
);
CREATE INDEX IF NOT EXISTS outbox_due ON incident.outbox (kind, due_at) WHERE done_at IS NULL;

-- One row for each (service, severity): whoever holds its lock decides which incident an alert joins.
-- `opening` is the idempotency key of the incident that was last asked for; while `is_waiting`, the
-- answer is not in yet, and whoever moves `claimed_until` asks (again).
CREATE TABLE IF NOT EXISTS incident.correlation_slots (
    service text NOT NULL,
    severity text NOT NULL,
    opening uuid,
    title text,
    is_waiting boolean NOT NULL DEFAULT false,
    claimed_until timestamptz NOT NULL DEFAULT now(),
    touched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, severity)
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS correlation_slots_waiting ON incident.correlation_slots (claimed_until)
WHERE is_waiting;
-- Unique as it is, the planner needs no statistics to know that few openings are few rows.
CREATE UNIQUE INDEX IF NOT EXISTS correlation_slots_opening ON incident.correlation_slots (opening);

-- `fingerprint` is the source's own. An alert of a source is under way until the source resolves it
-- (`resolved_at`), or until it fires on after a person resolved its incident, or worse (`superseded_at`).
CREATE TABLE IF NOT EXISTS incident.alerts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source text NOT NULL,
    fingerprint text,
    service text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
    message text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    occurred_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    repeats integer NOT NULL DEFAULT 0,
    action text NOT NULL CHECK (action IN ('new_incident', 'attached_to_existing_incident')),
    opening uuid,
    incident_id uuid REFERENCES incident.incidents,
    resolved_at timestamptz,
    superseded_at timestamptz,
    idempotency_key text,
    request_hash text,
    CHECK (opening IS NOT NULL OR incident_id IS NOT NULL)
);
CREATE UNIQUE INDEX IF NOT EXISTS alerts_idempotency ON incident.alerts (idempotency_key)
WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS alerts_under_way ON incident.alerts (source, fingerprint)
WHERE fingerprint IS NOT NULL AND resolved_at IS NULL AND superseded_at IS NULL;
CREATE INDEX IF NOT EXISTS alerts_fingerprint ON incident.alerts (source, fingerprint, occurred_at)
WHERE fingerprint IS NOT NULL;
CREATE INDEX IF NOT EXISTS alerts_pending ON incident.alerts (opening) WHERE incident_id IS NULL;
CREATE INDEX IF NOT EXISTS alerts_of ON incident.alerts (incident_id, received_at);
CREATE INDEX IF NOT EXISTS alerts_newest ON incident.alerts (received_at DESC, id);

GRANT USAGE ON SCHEMA incident TO candidate, observer;
GRANT SELECT ON ALL TABLES IN SCHEMA incident TO candidate, observer;
ALTER DEFAULT PRIVILEGES IN SCHEMA incident GRANT SELECT ON TABLES TO candidate, observer;

RESET ROLE;
