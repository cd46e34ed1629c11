-- User profiles.
CREATE SCHEMA IF NOT EXISTS profile AUTHORIZATION shop;
SET ROLE shop;

CREATE TABLE IF NOT EXISTS profile.users (
    id integer PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    plan text NOT NULL,
    country text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The form of an address under which accounts of one person are found. It
-- costs 2 ms a call, so that a plan which calls it for each row shows as such.
-- Timers oversleep, on a busy machine by as much again: within a statement,
-- what one call sleeps too long the next ones sleep less.
CREATE OR REPLACE FUNCTION profile.lookup_key(email text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    statement text := statement_timestamp();
    ends_at double precision := extract(epoch FROM clock_timestamp());
BEGIN
    IF current_setting('lookup_key.statement', true) = statement THEN
        ends_at := current_setting('lookup_key.ends_at');
    END IF;
    ends_at := ends_at + 0.002;
    PERFORM set_config('lookup_key.statement', statement, false),
            set_config('lookup_key.ends_at', ends_at::text, false),
            pg_sleep(ends_at - extract(epoch FROM clock_timestamp()));
    RETURN lower(trim(email));
END
$$;

RESET ROLE;
-- The next file has no schema in its statements: SQLite reads it too.
SET search_path TO profile;
