-- Every table, view and column in words: docs/data-model.md is made of them.

COMMENT ON TABLE metadata_corrections IS
    'What people state better than the source. It lies over what was read, in the views below; a run never changes it.';
COMMENT ON TABLE ingest_schema_version IS
    'Which version the tables have.';
COMMENT ON VIEW corrected_video_metadata IS
    'video_metadata with what people corrected, of every generation; the origin of such a field is correction.';
COMMENT ON VIEW ready_video_metadata IS
    'What downstream reads: the corrected metadata of ready videos, in the generation that is served.';
COMMENT ON VIEW ready_media_files IS
    'What downstream reads: the files of ready videos, in the generation that is served.';

COMMENT ON COLUMN videos.video_id IS
    'The name of the video, and its partition in Dagster; once given it never changes.';
COMMENT ON COLUMN videos.source IS 'The site (yt-dlp''s extractor), `web` for any other URL, or the kind of upload.';
COMMENT ON COLUMN videos.source_id IS 'The name that the video has there.';
COMMENT ON COLUMN videos.source_url IS 'Where it is fetched from, if it is not an upload.';
COMMENT ON COLUMN videos.upload_ref IS 'Where it was uploaded to: s3://bucket/key.';
COMMENT ON COLUMN videos.upload_version IS 'ETag of the upload, so that an overwritten key is not taken for the same.';
COMMENT ON COLUMN videos.status IS
    'pending, ingesting, ready or failed. A ready video stays so while a new generation is built.';
COMMENT ON COLUMN videos.options IS 'What the last job that was bound wished of the fetch: docs/job-table.md.';
COMMENT ON COLUMN videos.content_sha256 IS 'SHA-256 of the original that is served, or is to be.';
COMMENT ON COLUMN videos.lease_run_id IS 'The run that may write about the video now; NULL: none.';
COMMENT ON COLUMN videos.lease_expires_at IS 'Until then the lease holds; heartbeats prolong it.';
COMMENT ON COLUMN videos.error_class IS 'Class of the failure that the last attempt ended with: docs/failure-codes.md.';
COMMENT ON COLUMN videos.error_code IS 'Its code.';
COMMENT ON COLUMN videos.error_message IS 'Its sentence for people.';
COMMENT ON COLUMN videos.created_at IS 'When the video was first named.';
COMMENT ON COLUMN videos.updated_at IS 'When the row was last changed.';
COMMENT ON COLUMN videos.ready_at IS 'When the generation that is served became whole.';

COMMENT ON COLUMN video_aliases.alias IS 'Another name of the video, in the form of a video_id.';
COMMENT ON COLUMN video_aliases.video_id IS 'The video.';
COMMENT ON COLUMN video_aliases.created_at IS 'When it was learned.';

COMMENT ON COLUMN ingest_jobs.job_id IS 'The job.';
COMMENT ON COLUMN ingest_jobs.source_url IS
    'What to ingest: an http(s) URL of a video, playlist or channel. Exactly one of this and upload_ref.';
COMMENT ON COLUMN ingest_jobs.upload_ref IS 'What to ingest: an uploaded object, s3://bucket/key.';
COMMENT ON COLUMN ingest_jobs.title IS 'Hint: fills what the source does not say.';
COMMENT ON COLUMN ingest_jobs.channel IS 'Hint, as title.';
COMMENT ON COLUMN ingest_jobs.language IS 'Hint, as title: a BCP 47 tag.';
COMMENT ON COLUMN ingest_jobs.priority IS 'Higher goes first.';
COMMENT ON COLUMN ingest_jobs.idempotency_key IS 'A request that is repeated with the same key makes no second job.';
COMMENT ON COLUMN ingest_jobs.parent_job_id IS 'The job whose playlist brought this one.';
COMMENT ON COLUMN ingest_jobs.status IS 'queued, dispatched, running, succeeded, failed or canceled.';
COMMENT ON COLUMN ingest_jobs.video_id IS
    'The video that its source turned out to be; NULL before that, and after the video was deleted.';
