"""Every failure code: by class, what it means and what the operator does about it (empty: nothing).

What belongs here: words alone, one entry for each code. A code is stable, and has one class for ever. `meaning` and
action are whole sentences that name no data: together they are the message where a failure says nothing closer.
"""

Codes = dict[str, dict[str, tuple[str, str]]]

# Those that end up in a job or a run.
OF_JOBS: Codes = {
    "permanent": {
        # The address
        "invalid_url": ("This is not a valid URL of a video.", "Correct the URL."),
        "blocked_scheme": ("The source is not reached by http or https.", "Give an http or https URL, or upload."),
        "blocked_address": (
            "The source leads to an address that nothing is fetched from: a private network, this machine, or none.",
            "Check the URL; for a lab of your own, set `NARRALYTICA_EGRESS_ALLOW`.",
        ),
        "blocked_port": (
            "The source is served on a port that is not open.",
            "If it is a good one, add it to `NARRALYTICA_EGRESS_PORTS`.",
        ),
        "blocked_host": (
            "The worker's lists of hosts close the source, or a host that it needs.",
            "Correct `NARRALYTICA_ALLOWED_HOSTS` or `NARRALYTICA_DENIED_HOSTS`, if it should be open.",
        ),
        "blocked_extractor": (
            "The worker's lists of extractors close the source.",
            "Correct `NARRALYTICA_ALLOWED_EXTRACTORS` or `NARRALYTICA_DENIED_EXTRACTORS`, if it should be open.",
        ),
        "egress_exceeded": (
            "Fetching the source took more bytes, time or connections than one job may.",
            "For a source that needs more, raise `NARRALYTICA_EGRESS_MAX_BYTES`, `…_SECONDS` or `…_CONNECTIONS`.",
        ),
        "no_such_host": ("There is no host of this name.", "Check the URL."),
        "not_found": ("There is nothing at this URL (404 or 410).", "Check the URL."),
        "redirect_loop": ("The source redirects in a circle.", "Check the URL."),
        "refused": ("The source refuses the request for good (a 4xx status).", "Check the URL."),
        "unsupported_url": ("No video was found behind this URL.", "Give the page of a video, or a media file."),
        "no_video_found": ("The page is known, but holds no video.", "Give the page of a video."),
        "page_too_large": ("What the source sends instead of a page is far too large for one.", "Check the URL."),
        "site_unsupported": ("yt-dlp does not fetch from this site on principle.", "Upload the file, if it is yours."),
        "embed_only": ("The video is shown inside other pages only.", "Submit the page that embeds it."),
        "is_playlist": ("The URL holds several videos where one is wanted.", "Submit the URL as a job of its own."),
        "nested_playlist": ("The playlist's entry is a playlist itself.", "Submit that playlist's URL."),
        # The video
        "removed": ("The video was removed at its source.", ""),
        "unavailable": ("The source says that the video is unavailable, and not why.", "Look at it in a browser."),
        "private": ("The video is private.", "Ask its owner to publish it, or upload the file."),
        "password_required": ("A password protects the video.", "Ask its owner for an open link, or upload the file."),
        "copyright_blocked": ("The video is blocked by whoever holds the rights to it.", ""),
        "legally_blocked": (
            "The source may not show the video for legal reasons (451).",
            "If it is shown in another country, set a proxy there.",
        ),
        "drm_protected": ("DRM protects the video, so it cannot be ingested.", ""),
        "no_recording": ("The broadcast is over, and no recording of it is offered.", ""),
        "channel_not_live": (
            "This is the address of a live channel, which shows nothing now.",
            "Submit the URL of one recording.",
        ),
        "stream_unsupported": ("The video is only sent in a way that cannot be fetched safely.", "Upload the file."),
        "encryption_not_supported": ("The source encrypts the video in a way that cannot be read.", "Upload the file."),
        "ranges_ignored": (
            "The source's playlist needs parts of files, and its server sends none.",
            "Upload the file.",
        ),
        "too_long": ("The video lasts longer than the limit.", "Raise `NARRALYTICA_MAX_DURATION_SECONDS` to take it."),
        "too_large": ("The video is larger than the limit.", "Raise `NARRALYTICA_MAX_BYTES`, or lower `max_height`."),
        # The file
        "not_media": ("The file is no media file that can be read.", "Check the source."),
        "no_audio_stream": ("The video has no sound, so there is nothing to transcribe.", ""),
        "truncated_media": ("The file is shorter than it announces.", "Submit a whole copy."),
        "undecodable_media": ("The file is damaged: it cannot be decoded.", "Submit a whole copy."),
        "empty_track": ("The file's sound track holds no sound at all.", "Submit a whole copy."),
        "media_limit_exceeded": (
            "The file drives ffmpeg to use far more time or disk than a video of its length needs.",
            "Check the file; for very long videos raise `NARRALYTICA_MEDIA_TIMEOUT_SECONDS`.",
        ),
        # Findings, where `NARRALYTICA_FINDING_VERDICTS` lets them fail
        "damaged_media": (
            "Places in the file cannot be decoded.",
            "Submit a whole copy, or set its verdict to `warn`.",
        ),
        "gaps": ("The file has holes in time.", "Submit a whole copy, or set its verdict to `warn`."),
        "duration_differs": (
            "The file is not as long as it says.",
            "Submit a sound copy, or set its verdict to `warn`.",
        ),
        "silent_track": ("There is nothing to hear in the sound.", "Check the video, or set its verdict to `warn`."),
        "clipped": ("The sound is overdriven.", "Submit a better recording, or set its verdict to `warn`."),
        # The job
        "invalid_options": ("The job's options are wrong.", "Correct them: see docs/job-table.md."),
        "invalid_upload_ref": ("This is no upload reference.", "Give it the form s3://bucket/key."),
        "unidentifiable": ("The source cannot be understood.", "Check the job's source; the log has the traceback."),
        "unknown_video": ("No video of this id is known.", "Insert a job for its source: the job makes the partition."),
        "video_deleted": ("The video was deleted on request.", "Submit its source to ingest it anew."),
        "not_ingested": ("What this step needs is not stored yet.", "Materialize it first, or submit a job."),
        # The store
        "upload_not_allowed": (
            "The upload reference leads out of the upload area.",
            "Upload to `NARRALYTICA_S3_UPLOAD_BUCKET`, below `NARRALYTICA_S3_UPLOAD_PREFIX`.",
        ),
        "upload_missing": ("There is no such uploaded object.", "Upload it first, then retry the job."),
        "upload_checksum_differs": ("The upload has not the SHA-256 that its key claims.", "Submit the file again."),
        "object_missing": ("The object is not in the store.", "Check bucket and key, or ingest the video anew."),
        "object_changed": ("The object was overwritten while it was read.", "Submit a new job for the new object."),
        "object_refused": ("The object store does not take this name.", "Correct the bucket or the key."),
        "object_too_large": ("The stored object is larger than it can be.", "Ingest the video anew."),
    },
    "needs_operator": {
        # Access
        "login_required": (
            "The source asks for a login.",
            "Give the worker cookies of an account (`NARRALYTICA_COOKIES_FILE`).",
        ),
        "bot_check": (
            "The source takes the worker for a bot.",
            "Give it cookies, another address (`NARRALYTICA_PROXIES`), or set `NARRALYTICA_IMPERSONATE`; go slower.",
        ),
        "captcha": (
            "The source wants a captcha to be solved.",
            "Solve it in a browser and give the worker its cookies, or another address.",
        ),
        "cookies_needed": ("The source wants fresh cookies of a browser.", "Export them anew for the worker."),
        "age_restricted": (
            "The source asks for a proof of age.",
            "Give the worker cookies of an adult's account.",
        ),
        "members_only": (
            "The video is for members, subscribers or buyers only.",
            "Give the worker cookies of an account that may see it.",
        ),
        "access_denied": (
            "The source refuses to show its page (403).",
            "If a browser is shown more, give the worker cookies, a proxy or `NARRALYTICA_IMPERSONATE`; a signed link "
            "may have expired.",
        ),
        "ip_blocked": ("The source blocks the worker's address.", "Set a proxy elsewhere (`NARRALYTICA_PROXIES`)."),
        "geo_blocked": (
            "The source does not show the video in the worker's country.",
            "Set a proxy in another country (`NARRALYTICA_PROXIES`).",
        ),
        "network_blocked": ("A filter in the worker's network blocks the source.", "Lift it, or set a proxy."),
        "po_token_needed": (
            "YouTube hands out no format without a PO token.",
            "Set `NARRALYTICA_POT_PROVIDER_URL`, or give the worker cookies.",
        ),
        "upload_forbidden": ("The worker's keys may not read the upload.", "Allow it, or name another bucket."),
        # The worker
        "extractor_broken": ("yt-dlp no longer understands this site.", "Update the worker's yt-dlp."),
        "no_formats": (
            "The source offers no format that can be fetched.",
            "Check the job's `format`, if it has one; else update the worker's yt-dlp.",
        ),
        "impersonation_missing": (
            "The source wants the network fingerprint of a browser, which the worker cannot show.",
            "Check `NARRALYTICA_IMPERSONATE`, or run `make setup`, which brings curl_cffi.",
        ),
        "dependency_missing": ("yt-dlp needs a program for this site that the worker lacks.", "Install it."),
        "tls_verification": (
            "The source's TLS certificate is not valid, so nothing is fetched.",
            "Wait until the source mends it; check the worker's clock.",
        ),
        "tls_unsupported": (
            "The source and the worker agree on no TLS version or cipher.",
            "Set `NARRALYTICA_IMPERSONATE`, or upload the file.",
        ),
        "proxy_login_required": ("The proxy asks for a login.", "Correct `NARRALYTICA_PROXIES`."),
        # Metadata
        "metadata_invalid": ("The metadata made of the video breaks its own schema.", "Report it, with the message."),
        "source_info_lost": (
            "What the source said of the video was stored, and cannot be read any more.",
            "Ingest the video anew (`submit --force`).",
        ),
        "metadata_incomplete": (
            "Some videos of the range got no metadata; all others did.",
            "The run's log names each with its failure.",
        ),
    },
    "not_yet": {
        "live": ("The video is live now: it is ingested once the broadcast is over.", ""),
        "upcoming": ("The video is announced but not published yet.", ""),
        "processing": ("The source still processes the video.", ""),
    },
    "rate_limited": {
        "rate_limited": ("The source asks to be called less often (429 or 503).", ""),
        "session_limited": (
            "YouTube shows nothing more to this session for up to an hour.",
            "If it happens often, lower YouTube's `concurrency` in `NARRALYTICA_HOST_RULES`.",
        ),
    },
    "transient": {
        "timed_out": ("The source did not answer in time.", ""),
        "too_slow": ("The download was slower than `NARRALYTICA_MIN_RATE_BYTES` for too long.", ""),
        "connection_lost": ("The connection to the source failed.", ""),
        "incomplete_read": ("The source cut the transfer.", ""),
        "empty_response": ("The source sent nothing where media was announced.", ""),
        "empty_playlist": ("The source's list of segments names no media.", ""),
        "decryption_failed": (
            "An encrypted segment and its key do not fit together.",
            "If it stays so, give the worker access to the source.",
        ),
        "download_incomplete": ("The download ended without a complete file.", ""),
        "length_unknown": (
            "The source does not say how long the file is, so a cut would go unnoticed.",
            "If it stays so, upload the file.",
        ),
        "server_error": ("The source failed to answer (a 5xx status, or 425).", ""),
        "forbidden": ("The source refused a media file (403), mostly because its link expired.", ""),
        "dns_failed": ("The host's name could not be resolved.", ""),
        "tls_failed": ("The encrypted connection to the source failed.", ""),
        "proxy_failed": ("The proxy failed.", "Check it if this stays so."),
        "original_audio_missing": (
            "The source offers the video with translated sound only.",
            "To take a translation, name its language in the job's `format`.",
        ),
        "unknown": ("The fetch failed in a way that is not known.", "If it stays so, report it with the worker's log."),
        "unexpected": ("The worker itself failed.", "If it stays so, report it with the traceback in the run's log."),
        "out_of_memory": ("The worker ran out of memory.", "If it stays so, give it more or run fewer workers."),
        "media_out_of_memory": ("ffmpeg ran out of memory.", "If it stays so, the file is not worth trusting."),
        "media_timeout": (
            "ffmpeg did not finish in time.",
            "Raise `NARRALYTICA_MEDIA_TIMEOUT_SECONDS` for long videos.",
        ),
        "worker_lost": ("The worker died or lost its connection during the run.", ""),
        "run_ended_early": ("The run ended before the video was ready.", "The UI shows its log."),
    },
    "restart": {
        "range_refused": ("The file at the source became shorter (416).", ""),
        "source_changed": ("The file changed at its source during the transfer.", ""),
    },
    "local": {
        "cookies_unusable": (
            "The worker's cookies cannot be read.",
            "Correct `NARRALYTICA_COOKIES_FILE` or `NARRALYTICA_COOKIES_FROM_BROWSER`; `doctor` tries them.",
        ),
        "proxy_unusable": ("The proxy's URL cannot be used.", "Correct `NARRALYTICA_PROXIES`."),
        "javascript_runtime_missing": (
            "YouTube's formats need a JavaScript runtime, and the worker has none that works.",
            "Run `make setup`, which brings deno; `doctor` tries it.",
        ),
        "disk_full": ("The worker's disk is full.", "Free some space."),
        "no_room": (
            "The download does not fit on the worker's disk beside what is at work.",
            "If it never will, free some space or set `NARRALYTICA_HOME` to a larger disk.",
        ),
        "disk_unusable": ("The worker's disk cannot be read or written.", "Check its mount and its health."),
        "too_many_open_files": ("The worker may not open more files.", "Raise its limit (`ulimit -n`)."),
        "database_away": ("Postgres cannot be reached, or went away.", "Check it with `doctor`."),
        "database_conflict": ("Two transactions collided in Postgres.", ""),
        "object_store_away": ("The object store cannot be reached, or fails.", "Check it with `doctor`."),
        "object_store_refused": ("The object store refused the worker's keys.", "Check them with `doctor`."),
        "object_store_full": ("The object store is full.", "Give it more space."),
        "published_size_differs": ("What was stored has not the size that was sent.", "Check the object store."),
        "published_bytes_differ": ("What was stored is not what was sent.", "Check the object store."),
        "bucket_missing": ("The bucket of media files is missing.", "Create it, or set `NARRALYTICA_S3_BUCKET`."),
        "tool_not_found": ("ffmpeg or ffprobe is missing.", "Install it, or set `NARRALYTICA_FFMPEG` and `…_FFPROBE`."),
        "sandbox_missing": (
            "The sandbox for ffmpeg and ffprobe is required, and the worker's machine has none.",
            "Use a Linux kernel with Landlock (5.13 or later), or set `NARRALYTICA_SANDBOX` to `auto`.",
        ),
        "services_not_running": ("The embedded services were never started.", "Run `narralytica-ingest up`."),
        "video_busy": ("Another run is at work on the video.", "Wait for it or terminate it, then materialize again."),
        "lease_lost": ("Another run took the video over; this one changes nothing more.", ""),
        "interrupted": ("The worker was stopped during the run.", ""),
        "run_died": ("The run ended before it began its work.", ""),
    },
    "canceled": {
        "canceled": ("Canceled on request.", ""),
    },
}

