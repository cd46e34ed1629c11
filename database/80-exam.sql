-- What was broken when, and the truth about it. Only the examiner reads it.
CREATE SCHEMA IF NOT EXISTS exam AUTHORIZATION examiner;
SET ROLE examiner;

-- One row for each phase of a scenario. A row without an end says that what its
-- faults name may still be broken.
CREATE TABLE IF NOT EXISTS exam.phases (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    scenario text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('soak', 'hold', 'rest')),
    started_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= started_at),
    faults jsonb NOT NULL DEFAULT '[]',
    truth jsonb,
    seed bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS phases_open ON exam.phases (started_at) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS phases_started_at ON exam.phases (started_at);

REVOKE ALL ON SCHEMA exam FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA exam FROM PUBLIC;

RESET ROLE;
