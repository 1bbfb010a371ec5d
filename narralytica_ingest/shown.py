"""What a materialization shows in the Dagster UI."""

from typing import Any

import dagster as dg


def shown_media(probe: dict[str, Any] | None) -> dict[str, Any]:
    """Duration, resolution, codecs and container of a media file, as far as they were measured."""
    if not probe:
        return {}
    picture: dict[str, Any] = next(iter(probe.get("video") or []), {})
    sounds = probe.get("audio") or []
    shown: dict[str, Any] = {
        "duration_seconds": probe.get("duration_seconds"),
        "container": probe.get("container"),
        "resolution": f"{picture['width']}x{picture['height']}" if picture.get("width") else None,
        "video_codec": picture.get("codec"),
        "audio_codec": sounds[0].get("codec") if sounds else None,
        "audio_streams": len(sounds),
    }
    return {name: value for name, value in shown.items() if value is not None}


def table(columns: dict[str, str], rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """A table for the UI; `columns` maps names to Dagster's column types."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], schema)
