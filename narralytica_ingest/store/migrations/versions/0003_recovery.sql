-- ---------------------------------------------------------------------------------------------------------------
-- Publications: what a run is about to store. The row is written before the first byte is sent, so whatever a run
-- that dies leaves in the bucket is known here.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE publications (
    bucket      text NOT NULL,
    object_key  text NOT NULL,
    video_id    text NOT NULL REFERENCES videos ON DELETE CASCADE,
    run_id      text NOT NULL,
    lease_epoch bigint NOT NULL,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, object_key, video_id, run_id, lease_epoch)
);
COMMENT ON TABLE publications IS
    'Objects on their way into the bucket. Good as long as the lease of its run; the commit of the media file ends it.';
CREATE INDEX publications_video ON publications (video_id);

-- ---------------------------------------------------------------------------------------------------------------
-- Leftovers: objects that may be nobody's any more. The sweeper looks again before it removes one.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE leftover_objects (
    bucket      text NOT NULL,
    object_key  text NOT NULL,
    video_id    text,
    since       timestamptz NOT NULL DEFAULT now(),
    removing_at timestamptz,
    PRIMARY KEY (bucket, object_key)
);
COMMENT ON TABLE leftover_objects IS
    'Objects to which a reference went away. After a grace period the sweeper removes those that nothing refers to.';
COMMENT ON COLUMN leftover_objects.video_id IS 'Whose object it was last; not a foreign key, since that video may be gone.';
COMMENT ON COLUMN leftover_objects.removing_at IS
    'When its removal was begun. While that is recent, the bucket may still carry out a request whose sender is gone.';
CREATE INDEX leftover_objects_since ON leftover_objects (since);
CREATE INDEX leftover_objects_video ON leftover_objects (video_id);

-- The sweeper decides under the lock of the key; here it is enough to note whatever might be left over. Rows are noted
-- in the order of their keys, so that two videos which let go of the same objects do not wait for each other.
CREATE FUNCTION note_dropped_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO leftover_objects (bucket, object_key, video_id)
    SELECT bucket, object_key, max(video_id) FROM gone GROUP BY bucket, object_key ORDER BY bucket, object_key
    ON CONFLICT (bucket, object_key) DO UPDATE SET since = excluded.since, video_id = excluded.video_id;
    RETURN NULL;
END $$;
CREATE TRIGGER media_files_dropped AFTER DELETE ON media_files REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_dropped_files();

CREATE FUNCTION note_replaced_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO leftover_objects (bucket, object_key, video_id)
    SELECT gone.bucket, gone.object_key, max(gone.video_id) FROM gone JOIN came USING (media_file_id)
     WHERE (gone.bucket, gone.object_key) IS DISTINCT FROM (came.bucket, came.object_key)
     GROUP BY gone.bucket, gone.object_key ORDER BY gone.bucket, gone.object_key
    ON CONFLICT (bucket, object_key) DO UPDATE SET since = excluded.since, video_id = excluded.video_id;
    RETURN NULL;
END $$;
CREATE TRIGGER media_files_replaced AFTER UPDATE ON media_files REFERENCING OLD TABLE AS gone NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION note_replaced_files();

-- A publication that ends with a media file, as it mostly does, leaves nothing over. Should that file be dropped at
-- this very moment, its own trigger notes it.
CREATE FUNCTION note_ended_publications() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO leftover_objects (bucket, object_key, video_id)
    SELECT bucket, object_key, max(video_id) FROM gone
     WHERE NOT EXISTS (SELECT FROM media_files f WHERE f.bucket = gone.bucket AND f.object_key = gone.object_key)
     GROUP BY bucket, object_key ORDER BY bucket, object_key
    ON CONFLICT (bucket, object_key) DO UPDATE SET since = excluded.since, video_id = excluded.video_id;
    RETURN NULL;
END $$;
CREATE TRIGGER publications_ended AFTER DELETE ON publications REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_ended_publications();

-- ---------------------------------------------------------------------------------------------------------------
-- Which installation this is. A bucket is swept by the installation that it belongs to, and by no other.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE installation (
    only_one        boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    installation_id uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE installation IS 'The name of these tables. It goes with every backup of them.';
INSERT INTO installation DEFAULT VALUES;

-- ---------------------------------------------------------------------------------------------------------------
-- Pauses: while a part of our own is away or full, no job is claimed, and every job keeps its place.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE claim_pauses (
    resource      text PRIMARY KEY CHECK (resource IN ('object_store', 'disk')),
    since         timestamptz NOT NULL DEFAULT now(),
    until         timestamptz NOT NULL,
    refusals      integer NOT NULL DEFAULT 1 CHECK (refusals > 0),
    error_code    text NOT NULL,
    error_message text NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE claim_pauses IS
    'Parts of our own that were away or full. No job is claimed before `until`, and one at a time until one succeeds.';
COMMENT ON COLUMN claim_pauses.refusals IS 'How often in a row; each makes the pause longer.';
CREATE TRIGGER claim_pauses_updated BEFORE UPDATE ON claim_pauses FOR EACH ROW EXECUTE FUNCTION set_updated_at();
