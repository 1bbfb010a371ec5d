-- ---------------------------------------------------------------------------------------------------------------
-- Videos: identity, state, and the lease that fences every write of a run.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE videos (
    video_id         text PRIMARY KEY CHECK (video_id ~ '^[A-Za-z0-9_-]{1,200}$'),
    source           text NOT NULL,
    source_id        text NOT NULL,
    source_url       text,
    upload_ref       text,
    upload_version   text,
    status           text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'ingesting', 'ready', 'failed')),
    hints            jsonb NOT NULL DEFAULT '{}',
    options          jsonb NOT NULL DEFAULT '{}',
    content_sha256   text,
    generation       integer NOT NULL DEFAULT 0,
    lease_run_id     text,
    lease_epoch      bigint NOT NULL DEFAULT 0,
    lease_generation integer,
    lease_expires_at timestamptz,
    error_class      text,
    error_code       text,
    error_message    text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    ready_at         timestamptz,
    CONSTRAINT one_source CHECK (num_nonnulls(source_url, upload_ref) = 1)
);
COMMENT ON TABLE videos IS 'One row per video: what it is, where it comes from, its state, and who works on it.';
COMMENT ON COLUMN videos.hints IS 'Title, channel and language as jobs stated them; they fill only what the source leaves open.';
COMMENT ON COLUMN videos.generation IS 'The generation of files and metadata that is served; 0 while there is none.';
COMMENT ON COLUMN videos.lease_epoch IS 'Grows with every lease; every write of a run carries it, so that a zombie changes nothing.';
COMMENT ON COLUMN videos.lease_generation IS 'The generation that the run holding the lease builds.';

CREATE TABLE video_aliases (
    alias      text PRIMARY KEY,
    video_id   text NOT NULL REFERENCES videos ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE video_aliases IS 'Every other name learned for a video.';
CREATE INDEX video_aliases_video ON video_aliases (video_id);

-- ---------------------------------------------------------------------------------------------------------------
-- Jobs: the contract with the API.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE ingest_jobs (
    job_id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source_url       text CHECK (source_url <> ''),
    upload_ref       text CHECK (upload_ref <> ''),
    title            text,
    channel          text,
    language         text,
    priority         integer NOT NULL DEFAULT 0,
    idempotency_key  text UNIQUE,
    options          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
    parent_job_id    uuid REFERENCES ingest_jobs,
    status           text NOT NULL DEFAULT 'queued'
                     CHECK (status IN ('queued', 'dispatched', 'running', 'succeeded', 'failed', 'canceled')),
    video_id         text REFERENCES videos ON DELETE SET NULL,
    source_host      text,
    outcome          text CHECK (outcome IN ('ingested', 'deduplicated')),
    attempt          integer NOT NULL DEFAULT 0,
    failures         integer NOT NULL DEFAULT 0,
    max_attempts     integer CHECK (max_attempts > 0),
    not_before       timestamptz CHECK (isfinite(not_before)),
    run_id           text,
    heartbeat_at     timestamptz,
    progress         jsonb,
    cancel_requested boolean NOT NULL DEFAULT false,
    error_class      text,
    error_code       text,
    error_message    text,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),  -- jobs of one transaction keep their order
    updated_at       timestamptz NOT NULL DEFAULT now(),
    dispatched_at    timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    CONSTRAINT one_source CHECK (num_nonnulls(source_url, upload_ref) = 1),
    CONSTRAINT work_has_a_video CHECK (status NOT IN ('dispatched', 'running') OR video_id IS NOT NULL),
    CONSTRAINT outcome_of_success CHECK ((status = 'succeeded') = (outcome IS NOT NULL)),
    CONSTRAINT end_is_dated CHECK ((status IN ('succeeded', 'failed', 'canceled')) = (finished_at IS NOT NULL)),
    CONSTRAINT failure_is_explained CHECK (status <> 'failed' OR num_nulls(error_class, error_code, error_message) = 0)
);
COMMENT ON TABLE ingest_jobs IS 'A request that a video become ready. Insert a source_url or an upload_ref; all else has a default.';
COMMENT ON COLUMN ingest_jobs.attempt IS 'Grows at every dispatch and is never reused; the run key is job_id:attempt.';
COMMENT ON COLUMN ingest_jobs.failures IS 'Failed attempts; these alone count against max_attempts.';
COMMENT ON COLUMN ingest_jobs.max_attempts IS 'NULL: the worker''s own setting.';
COMMENT ON COLUMN ingest_jobs.progress IS '{"stage", "bytes", "total", "rate"}: bytes, and bytes per second; unknown is null.';
COMMENT ON COLUMN ingest_jobs.options IS '{"force": true} ingests again although the video is ready.';

