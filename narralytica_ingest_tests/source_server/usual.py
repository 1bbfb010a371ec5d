"""The sources that a person or an end-to-end test wants to meet, good and bad."""

from narralytica_ingest_tests.source_server.server import SourceServer


def add_usual_sources(server: SourceServer) -> None:
    """Adds a page, bad media, a slow and a cut download, and errors with their statuses below `/error/`."""
    server.add_page("/page.html", "/clip.mp4")
    server.add("/html.mp4", b"<!DOCTYPE html><html><body>Not a video</body></html>", content_type="video/mp4")
    server.add("/garbage.mp4", b"\x00garbage" * 5000)
    server.add("/slow.mp4", rate=40_000.0)
    server.add("/cut.mp4", cuts=[None, 100_000, None])
    for status in (401, 403, 404, 410, 500):
        server.add_error(f"/error/{status}", status)
    for status in (429, 503):
        server.add_error(f"/error/{status}", status, Retry_After="7")
