-- Runs of the exam, what was broken when, and the truth about it. Only the examiner reads it.
RESET ROLE;
RESET search_path;
CREATE SCHEMA IF NOT EXISTS exam AUTHORIZATION examiner;
-- What candidates did is in everybody's tables.
GRANT pg_read_all_data TO examiner;
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

-- One row for each run. Its clock stands still while `paused_at` is set; `paused_s` is how long it stood
-- before. `applied` and `shown` are the numbers of the faults and red herrings that took. What the end
-- of a run has got done is kept step by step, so that a restart goes on behind the last one.
CREATE TABLE IF NOT EXISTS exam.runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    scenario text NOT NULL,
    seed bigint NOT NULL,
    candidate text NOT NULL,
    minutes double precision NOT NULL CHECK (minutes > 0),
    soak_s double precision NOT NULL CHECK (soak_s >= 0),
    blind boolean NOT NULL,
    token_hash text NOT NULL UNIQUE,
    state text NOT NULL DEFAULT 'created' CHECK (
        state IN ('created', 'waiting', 'soaking', 'running', 'grading', 'graded', 'aborted')
    ),
    trouble text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    injected_at timestamptz,
    paused_at timestamptz,
    paused_s double precision NOT NULL DEFAULT 0,
    ended_at timestamptz,
    ended_by text CHECK (ended_by IN ('submitted', 'time_up', 'aborted')),
    applied integer[] NOT NULL DEFAULT '{}',
    shown integer[] NOT NULL DEFAULT '{}',
    world jsonb,
    final jsonb,
    reverted_at timestamptz,
    journal jsonb,
    score jsonb,
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
-- The lab has one shop: one run at a time.
CREATE UNIQUE INDEX IF NOT EXISTS runs_one_active ON exam.runs ((true))
WHERE state IN ('waiting', 'soaking', 'running', 'grading');
CREATE INDEX IF NOT EXISTS runs_newest ON exam.runs (created_at DESC);

-- What the exam itself did or was asked for; the rest of a run's timeline is collected from where it is.
CREATE TABLE IF NOT EXISTS exam.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES exam.runs ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    actor text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS events_of ON exam.events (run_id, id);

CREATE TABLE IF NOT EXISTS exam.probes (
    run_id uuid NOT NULL REFERENCES exam.runs ON DELETE CASCADE,
    at timestamptz NOT NULL,
    route text NOT NULL,
    affected boolean NOT NULL,
    ok boolean NOT NULL,
    status integer,
    latency_ms double precision NOT NULL
);
CREATE INDEX IF NOT EXISTS probes_of ON exam.probes (run_id, at);

CREATE TABLE IF NOT EXISTS exam.submissions (
    run_id uuid NOT NULL REFERENCES exam.runs ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    at timestamptz NOT NULL DEFAULT now(),
    diagnosis jsonb NOT NULL,
    PRIMARY KEY (run_id, number)
);

-- What became of its evidence, looked up soon after it was handed in: later it may be gone.
ALTER TABLE exam.submissions ADD COLUMN IF NOT EXISTS findings jsonb;

-- What Prometheus said of a run, window by window: at the end it may have forgotten.
CREATE TABLE IF NOT EXISTS exam.recordings (
    run_id uuid NOT NULL REFERENCES exam.runs ON DELETE CASCADE,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL CHECK (until > since),
    signals jsonb NOT NULL,
    restarts jsonb NOT NULL,
    PRIMARY KEY (run_id, since)
);

REVOKE ALL ON SCHEMA exam FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA exam FROM PUBLIC;

RESET ROLE;

-- The server writes down every statement of the candidate's role, which cannot turn it off: setting
-- `log_statement` is the superuser's.
ALTER ROLE candidate SET log_statement = 'all';

-- What the candidate's role ran in this database, from the server's log in its JSON form. `error` is the
-- server's answer to a statement that failed, `code` its SQLSTATE. Empty where the server writes no such log.
-- It belongs to the superuser, who alone may read files; only the examiner may call it.
CREATE SCHEMA IF NOT EXISTS guard;
GRANT USAGE ON SCHEMA guard TO examiner;
-- What a function returns can only be changed by making it anew.
DROP FUNCTION IF EXISTS guard.candidate_statements(timestamptz, timestamptz);
CREATE FUNCTION guard.candidate_statements(since timestamptz, until timestamptz)
RETURNS TABLE (at timestamptz, statement text, error text, code text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF current_setting('logging_collector') = 'off' OR current_setting('log_destination') NOT LIKE '%jsonlog%'
    THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH file AS (
        SELECT current_setting('log_directory') || '/' || f.name AS path
        FROM pg_ls_logdir() AS f WHERE f.name LIKE '%.json%' AND f.modification >= since
    ), line AS (
        SELECT l.text FROM file, string_to_table(pg_read_file(file.path, true), E'\n') AS l (text)
        WHERE l.text LIKE '%"user":"candidate"%'
    ), entry AS MATERIALIZED (
        -- The last line may be half written.
        SELECT CASE WHEN l.text IS JSON OBJECT THEN l.text::jsonb END AS j FROM line AS l
    ), mine AS MATERIALIZED (
        SELECT (e.j ->> 'timestamp')::timestamptz AS at, e.j ->> 'session_id' AS session, (e.j ->> 'line_num')::bigint AS line_num,
            e.j ->> 'error_severity' AS severity, e.j ->> 'message' AS message, e.j ->> 'statement' AS failed,
            e.j ->> 'state_code' AS state
        FROM entry AS e
        WHERE (e.j ->> 'timestamp')::timestamptz BETWEEN since AND until
        AND e.j ->> 'dbname' = current_database()
    ), ran AS MATERIALIZED (
        SELECT m.*, regexp_replace(m.message, '^(statement|execute [^:]*): ', '') AS statement
        FROM mine AS m WHERE m.severity = 'LOG' AND m.message ~ '^(statement|execute [^:]*): '
    )
    SELECT r.at, r.statement, failure.message, failure.state
    FROM ran AS r LEFT JOIN LATERAL (
        -- A mistake in the syntax has an error and no line of its own: it is not that of the statement before.
        SELECT f.message, f.state FROM mine AS f
        WHERE f.session = r.session AND f.line_num > r.line_num AND f.severity IN ('ERROR', 'FATAL')
        AND f.failed = r.statement
        AND NOT EXISTS (
            SELECT FROM mine AS n WHERE n.session = r.session AND n.severity = 'LOG'
            AND n.line_num > r.line_num AND n.line_num < f.line_num
        )
        ORDER BY f.line_num LIMIT 1
    ) AS failure ON true
    ORDER BY r.at, r.line_num;
END
$$;
REVOKE ALL ON FUNCTION guard.candidate_statements FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.candidate_statements TO examiner;
