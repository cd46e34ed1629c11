-- What membership in `shop` gives `candidate` beyond its job, taken away: of all DDL it may only create and
-- drop indexes, and it writes no row. `session_user` is asked, which only a superuser can change. What runs
-- here belongs to the superuser: neither `candidate` nor `shop` can alter it.
RESET ROLE;
RESET search_path;
CREATE SCHEMA IF NOT EXISTS guard;
REVOKE ALL ON SCHEMA guard FROM PUBLIC;

CREATE OR REPLACE FUNCTION guard.refuse_ddl() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF session_user = 'candidate' AND tg_tag NOT IN ('CREATE INDEX', 'DROP INDEX') THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('permission denied for %s', tg_tag),
            HINT = 'This role may create and drop indexes, and changes nothing else of the schema.';
    END IF;
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'candidate_ddl') THEN
        CREATE EVENT TRIGGER candidate_ddl ON ddl_command_start EXECUTE FUNCTION guard.refuse_ddl();
    END IF;
END
$$;
ALTER EVENT TRIGGER candidate_ddl ENABLE ALWAYS;

CREATE OR REPLACE FUNCTION guard.refuse_writing() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE insufficient_privilege USING
        MESSAGE = format('permission denied to write %I.%I', tg_table_schema, tg_table_name),
        HINT = 'This role reads the shop''s tables.';
END
$$;

-- Not by taking the owner's right to write: foreign keys are checked with it. The condition costs the
-- services a comparison for each statement.
DO $$
DECLARE
    shop_table regclass;
BEGIN
    FOR shop_table IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relkind IN ('r', 'p') AND c.relowner = 'shop'::regrole
        AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = 'candidate_writes')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER candidate_writes BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s'
            ' FOR EACH STATEMENT WHEN (session_user = ''candidate'') EXECUTE FUNCTION guard.refuse_writing()',
            shop_table
        );
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER candidate_writes', shop_table);
    END LOOP;
END
$$;

-- Sequences have no triggers. Identity columns take their numbers without this right.
DO $$
DECLARE
    shop_schema regnamespace;
BEGIN
    FOR shop_schema IN SELECT oid FROM pg_namespace WHERE nspowner = 'shop'::regrole LOOP
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %s FROM shop', shop_schema);
    END LOOP;
END
$$;
