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

CREATE SCHEMA IF NOT EXISTS guard;
GRANT USAGE ON SCHEMA guard TO examiner;

-- A line of the log as it was meant. What is no UTF-8 stays as it was read: nobody's log-in under such a name may
-- keep the others' statements from being found.
CREATE OR REPLACE FUNCTION guard.as_utf8(line text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
    RETURN convert_from(convert_to(line, 'LATIN1'), 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN line;
END
$$;
REVOKE ALL ON FUNCTION guard.as_utf8 FROM PUBLIC;

-- The lines of the candidate's role in the files that were written to since then. A piece at a time, so that a big
-- log takes time and little memory; as LATIN1, which has a character for each byte and refuses none.
CREATE OR REPLACE FUNCTION guard.candidate_lines(since timestamptz) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    piece_bytes CONSTANT integer := 8388608;
    path text;
    place bigint;
    piece bytea;
    lines text[];
    begun text;
BEGIN
    FOR path IN
        -- It tells whole seconds.
        SELECT current_setting('log_directory') || '/' || f.name
        FROM pg_ls_logdir() AS f WHERE f.name LIKE '%.json%' AND f.modification >= date_trunc('second', since)
    LOOP
        place := 0;
        begun := '';
        LOOP
            piece := pg_read_binary_file(path, place, piece_bytes, true);
            EXIT WHEN coalesce(octet_length(piece), 0) = 0;
            place := place + octet_length(piece);
            lines := string_to_array(begun || convert_from(piece, 'LATIN1'), E'\n');
            -- The last line goes on in the next piece, or is half written.
            begun := lines[cardinality(lines)];
            RETURN QUERY
            SELECT CASE WHEN octet_length(l.text) = length(l.text) THEN l.text ELSE guard.as_utf8(l.text) END
            FROM unnest(trim_array(lines, 1)) AS l (text) WHERE l.text LIKE '%"user":"candidate"%';
        END LOOP;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION guard.candidate_lines FROM PUBLIC;

-- The statement that a line of the log tells of, if it tells of one. A prepared one stands behind its name, and
-- whoever prepared it chose that: in `execute a: b: DROP INDEX c` nothing says where it ends. What may be harm behind
-- a further colon is told, too. A function that was called past SQL is told as the call that it was.
CREATE OR REPLACE FUNCTION guard.statements_of(message text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT substr(message, length('statement: ') + 1) WHERE message LIKE 'statement: %'
    UNION ALL
    SELECT s.statement
    FROM string_to_array(message, ': ') AS part,
        generate_series(2, cardinality(part)) AS n,
        array_to_string(part[n:], ': ') AS s (statement)
    -- Nobody's name has more.
    WHERE message LIKE 'execute %' AND (n <= 20 OR n > cardinality(part) - 20)
    AND (n = 2 OR s.statement ~* '\m(create|drop|alter|reindex|vacuum|cluster|lock|do|pg_terminate_backend|pg_cancel_backend)\M')
    UNION ALL
    SELECT format('SELECT %s()', substring(message FROM '"(.*)"')) WHERE message LIKE 'fastpath function call: %'
$$;
REVOKE ALL ON FUNCTION guard.statements_of FROM PUBLIC;

-- What the candidate's role ran, from the server's log in its JSON form. `error` is the server's answer to a
-- statement that failed, `code` its SQLSTATE. Empty where the server writes no such log.
-- In whichever database: roles are the server's, and from each of its databases a session ends those of this one
-- and sees what they do. Labs that share a server share the role and its password, and so what it ran.
-- It belongs to the superuser, who alone may read files; only the examiner may call it.
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
    WITH entry AS MATERIALIZED (
        SELECT CASE WHEN l.text IS JSON OBJECT THEN l.text::jsonb END AS j
        FROM guard.candidate_lines(since) AS l (text)
    ), mine AS MATERIALIZED (
        SELECT e.at, e.session, e.line_num, e.severity, e.message, e.failed, e.state,
            max(e.line_num) FILTER (WHERE e.severity = 'LOG') OVER (PARTITION BY e.session ORDER BY e.line_num) AS said_in
        FROM (
            SELECT (j ->> 'timestamp')::timestamptz AS at, j ->> 'session_id' AS session,
                (j ->> 'line_num')::bigint AS line_num, j ->> 'error_severity' AS severity, j ->> 'message' AS message,
                j ->> 'statement' AS failed, j ->> 'state_code' AS state
            FROM entry
        ) AS e
        WHERE e.at BETWEEN since AND until
    ), ran AS (
        SELECT m.at, m.session, m.line_num, said.statement
        FROM mine AS m, guard.statements_of(m.message) AS said (statement)
        WHERE m.severity = 'LOG'
    ), failure AS (
        -- A mistake in the syntax has an error and no line of its own: it is not that of the statement before.
        SELECT DISTINCT ON (m.session, m.said_in, m.failed) m.session, m.said_in, m.failed, m.message, m.state
        FROM mine AS m WHERE m.severity IN ('ERROR', 'FATAL')
        ORDER BY m.session, m.said_in, m.failed, m.line_num
    )
    SELECT r.at, r.statement, f.message, f.state
    FROM ran AS r
    LEFT JOIN failure AS f ON f.session = r.session AND f.said_in = r.line_num AND f.failed = r.statement
    ORDER BY r.at, r.line_num;
END
$$;
REVOKE ALL ON FUNCTION guard.candidate_statements FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.candidate_statements TO examiner;
