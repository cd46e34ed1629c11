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
CREATE OR REPLACE FUNCTION profile.lookup_key(email text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    PERFORM pg_sleep(0.002);
    RETURN lower(trim(email));
END
$$;

RESET ROLE;
-- The next file has no schema in its statements: SQLite reads it too.
SET search_path TO profile;
