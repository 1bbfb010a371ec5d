"""Where video comes from: identity, the yt-dlp adapter, uploads, and what their failures mean. Knows no Dagster."""
