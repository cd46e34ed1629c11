-- The roles. `shop` owns what the shop's services work with, `platform` the incidents and pages,
-- `examiner` the truth. `candidate` is the person on call, `observer` reads for dashboards.
--
-- Three things that a person on call does, Postgres lets only the role itself or a member of it do: create
-- an index on a table, end a session without `pg_signal_backend` (which reaches everybody's), see a
-- session's statement without `pg_read_all_stats` (which shows everybody's). So `candidate` is a member of
-- `shop`; what that gives it beyond these three, 99-guard.sql takes away.
-- Passwords are set by the runner.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['shop', 'platform', 'examiner', 'candidate', 'observer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
END
$$;
-- Without SET: it never becomes `shop`, so `session_user` and `current_user` always tell who it is.
-- A database of an earlier lab may have it.
REVOKE pg_signal_backend FROM shop, candidate;
GRANT shop TO candidate WITH INHERIT TRUE, SET FALSE, ADMIN FALSE;
-- So that neither can keep the services out.
ALTER ROLE candidate CONNECTION LIMIT 20;
ALTER ROLE observer CONNECTION LIMIT 20;
ALTER ROLE observer SET default_transaction_read_only = on;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- Nor fill the disk. To make temporary tables and large objects is everybody's right at first, and reading
-- only is a setting that a session changes; what a query puts aside while it runs has a limit of its own.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
REVOKE EXECUTE ON FUNCTION
lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea), lo_put(oid, bigint, bytea),
lowrite(integer, bytea), lo_truncate(integer, integer), lo_truncate64(integer, bigint)
FROM PUBLIC;
ALTER ROLE candidate SET temp_file_limit = '256MB';
ALTER ROLE observer SET temp_file_limit = '256MB';
