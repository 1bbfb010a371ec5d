"""The one partition set: `videos`, a key per video. The `videos` table is the truth; this is Dagster's view of it."""

import dagster as dg

videos = dg.DynamicPartitionsDefinition(name="videos")
