-- Who is on call when, and what was escalated to whom.
RESET ROLE;
RESET search_path;
CREATE SCHEMA IF NOT EXISTS oncall AUTHORIZATION platform;
SET ROLE platform;

-- Of several schedules of a team the one made last is in force. The team '*'
-- stands for every team that has none of its own.
CREATE TABLE IF NOT EXISTS oncall.schedules (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    name text NOT NULL,
    team text NOT NULL,
    members text[] NOT NULL CHECK (cardinality(members) > 0),
    time_zone text NOT NULL,
    rotation jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS schedules_team ON oncall.schedules (team, seq);

-- Where overrides of one team overlap, the one made last holds.
CREATE TABLE IF NOT EXISTS oncall.overrides (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    team text NOT NULL,
    engineer text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (starts_at < ends_at)
);
CREATE INDEX IF NOT EXISTS overrides_team ON oncall.overrides (team, ends_at);

CREATE TABLE IF NOT EXISTS oncall.escalation_policies (
    team text PRIMARY KEY,
    levels jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each step of an incident: the unique key is what keeps two
-- processes from taking the same step. A step is settled when the notification
-- service has it, or when there was no need for it any more.
CREATE TABLE IF NOT EXISTS oncall.escalations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    incident_id text NOT NULL,
    level integer NOT NULL CHECK (level > 0),
    team text NOT NULL,
    engineer text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('console', 'email', 'webhook', 'chat')),
    message text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('automatic', 'manual')),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'notified', 'cancelled')),
    delivery_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    handed_over_at timestamptz,
    UNIQUE (incident_id, level),
    CHECK ((status = 'pending') = (settled_at IS NULL))
);
-- Steps of a database from before this column are not handed over any more.
ALTER TABLE oncall.escalations ADD COLUMN IF NOT EXISTS handed_over_at timestamptz DEFAULT now();
ALTER TABLE oncall.escalations ALTER COLUMN handed_over_at DROP DEFAULT;
CREATE INDEX IF NOT EXISTS escalations_not_handed_over ON oncall.escalations (seq)
WHERE status = 'notified' AND handed_over_at IS NULL;
CREATE INDEX IF NOT EXISTS escalations_pending ON oncall.escalations (seq) WHERE status = 'pending';

INSERT INTO oncall.schedules (name, team, members, time_zone, rotation)
SELECT 'shop-primary', '*', ARRAY['ada', 'grace', 'edsger', 'barbara'], 'UTC', '{"kind": "weekly"}'
WHERE NOT EXISTS (SELECT FROM oncall.schedules WHERE team = '*');

INSERT INTO oncall.escalation_policies (team, levels) VALUES (
    '*',
    '[{"target": "next_on_call"}, {"target": "engineer", "engineer": "incident-commander"}]'
) ON CONFLICT DO NOTHING;

GRANT USAGE ON SCHEMA oncall TO candidate, observer;
GRANT SELECT ON ALL TABLES IN SCHEMA oncall TO candidate, observer;
ALTER DEFAULT PRIVILEGES IN SCHEMA oncall GRANT SELECT ON TABLES TO candidate, observer;

RESET ROLE;
