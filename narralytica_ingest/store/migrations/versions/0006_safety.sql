-- ---------------------------------------------------------------------------------------------------------------
-- Contacts: which hosts the fetch of a video really spoke with, or was kept from.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE hosts_contacted (
    video_id       text NOT NULL REFERENCES videos ON DELETE CASCADE,
    run_id         text NOT NULL,
    job_id         uuid REFERENCES ingest_jobs ON DELETE SET NULL,
    host           text NOT NULL CHECK (length(host) <= 255),
    port           integer NOT NULL CHECK (port BETWEEN 0 AND 65535),
    connections    integer NOT NULL CHECK (connections >= 0),
    bytes_received bigint NOT NULL CHECK (bytes_received >= 0),
    refused        text,
    first_at       timestamptz NOT NULL DEFAULT now(),
    last_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (video_id, run_id, host, port)
);
CREATE INDEX hosts_contacted_job ON hosts_contacted (job_id);
CREATE INDEX hosts_contacted_age ON hosts_contacted (last_at);
COMMENT ON TABLE hosts_contacted IS
    'The hosts that a run contacted to fetch a video, or was kept from; at most 200 a run, for 90 days.';
COMMENT ON COLUMN hosts_contacted.video_id IS 'The video that was fetched.';
COMMENT ON COLUMN hosts_contacted.run_id IS 'The run that fetched it.';
COMMENT ON COLUMN hosts_contacted.job_id IS 'The job that the run was for; NULL: a person started it, or the job is gone.';
COMMENT ON COLUMN hosts_contacted.host IS 'The host as it was asked for: a name, or an address.';
COMMENT ON COLUMN hosts_contacted.port IS 'Its port.';
COMMENT ON COLUMN hosts_contacted.connections IS 'How many connections were made; 0 where it was refused.';
COMMENT ON COLUMN hosts_contacted.bytes_received IS 'Bytes that came from there.';
COMMENT ON COLUMN hosts_contacted.refused IS 'The failure code with which it was refused: docs/failure-codes.md. NULL: it was not.';
COMMENT ON COLUMN hosts_contacted.first_at IS 'When the contact was first recorded.';
COMMENT ON COLUMN hosts_contacted.last_at IS 'When it was last recorded.';

-- ---------------------------------------------------------------------------------------------------------------
-- What a new job may say. The limits are those of readers: a number of more than 4,300 digits, a list within a thousand
-- lists, or a date after 9999 breaks whoever reads the row, and one row must not stop the work on all others. Only new
-- rows are looked at, so that a row that is there already can still end.
-- ---------------------------------------------------------------------------------------------------------------
CREATE FUNCTION check_new_job() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wrong text := CASE
        WHEN octet_length(NEW.source_url) > 32768 OR octet_length(NEW.upload_ref) > 32768
            THEN 'source_url and upload_ref have at most 32768 bytes'
        WHEN octet_length(NEW.title) > 16384 OR octet_length(NEW.channel) > 16384
            THEN 'title and channel have at most 16384 bytes'
        WHEN octet_length(NEW.language) > 200 THEN 'language has at most 200 bytes'
        WHEN octet_length(NEW.idempotency_key) > 1000 THEN 'idempotency_key has at most 1000 bytes'
        WHEN starts_with(NEW.idempotency_key, 'playlist:') AND NEW.parent_job_id IS NULL
            THEN 'an idempotency_key that begins with playlist: is given to the jobs of playlists only'
        WHEN octet_length(NEW.options::text) > 4000 THEN 'options have at most 4000 bytes'
        WHEN NEW.max_attempts > 1000 THEN 'max_attempts is at most 1000'
        WHEN NEW.not_before NOT BETWEEN '2000-01-01' AND '9999-01-01' THEN 'not_before lies between 2000 and 9999'
        WHEN jsonb_path_exists(NEW.options, 'strict $.**{3 to last}', '{}', true)
            THEN 'options hold texts, numbers, booleans, and lists of these' END;
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE check_violation USING MESSAGE = 'new job refused: ' || wrong, HINT = 'See docs/job-table.md.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ingest_jobs_checked BEFORE INSERT ON ingest_jobs FOR EACH ROW EXECUTE FUNCTION check_new_job();

-- A correction is read by everybody who reads the video's metadata: the same limits.
CREATE OR REPLACE FUNCTION check_correction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF octet_length(NEW.value::text) > 400000 OR jsonb_path_exists(NEW.value, 'strict $.**{3 to last}', '{}', true)
       OR jsonb_path_exists(NEW.value, 'strict $.** ? (@ >= 1e15 || @ <= -1e15)', '{}', true) THEN
        RAISE check_violation USING MESSAGE = 'correction refused: it is too large, too deep, or holds a huge number';
    END IF;
    IF octet_length(NEW."by") > 1000 THEN
        RAISE check_violation USING MESSAGE = 'correction refused: by has at most 1000 bytes';
    END IF;
    PERFORM jsonb_populate_record(NULL::video_metadata, corrected_fields(NEW.field, NEW.value));
    NEW.at := now();
    RETURN NEW;
END $$;

-- ---------------------------------------------------------------------------------------------------------------
-- A trigger runs with the rights of whoever writes the row, and must not find another's tables in the place of ours.
-- ---------------------------------------------------------------------------------------------------------------
ALTER FUNCTION set_updated_at() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION announce_job() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION announce_video() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION date_start_at_host() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION note_dropped_files() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION note_replaced_files() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION note_ended_publications() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION check_correction() SET search_path = pg_catalog, public, pg_temp;