# Those that only ever end a command, and never a job.
OF_COMMANDS: Codes = {
    "permanent": {
        "no_such_file": ("There is no file of this name.", "Give an existing file, a URL, or s3://bucket/key."),
        "not_a_file": ("The path is no regular file.", "Give the video file itself."),
        "unreadable_file": ("The file may not be read.", "Check its permissions."),
        "not_text": ("The list of sources is not valid UTF-8.", "Correct its encoding."),
        "job_refused": ("The table of jobs does not take this one.", "Correct what the message names."),
        "bad_priority": ("The priority is out of range.", "Choose one within the range that the message names."),
        "one_key_one_source": ("An idempotency key names one request.", "Give one SOURCE with it."),
        "nothing_to_wait_for": ("`--exit-when-done` needs something to wait for.", "Add `--submit SOURCE`."),
        "not_a_job_id": ("This is no job id.", "`narralytica-ingest jobs` lists them."),
        "invalid_correction": ("This corrects nothing.", "Give FIELD=VALUE as the message says."),
        "no_such_job_or_video": ("There is no such job or video.", "`narralytica-ingest jobs` lists what there is."),
        "host_without_jobs": ("No job ever had this host.", "`narralytica-ingest hosts` lists what there is."),
        "job_has_ended": ("The job has ended already, so there is nothing to cancel.", ""),
        "job_not_ended": ("The job has not ended, so there is nothing to retry.", "Wait for it, or cancel it first."),
        "job_gone": ("A job was deleted while it was followed.", "Submit its source again."),
        "not_stored": ("The video has no such file.", "The message names what is stored."),
        "several_languages": ("The video has captions in several languages.", "Choose one with `--language`."),
        "bad_output": ("The output file cannot be written.", "Give a file in a folder that exists."),
        "not_confirmed": ("What is deleted cannot be brought back, and nobody can be asked.", "Add `--yes`."),
        "binary_to_terminal": ("This would fill the terminal with bytes.", "Give `-o FILE`, or a pipe."),
    },
    "local": {
        "delete_unfinished": ("Not all that a deleted video left could be removed.", "Repeat the command."),
        "file_changed": ("The file changed while it was uploaded.", "Submit it again when it is complete."),
        "secrets_unreadable": ("The files with secrets cannot be read.", "Correct `NARRALYTICA_SECRETS_DIR`."),
        "stored_object_differs": ("The stored object is not what was stored.", "Ingest the video anew."),
        "broker_away": ("The broker cannot be reached.", "Check `NARRALYTICA_BROKER_URL`, or unset it."),
        "schema_old": ("The tables are missing or older than the program.", "Run `narralytica-ingest migrate`."),
        "schema_newer": ("The tables are newer than the program.", "Update the program."),
        "migration_failed": ("The tables could not be brought up to date.", "The message says why."),
        "already_up": ("This home already has an `up`.", "Use it, stop it, or set another `NARRALYTICA_HOME`."),
        "port_busy": ("The UI's port is taken.", "Choose another with `--port`, or 0 for any."),
        "runtime_folder_taken": ("The folder for sockets is another user's.", "Remove it, or choose a shorter home."),
        "stack_not_ready": ("A part of the stack does not start.", "See its log."),
        "postgres_did_not_start": ("The embedded Postgres does not start.", "See its log."),
        "s3_did_not_start": ("The embedded S3 server does not start.", "See its log."),
        "embedded_postgres_missing": ("The embedded Postgres is not installed.", "Run `make setup`, or set its URL."),
        "embedded_s3_missing": ("The embedded S3 server is not installed.", "Run `make setup`, or set its URL."),
        "setpriv_missing": ("Postgres does not run as root, and `setpriv` is missing.", "Install util-linux."),
        "user_without_name": ("Postgres needs a user with a name.", "Add the user to /etc/passwd."),
    },
}