-- Two jobs never work on one video at once, whoever claims them.
CREATE UNIQUE INDEX one_job_in_flight_per_video ON ingest_jobs (video_id) WHERE status IN ('dispatched', 'running');
CREATE INDEX ingest_jobs_waiting ON ingest_jobs (priority DESC, created_at) WHERE status = 'queued';
CREATE INDEX ingest_jobs_video ON ingest_jobs (video_id);
CREATE INDEX ingest_jobs_parent ON ingest_jobs (parent_job_id);
CREATE INDEX ingest_jobs_run ON ingest_jobs (run_id);
CREATE INDEX ingest_jobs_recent ON ingest_jobs (created_at DESC);

-- ---------------------------------------------------------------------------------------------------------------
-- Artifacts.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE media_files (
    media_file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    video_id      text NOT NULL REFERENCES videos ON DELETE CASCADE,
    generation    integer NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('raw_video', 'audio_track', 'thumbnail', 'captions', 'source_info')),
    language      text,
    bucket        text NOT NULL,
    object_key    text NOT NULL,
    size_bytes    bigint NOT NULL CHECK (size_bytes >= 0),
    sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content_type  text NOT NULL,
    probe         jsonb,
    lease_epoch   bigint NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE media_files IS 'One row per stored object of a video. The row is the commit point: an object without one is not stored.';
CREATE UNIQUE INDEX media_files_one_of_a_kind ON media_files (video_id, generation, kind, coalesce(language, ''));
CREATE INDEX media_files_object ON media_files (bucket, object_key);

CREATE TABLE video_metadata (
    video_id                  text NOT NULL REFERENCES videos ON DELETE CASCADE,
    generation                integer NOT NULL,
    title                     text,
    description               text,
    channel_id                text,
    channel                   text,
    channel_url               text,
    published_at              timestamptz,
    language                  text,
    tags                      jsonb,
    categories                jsonb,
    chapters                  jsonb,
    thumbnail_url             text,
    webpage_url               text,
    declared_duration_seconds double precision,
    declared_width            integer,
    declared_height           integer,
    measured_container        text,
    measured_duration_seconds double precision,
    measured_size_bytes       bigint,
    measured_bit_rate         bigint,
    measured_width            integer,
    measured_height           integer,
    measured_frame_rate       double precision,
    measured_video_codec      text,
    measured_audio_codec      text,
    measured_audio_channels   integer,
    measured_audio_sample_rate integer,
    origins                   jsonb NOT NULL DEFAULT '{}',
    lease_epoch               bigint NOT NULL,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (video_id, generation)
);
COMMENT ON TABLE video_metadata IS 'The normalized metadata of a video. Unknown is NULL, never 0 or a made-up date.';
COMMENT ON COLUMN video_metadata.origins IS 'Which of source, container and hint each value came from.';

-- What downstream reads: only complete generations of ready videos.
CREATE VIEW ready_media_files AS
    SELECT f.* FROM media_files f JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';
CREATE VIEW ready_video_metadata AS
    SELECT m.* FROM video_metadata m JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';

-- ---------------------------------------------------------------------------------------------------------------
-- Every change of state is dated and announced on the channel narralytica_ingest.
-- ---------------------------------------------------------------------------------------------------------------
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER ingest_jobs_updated BEFORE UPDATE ON ingest_jobs FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER videos_updated BEFORE UPDATE ON videos FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER video_metadata_updated BEFORE UPDATE ON video_metadata FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE FUNCTION announce_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('narralytica_ingest', json_build_object(
        'job_id', NEW.job_id, 'video_id', NEW.video_id, 'status', NEW.status, 'outcome', NEW.outcome,
        'attempt', NEW.attempt, 'error_class', NEW.error_class, 'error_code', NEW.error_code)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER ingest_jobs_announced_insert AFTER INSERT ON ingest_jobs
    FOR EACH ROW EXECUTE FUNCTION announce_job();
CREATE TRIGGER ingest_jobs_announced AFTER UPDATE ON ingest_jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION announce_job();

CREATE FUNCTION announce_video() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('narralytica_ingest', json_build_object(
        'video_id', NEW.video_id, 'video_status', NEW.status, 'generation', NEW.generation)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER videos_announced AFTER UPDATE ON videos FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.generation IS DISTINCT FROM NEW.generation)
    EXECUTE FUNCTION announce_video();
