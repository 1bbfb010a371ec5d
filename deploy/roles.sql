-- Database roles with the least rights that their work needs.
--
--   narralytica_owner    owns the tables, and changes them: `narralytica-ingest migrate`
--   narralytica_worker   does the work: sensors, runs, the command line; owns what Dagster and Celery keep for themselves
--   narralytica_api      inserts jobs, asks for a cancel, corrects metadata, looks at jobs and videos
--   narralytica_reader   downstream: reads what is ready, and writes nothing
--
-- Run it as an administrator (a superuser, or on a managed Postgres the role that stands for one), in the database of
-- the tables, after `narralytica-ingest migrate`, and again after every later migration:
--
--   psql "$ADMIN_URL" --set ON_ERROR_STOP=1 --single-transaction --file deploy/roles.sql
--
-- It may be repeated at any time, also on an installation that was made without roles. The roles are of the whole
-- server, the rights of this database. Nobody can log in until somebody says so: docs/job-table.md shows how.

-- ---- the roles ------------------------------------------------------------------------------------------------
DO $$
DECLARE
    wanted text;
BEGIN
    IF to_regclass('public.ingest_jobs') IS NULL OR to_regclass('public.hosts_contacted') IS NULL THEN
        RAISE EXCEPTION 'there are no tables of this version yet: run `narralytica-ingest migrate` first';
    END IF;
    FOREACH wanted IN ARRAY ARRAY['owner', 'worker', 'api', 'reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'narralytica_' || wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', 'narralytica_' || wanted);
        END IF;
    END LOOP;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN  -- who gives away must belong to the heir
        EXECUTE format('GRANT narralytica_owner, narralytica_worker TO %I', current_user);
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO narralytica_owner, narralytica_worker, narralytica_api,'
                   ' narralytica_reader', current_database());
END $$;

-- A forgotten transaction holds rows for which the worker waits.
ALTER ROLE narralytica_api SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE narralytica_reader SET idle_in_transaction_session_timeout = '10min';

-- ---- who owns what --------------------------------------------------------------------------------------------
CREATE SCHEMA IF NOT EXISTS dagster;
CREATE SCHEMA IF NOT EXISTS broker;
DO $$
DECLARE
    each record;
BEGIN
    ALTER SCHEMA dagster OWNER TO narralytica_worker;
    ALTER SCHEMA broker OWNER TO narralytica_worker;
    FOR each IN
        SELECT c.oid::regclass AS name, CASE WHEN n.nspname = 'public' THEN 'owner' ELSE 'worker' END AS heir,
               CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('public', 'dagster', 'broker') AND c.relkind IN ('r', 'p', 'v', 'S')
           AND NOT EXISTS (SELECT FROM pg_depend d  -- what belongs to an extension, and a column's own sequence
                            WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('e', 'a', 'i'))
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', each.kind, each.name, 'narralytica_' || each.heir);
    END LOOP;
    FOR each IN
        SELECT p.oid::regprocedure AS name, CASE WHEN n.nspname = 'public' THEN 'owner' ELSE 'worker' END AS heir
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname IN ('public', 'dagster', 'broker')
           AND NOT EXISTS (SELECT FROM pg_depend d
                            WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', each.name, 'narralytica_' || each.heir);
    END LOOP;
    FOR each IN
        SELECT t.oid::regtype AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE n.nspname = 'dagster' AND t.typtype = 'e'
    LOOP
        EXECUTE format('ALTER TYPE %s OWNER TO narralytica_worker', each.name);
    END LOOP;
END $$;

-- ---- nobody has what is not given here ------------------------------------------------------------------------
REVOKE ALL ON SCHEMA public, dagster, broker FROM PUBLIC, narralytica_api, narralytica_reader;
REVOKE ALL ON SCHEMA public FROM narralytica_worker;
REVOKE ALL ON ALL TABLES IN SCHEMA public
    FROM PUBLIC, narralytica_worker, narralytica_api, narralytica_reader;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, narralytica_worker, narralytica_api, narralytica_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, narralytica_worker, narralytica_api, narralytica_reader;
REVOKE ALL ON ALL TABLES IN SCHEMA dagster, broker FROM PUBLIC, narralytica_api, narralytica_reader;

-- ---- owner ----------------------------------------------------------------------------------------------------
GRANT ALL ON SCHEMA public TO narralytica_owner;
-- What a later migration makes is the worker's to use at once, and nobody else's before this script is run again.
ALTER DEFAULT PRIVILEGES FOR ROLE narralytica_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE narralytica_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO narralytica_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE narralytica_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO narralytica_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE narralytica_owner IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO narralytica_worker;

-- ---- worker ---------------------------------------------------------------------------------------------------
GRANT USAGE ON SCHEMA public TO narralytica_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON videos, video_aliases, media_files, video_metadata, metadata_corrections,
    publications, leftover_objects, hosts, hosts_contacted, claim_pauses TO narralytica_worker;
GRANT SELECT, INSERT, UPDATE ON ingest_jobs TO narralytica_worker;  -- jobs stay, whatever becomes of their videos
GRANT SELECT ON ingest_schema_version, installation, playlist_jobs, ready_media_files, ready_video_metadata,
    corrected_video_metadata TO narralytica_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO narralytica_worker;

-- ---- API ------------------------------------------------------------------------------------------------------
GRANT USAGE ON SCHEMA public TO narralytica_api;
GRANT SELECT ON ingest_jobs, playlist_jobs, hosts, ready_media_files, ready_video_metadata TO narralytica_api;
GRANT INSERT (source_url, upload_ref, title, channel, language, priority, idempotency_key, options, max_attempts)
    ON ingest_jobs TO narralytica_api;
GRANT UPDATE (cancel_requested) ON ingest_jobs TO narralytica_api;
GRANT SELECT (video_id, source, source_id, source_url, upload_ref, status, generation, content_sha256, error_class,
    error_code, error_message, created_at, updated_at, ready_at) ON videos TO narralytica_api;
GRANT SELECT (alias, video_id) ON video_aliases TO narralytica_api;
GRANT SELECT, DELETE, INSERT (video_id, field, value, by), UPDATE (value, by) ON metadata_corrections
    TO narralytica_api;
GRANT EXECUTE ON FUNCTION corrected_fields(text, jsonb) TO narralytica_api;  -- of the view, and of a correction's check

-- ---- downstream -----------------------------------------------------------------------------------------------
GRANT USAGE ON SCHEMA public TO narralytica_reader;
GRANT SELECT ON ready_media_files, ready_video_metadata TO narralytica_reader;
GRANT EXECUTE ON FUNCTION corrected_fields(text, jsonb) TO narralytica_reader;  -- of the view
GRANT SELECT (video_id, source, source_id, source_url, upload_ref, status, generation, content_sha256, created_at,
    updated_at, ready_at) ON videos TO narralytica_reader;
GRANT SELECT (alias, video_id) ON video_aliases TO narralytica_reader;

-- ---- what every role of a Postgres may do besides -------------------------------------------------------------
-- With an advisory lock anybody could hold up every claim, and with large objects fill the disk. Only a superuser can
-- take these functions away.
DO $$
DECLARE
    each regprocedure;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE NOTICE 'advisory locks and large objects stay open to every role of this database';
        RETURN;
    END IF;
    FOR each IN
        SELECT oid::regprocedure FROM pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace
           AND (proname ~ '^pg_(try_)?advisory_' OR proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put',
                'lowrite', 'lo_truncate', 'lo_truncate64'))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', each);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO narralytica_owner, narralytica_worker', each);
    END LOOP;
END $$;
