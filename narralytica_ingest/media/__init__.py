"""ffmpeg and ffprobe: what a media file is, its audio track, its integrity. Knows no Dagster and no source."""
