-- ---------------------------------------------------------------------------------------------------------------
-- The whole schema of metadata: identity, what the source declares, what was measured, and when it was read.
-- ---------------------------------------------------------------------------------------------------------------
ALTER TABLE video_metadata
    ADD COLUMN source                 text,
    ADD COLUMN source_id              text,
    ADD COLUMN published_precision    text CHECK (published_precision IN ('second', 'day', 'month', 'year')),
    ADD COLUMN uploaded_at            timestamptz,
    ADD COLUMN uploaded_precision     text CHECK (uploaded_precision IN ('second', 'day', 'month', 'year')),
    ADD COLUMN recorded_at            timestamptz,
    ADD COLUMN captions               jsonb,
    ADD COLUMN license                text,
    ADD COLUMN age_limit              integer CHECK (age_limit BETWEEN 0 AND 99),
    ADD COLUMN live_status            text
        CHECK (live_status IN ('not_live', 'is_upcoming', 'is_live', 'post_live', 'was_live')),
    ADD COLUMN view_count             bigint CHECK (view_count >= 0),
    ADD COLUMN like_count             bigint CHECK (like_count >= 0),
    ADD COLUMN comment_count          bigint CHECK (comment_count >= 0),
    ADD COLUMN read_at                timestamptz,
    ADD COLUMN declared_size_bytes    bigint,
    ADD COLUMN declared_container     text,
    ADD COLUMN declared_bit_rate      bigint,
    ADD COLUMN declared_frame_rate    double precision,
    ADD COLUMN declared_dynamic_range text,
    ADD COLUMN declared_video_codec   text,
    ADD COLUMN declared_video_bit_rate bigint,
    ADD COLUMN declared_audio_codec   text,
    ADD COLUMN declared_audio_bit_rate bigint,
    ADD COLUMN declared_audio_channels integer,
    ADD COLUMN declared_audio_sample_rate integer,
    ADD COLUMN measured_dynamic_range text,
    ADD COLUMN measured_video_bit_rate bigint,
    ADD COLUMN measured_audio_bit_rate bigint,
    ADD COLUMN measured_rotation      integer CHECK (measured_rotation BETWEEN 0 AND 359);

-- Until now a day was written as its midnight.
UPDATE video_metadata
   SET published_precision = CASE WHEN published_at = date_trunc('day', published_at, 'UTC') THEN 'day' ELSE 'second' END
 WHERE published_at IS NOT NULL;

-- ---------------------------------------------------------------------------------------------------------------
-- Corrections: what people state better than the source. They lie over whatever was read, is read later, or is
-- ingested anew, so nothing that a run does can undo one.
-- ---------------------------------------------------------------------------------------------------------------
CREATE TABLE metadata_corrections (
    video_id text NOT NULL REFERENCES videos ON DELETE CASCADE,
    field    text NOT NULL CHECK (field IN (
             'webpage_url', 'title', 'description', 'channel', 'channel_id', 'channel_url', 'published_at',
             'uploaded_at', 'language', 'tags', 'categories', 'chapters', 'thumbnail_url', 'license', 'age_limit',
             'live_status')),
    value    jsonb NOT NULL,
    by       text NOT NULL DEFAULT current_user CHECK (by <> ''),
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (video_id, field),
    CONSTRAINT value_fits_the_field CHECK (value = 'null' OR CASE
        WHEN field IN ('tags', 'categories', 'chapters') THEN jsonb_typeof(value) = 'array'
        WHEN field = 'age_limit' THEN value #>> '{}' ~ '^\d\d?$' AND jsonb_typeof(value) = 'number'
        WHEN jsonb_typeof(value) <> 'string' THEN false
        WHEN field IN ('published_at', 'uploaded_at') THEN value #>> '{}' ~
             '^[12]\d{3}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d))?)?)?$'
        WHEN field = 'live_status'
             THEN value #>> '{}' IN ('not_live', 'is_upcoming', 'is_live', 'post_live', 'was_live')
        WHEN field = 'language' THEN value #>> '{}' ~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$'
        WHEN field IN ('webpage_url', 'channel_url', 'thumbnail_url') THEN value #>> '{}' ~* '^https?://\S+$'
        ELSE btrim(value #>> '{}') <> '' AND length(value #>> '{}') <= 20000 END)
);

-- What a correction sets. A time that is known to the day, month or year stands as its beginning, with its precision.
CREATE FUNCTION corrected_fields(field text, value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN field NOT IN ('published_at', 'uploaded_at') THEN jsonb_build_object(field, value)
        ELSE jsonb_build_object(
            field, (value #>> '{}') || CASE length(value #>> '{}') WHEN 4 THEN '-01-01T00:00:00Z'
                   WHEN 7 THEN '-01T00:00:00Z' WHEN 10 THEN 'T00:00:00Z' ELSE '' END,
            replace(field, '_at', '_precision'), CASE length(value #>> '{}') WHEN 4 THEN 'year' WHEN 7 THEN 'month'
                   WHEN 10 THEN 'day' ELSE CASE WHEN value <> 'null' THEN 'second' END END) END
$$;

-- A value of the wrong type would break the view that everybody reads: it is refused where it comes in.
CREATE FUNCTION check_correction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM jsonb_populate_record(NULL::video_metadata, corrected_fields(NEW.field, NEW.value));
    NEW.at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER metadata_corrections_checked BEFORE INSERT OR UPDATE ON metadata_corrections
    FOR EACH ROW EXECUTE FUNCTION check_correction();

-- (The identity comes from the table itself, so that a video is found by the table's index.)
CREATE VIEW corrected_video_metadata AS
    SELECT m.video_id, m.generation, served.title, served.description, served.channel_id, served.channel,
           served.channel_url, served.published_at, served.language, served.tags, served.categories,
           served.chapters, served.thumbnail_url, served.webpage_url, served.declared_duration_seconds,
           served.declared_width, served.declared_height, served.measured_container,
           served.measured_duration_seconds, served.measured_size_bytes, served.measured_bit_rate,
           served.measured_width, served.measured_height, served.measured_frame_rate, served.measured_video_codec,
           served.measured_audio_codec, served.measured_audio_channels, served.measured_audio_sample_rate,
           served.origins, served.lease_epoch, served.created_at, served.updated_at, served.source,
           served.source_id, served.published_precision, served.uploaded_at, served.uploaded_precision,
           served.recorded_at, served.captions, served.license, served.age_limit, served.live_status,
           served.view_count, served.like_count, served.comment_count, served.read_at, served.declared_size_bytes,
           served.declared_container, served.declared_bit_rate, served.declared_frame_rate,
           served.declared_dynamic_range, served.declared_video_codec, served.declared_video_bit_rate,
           served.declared_audio_codec, served.declared_audio_bit_rate, served.declared_audio_channels,
           served.declared_audio_sample_rate, served.measured_dynamic_range, served.measured_video_bit_rate,
           served.measured_audio_bit_rate, served.measured_rotation
      FROM video_metadata m
      LEFT JOIN LATERAL (
           SELECT jsonb_object_agg(part.key, part.value)
                  || jsonb_build_object('origins', m.origins || jsonb_object_agg(c.field, 'correction')) AS fields
             FROM metadata_corrections c CROSS JOIN LATERAL jsonb_each(corrected_fields(c.field, c.value)) AS part
            WHERE c.video_id = m.video_id) corrections ON true
     CROSS JOIN LATERAL jsonb_populate_record(m, coalesce(corrections.fields, '{}')) AS served;

CREATE OR REPLACE VIEW ready_video_metadata AS
    SELECT m.* FROM corrected_video_metadata m JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';
