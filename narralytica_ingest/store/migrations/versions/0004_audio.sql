-- An audio track is made after a profile; a video may have several tracks, of several profiles and languages.
ALTER TABLE media_files ADD COLUMN profile text;
ALTER TABLE media_files ADD COLUMN facts jsonb;
COMMENT ON COLUMN media_files.profile IS 'Of an audio track: how it was made (docs/data-model.md).';
COMMENT ON COLUMN media_files.facts IS 'What was measured and decided when the file was made: loudness, chosen sound, findings.';
UPDATE media_files SET profile = 'flac' WHERE kind = 'audio_track';

DROP INDEX media_files_one_of_a_kind;
CREATE UNIQUE INDEX media_files_one_of_a_kind
    ON media_files (video_id, generation, kind, coalesce(language, ''), coalesce(origin, ''), coalesce(profile, ''));

CREATE OR REPLACE VIEW ready_media_files AS
    SELECT f.* FROM media_files f JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';

-- The texts that an option lists; one NULL where it lists none.
CREATE FUNCTION wishes(options jsonb, name text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT wish FROM (VALUES (1)) AS once LEFT JOIN LATERAL jsonb_array_elements_text(
           CASE WHEN jsonb_typeof(options -> name) = 'array' THEN options -> name ELSE '[]' END) AS wish ON true
$$;

-- Whether a job wishes for audio tracks that the video does not have in this generation. A track answers a wish for a
-- language if it is in it, or if its run had been asked for that language, too: what such a run did not make, the file
-- does not have. So a run that has committed its tracks has answered its job, and no wish is worked for twice.
CREATE FUNCTION asks_for_more(options jsonb, of_video text, of_generation integer) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT (options ? 'audio_profiles' OR options ? 'audio_languages') AND EXISTS (
        SELECT FROM wishes(options, 'audio_profiles') AS wished (profile)
          CROSS JOIN wishes(options, 'audio_languages') AS spoken (tag)
         WHERE NOT EXISTS (
               SELECT FROM media_files f
                WHERE f.video_id = of_video AND f.generation = of_generation AND f.kind = 'audio_track'
                  AND (wished.profile IS NULL OR f.profile = wished.profile)
                  AND (spoken.tag IS NULL OR f.facts -> 'asked_languages' ? spoken.tag
                       OR lower(spoken.tag) IN (lower(f.language), split_part(lower(f.language), '-', 1)))))
$$;
