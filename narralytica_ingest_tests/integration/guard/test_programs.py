"""The programs that yt-dlp would run reach nothing, or do not run."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from yt_dlp.utils import ExtractorError

from narralytica_ingest.sources.fetching import Access, FetchOptions
from narralytica_ingest.sources.ytdlp import javascript_runtime
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.options import parameters
from narralytica_ingest.sources.ytdlp.programs import forbid_programs
from narralytica_ingest_tests.source_server import SourceServer

FORBIDDEN_TO_SCRIPTS = {
    "the network": "await Deno.connect({hostname: '127.0.0.1', port: PORT})",
    "the network, by fetch": "await fetch('http://127.0.0.1:PORT/')",
    "a web socket": """await new Promise((yes, no) => {
        const s = new WebSocket('ws://127.0.0.1:PORT/'); s.onopen = yes; s.onerror = no })""",
    "a file": "Deno.readTextFileSync('/etc/passwd')",
    "a folder": "Array.from(Deno.readDirSync('/'))",
    "a new file": "Deno.writeTextFileSync('FOLDER/written', 'x')",
    "the environment": "Deno.env.get('CANARY')",
    "the whole environment": "Deno.env.toObject()",
    "a program": "new Deno.Command('true').outputSync()",
    "another script": "await import('file://FOLDER/' + 'script.js')",
    "a script of the network": "await import('http://127.0.0.1:PORT/' + 'script.js')",
    "node's files": "(await import('node:' + 'fs')).readFileSync('/etc/passwd')",
    "a worker thread": """await new Promise((yes, no) => {
        const code = 'postMessage(Deno.readTextFileSync("/etc/passwd"))';
        const w = new Worker('data:text/javascript,' + code, {type: 'module'});
        w.onmessage = yes; w.onerror = e => { e.preventDefault(); no(e) } })""",
}  # fmt: skip


def run_script(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """Runs a script as yt-dlp runs the site's: its own command and environment, the script within a function."""
    from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

    monkeypatch.setenv("CANARY", "CANARY-VALUE")
    forbid_programs()
    code = "Object.getPrototypeOf(async function () {}).constructor(" + json.dumps(script) + ")"
    source = (
        f"try {{ await ({code})(); console.log('DONE') }} catch (error) {{ console.log('REFUSED', String(error)) }}"
    )
    deno = javascript_runtime()
    assert deno is not None
    options = [*DenoJCP._DENO_BASE_OPTIONS, "--no-npm", "--cached-only"]
    return subprocess.run(
        [deno, "run", *options, "-"],
        input=source,
        env=DenoJCP._get_env_options(None),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("what", FORBIDDEN_TO_SCRIPTS)
def test_a_site_s_script_reaches_nothing(
    canary: SourceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "script.js").write_text("export default 1")
    script = FORBIDDEN_TO_SCRIPTS[what].replace("PORT", canary.url("").rpartition(":")[2])
    ran = run_script(script.replace("FOLDER", str(tmp_path)), tmp_path, monkeypatch)
    assert ran.stdout.startswith("REFUSED"), ran
    assert not canary.requests
    assert os.listdir(tmp_path) == ["script.js"]


def test_a_site_s_script_may_reckon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run_script("if (6 * 7 !== 42) throw 1", tmp_path, monkeypatch)
    assert (ran.stdout, ran.returncode) == ("DONE\n", 0), ran


def test_deno_is_given_nothing_of_the_worker_s_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", "CANARY")
    monkeypatch.setenv("HTTPS_PROXY", "http://CANARY")
    with Downloader(parameters(tmp_path, FetchOptions(access=Access(proxy="http://u:CANARY@h:1")))):
        assert "CANARY" not in str(DenoJCP._get_env_options(None))


def test_phantomjs_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "phantomjs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho 2.1.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Downloader(parameters(tmp_path, FetchOptions())) as downloader:
        from yt_dlp.extractor.openload import PhantomJSwrapper

        with pytest.raises(ExtractorError, match="PhantomJS not found"):
            PhantomJSwrapper(downloader.get_info_extractor("Generic"))
    assert not (tmp_path / "ran").exists()
