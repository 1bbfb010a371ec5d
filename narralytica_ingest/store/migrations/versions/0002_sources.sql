-- ---------------------------------------------------------------------------------------------------------------
-- Playlists: a job whose URL holds several videos becomes the parent of one job for each.
-- ---------------------------------------------------------------------------------------------------------------
ALTER TABLE ingest_jobs DROP CONSTRAINT ingest_jobs_outcome_check;
ALTER TABLE ingest_jobs ADD CONSTRAINT ingest_jobs_outcome_check
    CHECK (outcome IN ('ingested', 'deduplicated', 'expanded'));
ALTER TABLE ingest_jobs ADD COLUMN playlist jsonb;
ALTER TABLE ingest_jobs ADD CONSTRAINT playlist_of_expanded CHECK (outcome IS DISTINCT FROM 'expanded' OR playlist IS NOT NULL);
COMMENT ON COLUMN ingest_jobs.playlist IS
    'Of an expanded job: {"title", "videos", "more"}: how many videos were listed, and whether the limit left others out.';
COMMENT ON COLUMN ingest_jobs.progress IS
    '{"stage", "bytes", "total", "rate", "eta"}: bytes, bytes per second, seconds; unknown is null.';

CREATE VIEW playlist_jobs AS
    SELECT p.job_id, p.source_url, p.playlist ->> 'title' AS title, (p.playlist ->> 'more')::boolean AS more,
           count(c.job_id) AS children,
           count(c.job_id) FILTER (WHERE c.status = 'queued') AS queued,
           count(c.job_id) FILTER (WHERE c.status IN ('dispatched', 'running')) AS running,
           count(c.job_id) FILTER (WHERE c.status = 'succeeded') AS succeeded,
           count(c.job_id) FILTER (WHERE c.status = 'failed') AS failed,
           count(c.job_id) FILTER (WHERE c.status = 'canceled') AS canceled
      FROM ingest_jobs p LEFT JOIN ingest_jobs c ON c.parent_job_id = p.job_id
     WHERE p.outcome = 'expanded' GROUP BY p.job_id;
COMMENT ON VIEW playlist_jobs IS 'How the children of each expanded job fare.';

-- ---------------------------------------------------------------------------------------------------------------
-- Hosts: what a source that limits or suspects us is owed. A host without a row is treated like any other.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE hosts (
    host            text PRIMARY KEY,
    cool_until      timestamptz,
    refusals        integer NOT NULL DEFAULT 0 CHECK (refusals >= 0),
    last_started_at timestamptz,
    error_code      text,
    error_message   text,
    updated_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE hosts IS 'Source hosts that were paused or paced; the claim passes over the jobs of one that cools down.';
COMMENT ON COLUMN hosts.refusals IS
    'Refusals (rate limits, bot checks) since the last success; while above 0 one job at a time tries the host.';
COMMENT ON COLUMN hosts.last_started_at IS 'Of hosts with a pause between two starts: when a job was last claimed or begun.';
CREATE TRIGGER hosts_updated BEFORE UPDATE ON hosts FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- A claimed job may wait for a worker, so the pause counts from where its run really begins.
CREATE FUNCTION date_start_at_host() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hosts SET last_started_at = NEW.started_at WHERE host = NEW.source_host AND last_started_at IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER ingest_jobs_started AFTER UPDATE ON ingest_jobs FOR EACH ROW
    WHEN (OLD.status <> 'running' AND NEW.status = 'running') EXECUTE FUNCTION date_start_at_host();

-- The claim takes of each host the first in line.
CREATE INDEX ingest_jobs_in_line ON ingest_jobs (coalesce(source_host, ''), priority DESC, created_at)
    WHERE status = 'queued' AND video_id IS NOT NULL;

-- ---------------------------------------------------------------------------------------------------------------
-- Captions: a language may have uploaded and automatic ones.
-- ---------------------------------------------------------------------------------------------------------------
ALTER TABLE media_files ADD COLUMN origin text CHECK (origin IN ('uploaded', 'automatic'));
COMMENT ON COLUMN media_files.origin IS 'Of captions: made by people (uploaded) or by the source (automatic).';
DROP INDEX media_files_one_of_a_kind;
CREATE UNIQUE INDEX media_files_one_of_a_kind
    ON media_files (video_id, generation, kind, coalesce(language, ''), coalesce(origin, ''));
CREATE OR REPLACE VIEW ready_media_files AS
    SELECT f.* FROM media_files f JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';