COMMENT ON COLUMN ingest_jobs.source_host IS 'The host that counts the job.';
COMMENT ON COLUMN ingest_jobs.outcome IS 'Of a succeeded job: ingested, deduplicated or expanded.';
COMMENT ON COLUMN ingest_jobs.not_before IS 'A queued job waits until then.';
COMMENT ON COLUMN ingest_jobs.run_id IS 'The Dagster run that works on it, or did last.';
COMMENT ON COLUMN ingest_jobs.heartbeat_at IS 'When its run last gave a sign of life.';
COMMENT ON COLUMN ingest_jobs.cancel_requested IS 'Set it to true to cancel the job.';
COMMENT ON COLUMN ingest_jobs.error_class IS
    'Class of the last failure, which decides what happens next: docs/failure-codes.md.';
COMMENT ON COLUMN ingest_jobs.error_code IS 'Its code.';
COMMENT ON COLUMN ingest_jobs.error_message IS 'Its sentence for people.';
COMMENT ON COLUMN ingest_jobs.created_at IS 'When it was inserted.';
COMMENT ON COLUMN ingest_jobs.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN ingest_jobs.dispatched_at IS 'When it was last claimed.';
COMMENT ON COLUMN ingest_jobs.started_at IS 'When its last run began.';
COMMENT ON COLUMN ingest_jobs.finished_at IS 'When it succeeded, failed or was canceled.';

COMMENT ON COLUMN media_files.media_file_id IS 'The row.';
COMMENT ON COLUMN media_files.video_id IS 'The video.';
COMMENT ON COLUMN media_files.generation IS
    'The generation of the video''s files that it belongs to; only that of the video''s own row is served.';
COMMENT ON COLUMN media_files.kind IS 'raw_video, audio_track, thumbnail, captions or source_info.';
COMMENT ON COLUMN media_files.language IS 'Of captions as the source names it, of an audio track a BCP 47 tag.';
COMMENT ON COLUMN media_files.bucket IS 'Bucket of the object.';
COMMENT ON COLUMN media_files.object_key IS 'Key of the object: media/<first two hex>/<sha256>.<extension>.';
COMMENT ON COLUMN media_files.size_bytes IS 'Size of the object.';
COMMENT ON COLUMN media_files.sha256 IS 'SHA-256 of its bytes, in hex.';
COMMENT ON COLUMN media_files.content_type IS 'MIME type, told by the bytes.';
COMMENT ON COLUMN media_files.probe IS 'What ffprobe measured, of files with picture or sound.';
COMMENT ON COLUMN media_files.lease_epoch IS 'The lease under which it was committed.';
COMMENT ON COLUMN media_files.created_at IS 'When it was first committed.';

COMMENT ON COLUMN hosts.host IS 'Host name.';
COMMENT ON COLUMN hosts.cool_until IS 'No job of the host is claimed before.';
COMMENT ON COLUMN hosts.error_code IS 'What it refused with last.';
COMMENT ON COLUMN hosts.error_message IS 'In its own words.';
COMMENT ON COLUMN hosts.updated_at IS 'When the row was last changed.';

COMMENT ON COLUMN publications.bucket IS 'Bucket.';
COMMENT ON COLUMN publications.object_key IS 'Key of the object that is on its way.';
COMMENT ON COLUMN publications.video_id IS 'The video that it is for.';
COMMENT ON COLUMN publications.run_id IS 'The run that stores it.';
COMMENT ON COLUMN publications.lease_epoch IS 'The lease of that run.';
COMMENT ON COLUMN publications.begun_at IS 'When it was announced.';

COMMENT ON COLUMN leftover_objects.bucket IS 'Bucket.';
COMMENT ON COLUMN leftover_objects.object_key IS 'Key of the object.';
COMMENT ON COLUMN leftover_objects.since IS 'When the last reference went away.';

COMMENT ON COLUMN installation.only_one IS 'There is one row.';
COMMENT ON COLUMN installation.installation_id IS 'The name.';

COMMENT ON COLUMN claim_pauses.resource IS 'The part that is away or full: object_store or disk.';
COMMENT ON COLUMN claim_pauses.since IS 'When it was found so first.';
COMMENT ON COLUMN claim_pauses.until IS 'No job is claimed before.';
COMMENT ON COLUMN claim_pauses.error_code IS 'What was found last.';
COMMENT ON COLUMN claim_pauses.error_message IS 'Its sentence for people.';
COMMENT ON COLUMN claim_pauses.updated_at IS 'When the row was last changed.';

