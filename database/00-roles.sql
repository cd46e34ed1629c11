-- The roles. `shop` owns what the shop's services work with, `platform` the
-- incidents and pages, `examiner` the truth. `candidate` is the person on call: a member of `shop`, because
-- Postgres lets only a table's owner create an index, and nothing more.
-- Passwords are set by the runner.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['shop', 'platform', 'examiner', 'candidate'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
END
$$;
GRANT shop TO candidate;
GRANT pg_signal_backend TO shop, candidate;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
