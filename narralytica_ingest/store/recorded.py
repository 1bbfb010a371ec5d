"""What the tables hold of a video, in one generation: its files and its row of metadata. Only read here."""

from collections.abc import Sequence
from dataclasses import dataclass

from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.database import Connection, Row

# The generation that the run builds; else the one that is served; else, of a video that was never ready, the newest.
_GENERATIONS = """
SELECT v.video_id, coalesce(CASE WHEN v.lease_run_id = %(run_id)s THEN v.lease_generation END, nullif(v.generation, 0),
                            (SELECT max(f.generation) FROM media_files f WHERE f.video_id = v.video_id)) AS generation
  FROM videos v WHERE v.video_id = ANY(%(video_ids)s)
"""
_FILES = f"SELECT f.* FROM media_files f JOIN ({_GENERATIONS}) g USING (video_id, generation) ORDER BY media_file_id"  # noqa: S608
_METADATA = f"SELECT m.* FROM video_metadata m JOIN ({_GENERATIONS}) g USING (video_id, generation)"  # noqa: S608


@dataclass(frozen=True)
class Recorded:
    """One video as the tables have it; `metadata` is its row of `video_metadata`."""

    files: tuple[MediaFile, ...] = ()
    metadata: Row | None = None

    def of_kinds(self, *kinds: str) -> list[MediaFile]:
        """The files of these kinds."""
        return [file for file in self.files if file.kind in kinds]


def recorded(connection: Connection, video_ids: Sequence[str], run_id: str) -> dict[str, Recorded]:
    """What is recorded of each of these videos, unknown ones included, as the run `run_id` sees it."""
    values = {"video_ids": list(video_ids), "run_id": run_id}
    files: dict[str, list[MediaFile]] = {video_id: [] for video_id in video_ids}
    for row in connection.execute(_FILES, values):
        files[row["video_id"]].append(MediaFile(**{name: row[name] for name in MediaFile.__dataclass_fields__}))
    metadata = {row["video_id"]: row for row in connection.execute(_METADATA, values)}
    return {video_id: Recorded(tuple(files[video_id]), metadata.get(video_id)) for video_id in video_ids}
