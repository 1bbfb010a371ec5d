-- An audio track is made after a profile; a video may have several tracks, of several profiles and languages.
ALTER TABLE media_files ADD COLUMN profile text;
ALTER TABLE media_files ADD COLUMN facts jsonb;
COMMENT ON COLUMN media_files.profile IS 'Of an audio track: how it was made (docs/data-model.md).';
COMMENT ON COLUMN media_files.facts IS 'What was measured and decided when the file was made: loudness, chosen sound, findings.';
UPDATE media_files SET profile = 'flac' WHERE kind = 'audio_track';

ALTER TABLE media_files DROP CONSTRAINT media_files_kind_check;
ALTER TABLE media_files ADD CONSTRAINT media_files_kind_check
    CHECK (kind IN ('raw_video', 'audio_track', 'thumbnail', 'captions', 'source_info', 'waveform'));

DROP INDEX media_files_one_of_a_kind;
CREATE UNIQUE INDEX media_files_one_of_a_kind
    ON media_files (video_id, generation, kind, coalesce(language, ''), coalesce(origin, ''), coalesce(profile, ''));

CREATE OR REPLACE VIEW ready_media_files AS
    SELECT f.* FROM media_files f JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';