COMMENT ON COLUMN metadata_corrections.video_id IS 'The video.';
COMMENT ON COLUMN metadata_corrections.field IS 'The column of video_metadata that is corrected.';
COMMENT ON COLUMN metadata_corrections.value IS
    'What it says from now on, in the column''s own form; a time as YYYY, YYYY-MM, YYYY-MM-DD or with time and offset; null: unknown.';
COMMENT ON COLUMN metadata_corrections.by IS 'Who corrected it.';
COMMENT ON COLUMN metadata_corrections.at IS 'When.';

COMMENT ON COLUMN video_metadata.video_id IS 'The video.';
COMMENT ON COLUMN video_metadata.source IS 'The site or kind of upload that the video comes from.';
COMMENT ON COLUMN video_metadata.source_id IS 'The name that the video has there.';
COMMENT ON COLUMN video_metadata.webpage_url IS 'The page of the video, without what would open it.';
COMMENT ON COLUMN video_metadata.title IS 'Title.';
COMMENT ON COLUMN video_metadata.description IS 'Description, of several lines.';
COMMENT ON COLUMN video_metadata.channel IS 'Name of the channel, author or artist.';
COMMENT ON COLUMN video_metadata.channel_id IS 'The name that the source keeps for the channel.';
COMMENT ON COLUMN video_metadata.channel_url IS 'Page of the channel.';
COMMENT ON COLUMN video_metadata.published_at IS
    'When the video became public, in UTC: the beginning of what published_precision says.';
COMMENT ON COLUMN video_metadata.published_precision IS 'What is known of published_at: second, day, month or year.';
COMMENT ON COLUMN video_metadata.uploaded_at IS
    'When the video came to the source, in UTC: the beginning of what uploaded_precision says.';
COMMENT ON COLUMN video_metadata.uploaded_precision IS 'What is known of uploaded_at: second, day, month or year.';
COMMENT ON COLUMN video_metadata.recorded_at IS 'When the file says that it was recorded or written, in UTC.';
COMMENT ON COLUMN video_metadata.language IS 'Language that is spoken, a BCP 47 tag.';
COMMENT ON COLUMN video_metadata.tags IS 'Keywords: a list of texts.';
COMMENT ON COLUMN video_metadata.categories IS 'Categories of the source: a list of texts.';
COMMENT ON COLUMN video_metadata.chapters IS 'Chapters: a list of {title, start_seconds, end_seconds}.';
COMMENT ON COLUMN video_metadata.captions IS
    'Captions that there are, stored or not: a list of {language, name, origin}; origin is uploaded, automatic or container, name as the source says it.';
COMMENT ON COLUMN video_metadata.thumbnail_url IS 'Picture of the video at the source; the stored one is a media file.';
COMMENT ON COLUMN video_metadata.license IS 'License, in the source''s words.';
COMMENT ON COLUMN video_metadata.age_limit IS 'Years of age that the source asks for; 0: none.';
COMMENT ON COLUMN video_metadata.live_status IS 'Whether it is or was a broadcast.';
COMMENT ON COLUMN video_metadata.view_count IS 'Views at read_at.';
COMMENT ON COLUMN video_metadata.like_count IS 'Likes at read_at.';
COMMENT ON COLUMN video_metadata.comment_count IS 'Comments at read_at.';
COMMENT ON COLUMN video_metadata.read_at IS
    'When the source was read; of a source that says nothing, when the original was stored. An older reading never overwrites a newer one.';
COMMENT ON COLUMN video_metadata.declared_duration_seconds IS 'Length as the source states it, in seconds.';
COMMENT ON COLUMN video_metadata.declared_size_bytes IS 'Size of the file as the source states it, in bytes.';
COMMENT ON COLUMN video_metadata.declared_container IS 'Container as the source states it.';
COMMENT ON COLUMN video_metadata.declared_bit_rate IS 'Bits per second of the whole file as the source states it.';
COMMENT ON COLUMN video_metadata.declared_width IS
    'Width of the picture as the source states it, in pixels, before it is turned.';
