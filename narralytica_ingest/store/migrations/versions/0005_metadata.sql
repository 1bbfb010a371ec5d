CREATE OR REPLACE VIEW ready_video_metadata AS
    SELECT m.* FROM video_metadata m JOIN videos v USING (video_id, generation) WHERE v.status = 'ready';