COMMENT ON COLUMN video_metadata.declared_height IS
    'Height of the picture as the source states it, in pixels, before it is turned.';
COMMENT ON COLUMN video_metadata.declared_frame_rate IS 'Pictures per second as the source states it, on average.';
COMMENT ON COLUMN video_metadata.declared_dynamic_range IS
    'Dynamic range of the picture as the source states it: SDR, HDR10, HLG, DV.';
COMMENT ON COLUMN video_metadata.declared_video_codec IS 'Codec of the picture as the source states it.';
COMMENT ON COLUMN video_metadata.declared_video_bit_rate IS 'Bits per second of the picture as the source states it.';
COMMENT ON COLUMN video_metadata.declared_audio_codec IS 'Codec of the sound as the source states it.';
COMMENT ON COLUMN video_metadata.declared_audio_bit_rate IS 'Bits per second of the sound as the source states it.';
COMMENT ON COLUMN video_metadata.declared_audio_channels IS 'Channels of the sound as the source states it.';
COMMENT ON COLUMN video_metadata.declared_audio_sample_rate IS
    'Samples per second of the sound as the source states it.';
COMMENT ON COLUMN video_metadata.measured_duration_seconds IS
    'Length as ffprobe measured it in the stored original, in seconds.';
COMMENT ON COLUMN video_metadata.measured_size_bytes IS
    'Size of the file as ffprobe measured it in the stored original, in bytes.';
COMMENT ON COLUMN video_metadata.measured_container IS 'Container as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_bit_rate IS
    'Bits per second of the whole file as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_width IS
    'Width of the picture as ffprobe measured it in the stored original, in pixels, before it is turned.';
COMMENT ON COLUMN video_metadata.measured_height IS
    'Height of the picture as ffprobe measured it in the stored original, in pixels, before it is turned.';
COMMENT ON COLUMN video_metadata.measured_frame_rate IS
    'Pictures per second as ffprobe measured it in the stored original, on average.';
COMMENT ON COLUMN video_metadata.measured_dynamic_range IS
    'Dynamic range of the picture as ffprobe measured it in the stored original: SDR, HDR10, HLG, DV.';
COMMENT ON COLUMN video_metadata.measured_video_codec IS
    'Codec of the picture as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_video_bit_rate IS
    'Bits per second of the picture as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_audio_codec IS
    'Codec of the sound as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_audio_bit_rate IS
    'Bits per second of the sound as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_audio_channels IS
    'Channels of the sound as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_audio_sample_rate IS
    'Samples per second of the sound as ffprobe measured it in the stored original.';
COMMENT ON COLUMN video_metadata.measured_rotation IS 'Degrees by which a player turns the picture counter-clockwise.';
COMMENT ON COLUMN video_metadata.origins IS
    'Who stated a value, by column: source, hint, container, url, file_name or correction.';
COMMENT ON COLUMN video_metadata.generation IS 'The generation of the video''s files that it belongs to.';
COMMENT ON COLUMN video_metadata.lease_epoch IS 'The lease under which it was committed.';
COMMENT ON COLUMN video_metadata.created_at IS 'When the row was first committed.';
COMMENT ON COLUMN video_metadata.updated_at IS 'When it was last changed.';

COMMENT ON COLUMN playlist_jobs.job_id IS 'The expanded job.';
COMMENT ON COLUMN playlist_jobs.source_url IS 'Its playlist or channel.';
COMMENT ON COLUMN playlist_jobs.title IS 'Title of that.';
COMMENT ON COLUMN playlist_jobs.more IS 'Whether the limit left videos out.';
COMMENT ON COLUMN playlist_jobs.children IS 'How many jobs it has.';
COMMENT ON COLUMN playlist_jobs.queued IS 'Of these, queued.';
COMMENT ON COLUMN playlist_jobs.running IS 'Dispatched or running.';
COMMENT ON COLUMN playlist_jobs.succeeded IS 'Succeeded.';
COMMENT ON COLUMN playlist_jobs.failed IS 'Failed.';
COMMENT ON COLUMN playlist_jobs.canceled IS 'Canceled.';

COMMENT ON COLUMN ingest_schema_version.version_num IS 'The last migration that was run.';
