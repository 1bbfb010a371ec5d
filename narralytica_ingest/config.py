"""Every setting of the worker, in one typed place.

Settings come from environment variables with the prefix `NARRALYTICA_`. Nothing is read at import: call
`load_settings()`. What belongs here is configuration alone; where the services really are (embedded or given) is
worked out in `endpoints.py`.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from narralytica_ingest.failures import failure
from narralytica_ingest.media.findings import Verdict, require_changeable
from narralytica_ingest.media.profiles import language_names, profile_names
from narralytica_ingest.media.sandbox import Mode


class HostRule(BaseModel):
    """How one domain is treated: most jobs at once, and the shortest time (seconds) between two starts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    concurrency: int | None = Field(None, ge=1)
    pause_seconds: float = Field(0.0, ge=0)


class Settings(BaseSettings):
    """All settings, each with its default. Times are seconds, sizes bytes, unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="NARRALYTICA_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,  # what was given wrongly may be a password
    )

    home: Path = Field(Path(".narralytica"), description="Folder of all local state (made with mode 0700).")

    secrets_dir: Path | None = Field(
        None,
        description="Folder of files that are named like these variables and hold their values, such as secrets of "
        "Docker or Kubernetes; the environment goes first.",
    )

    # The services. Unset means: the embedded one under `home`.
    postgres_url: SecretStr | None = Field(
        None, description="Postgres of the tables, of Dagster and (by default) of the broker: `postgresql://…`."
    )
    broker_url: SecretStr | None = Field(
        None, description="Celery broker, e.g. `redis://…` or `amqp://…`; unset: the Postgres above."
    )
    s3_endpoint_url: str | None = Field(
        None, description="S3 endpoint; unset: the embedded server. `aws` means Amazon's own endpoints."
    )
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_access_key_id: SecretStr | None = Field(None, description="Unset: the usual AWS credential chain.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Unset: the usual AWS credential chain.")
    s3_bucket: str = Field("narralytica-media", description="Bucket of stored media files.")
    s3_upload_bucket: str = Field(
        "narralytica-uploads",
        description="Bucket to which `submit FILE` uploads; a job's upload reference leads to no other.",
    )
    s3_upload_prefix: str = Field(
        "", description="Uploads lie below this prefix of that bucket, by whole path segments; unset: anywhere in it."
    )
    media_base_url: str | None = Field(
        None, description="Base URL (CDN, gateway) of links to media files in the UI; unset: `s3://` references."
    )

    # The engine.
    ui_port: int = Field(3000, ge=0, le=65535, description="Port of the Dagster UI on 127.0.0.1; 0 picks a free one.")
    ui_read_only: bool = Field(False, description="Whether the Dagster UI only shows, and starts and stops nothing.")
    ui_hosts: str | None = Field(
        None, description="Names (comma separated) under which a proxy shows the Dagster UI; it answers to no others."
    )
    workers: int = Field(2, ge=1, description="Videos processed at once by `up`, beside a spare slot for newcomers.")
    dispatch_window: int = Field(20, ge=1, description="Most jobs dispatched or running at once.")
    heartbeat_seconds: float = Field(
        2.0, gt=0, description="How often a run says that it lives, and looks for a cancel."
    )
    lease_seconds: float = Field(
        45.0, gt=0, description="How long a run's lease on a video lasts without a heartbeat; then the job is requeued."
    )
    redispatch_seconds: float = Field(
        60.0, ge=30, description="After how long a dispatched job without a run is emitted again."
    )
    shutdown_seconds: float = Field(
        8.0, gt=0, description="How long a stopping worker has to hand its jobs back before it is killed."
    )
    log_max_bytes: int = Field(
        64 << 20, ge=1 << 16, description="Size at which a log file of `up` is put aside; one older file is kept."
    )
    sweep_grace_seconds: float = Field(
        86_400.0,
        ge=0,
        description="How long an object stays in the bucket after nothing refers to it any more.",
    )

    # Retries.
    max_attempts: int = Field(
        4, ge=1, description="Failed attempts after which a job fails, unless the job says otherwise."
    )
    retry_base_seconds: float = Field(
        5.0, ge=0, description="First delay after a transient failure; doubles each time."
    )
    retry_max_seconds: float = Field(60.0, ge=0, description="Longest delay after a transient failure.")

    # Sources.
    max_height: int = Field(1080, ge=1, description="Greatest picture height chosen where a source offers several.")
    format: str | None = Field(
        None, description="yt-dlp format selector; unset: the best picture up to `max_height` with the original sound."
    )
    max_duration_seconds: float = Field(86_400.0, gt=0, description="Longest video taken.")
    max_bytes: int = Field(64 << 30, ge=1, description="Largest original taken.")
    keep_free_bytes: int = Field(2 << 30, ge=0, description="Disk space that downloads leave free.")
    playlist_limit: int = Field(200, ge=1, description="Most videos taken from one playlist or channel.")
    uploaded_captions: bool = Field(True, description="Whether captions that people made are stored, all languages.")
    automatic_captions: bool = Field(
        True, description="Whether captions that the source made are stored, in the video's own language."
    )
    socket_timeout_seconds: float = Field(
        15.0, gt=0, description="Longest silence of a source before it counts as gone."
    )
    min_rate_bytes: int = Field(
        1024, ge=0, description="A download below this many bytes per second for 20 s is given up and tried again."
    )

    # Access to sources.
    cookies_file: Path | None = Field(None, description="Cookies in Netscape's format (cookies.txt); only read.")
    cookies_from_browser: str | None = Field(
        None, description="Browser on the worker's machine whose cookies are used, `BROWSER[:PROFILE]`, e.g. `firefox`."
    )
    proxies: dict[str, SecretStr] = Field(
        {},
        description='Proxies by domain, as JSON; `*` means all others: `{"youtube.com": "http://user:pw@host:3128"}`.',
    )
    impersonate: str | None = Field(
        None,
        description="Browser whose fingerprint every request shows, e.g. `chrome`; unset: where a site asks for it.",
    )
    pot_provider_url: SecretStr | None = Field(None, description="URL of a PO token provider (bgutil) for YouTube.")
    extractor_args: dict[str, dict[str, list[SecretStr]]] = Field(
        {}, description='yt-dlp\'s extractor arguments, as JSON: `{"youtube": {"player_client": ["web"]}}`.'
    )

    # Safety.
    egress_allow: str | None = Field(
        None,
        description="Exact exceptions, `host:port` and comma separated, that sources may lead to whatever their "
        "addresses and ports, e.g. `media.lab:8080,[::1]:80`; unset: none. For labs and tests.",
    )
    egress_ports: str = Field("80,443", description="Ports that sources may lead to, comma separated.")
    allowed_hosts: str | None = Field(
        None,
        description="Domains (comma separated) that sources may lead to, each with all below it; unset: all. A site "
        "needs its media hosts, too: `youtube.com,googlevideo.com,ytimg.com`.",
    )
    denied_hosts: str | None = Field(
        None, description="Domains (comma separated) that sources may not lead to, each with all below it."
    )
    allowed_extractors: str | None = Field(
        None,
        description="yt-dlp's extractors (comma separated) that may be used, each with those named `name:…`, e.g. "
        "`youtube,vimeo`; unset: all. `generic` takes any page.",
    )
    denied_extractors: str | None = Field(
        None, description="yt-dlp's extractors (comma separated) that may not be used, each with those named `name:…`."
    )
    egress_max_bytes: int = Field(
        128 << 30, ge=1, description="Most bytes that one run sends and receives; sources that change are fetched anew."
    )
    egress_max_seconds: float = Field(43_200.0, gt=0, description="Longest time for which one run fetches.")
    egress_max_connections: int = Field(
        200_000, ge=1, description="Most connections of one run; a plain HTTP request takes one of its own."
    )

    # Politeness to hosts.
    host_concurrency: int | None = Field(None, ge=1, description="Most jobs of one host at once; unset: no limit.")
    host_pause_seconds: float = Field(0.0, ge=0, description="Shortest time between two starts at one host.")
    host_rules: dict[str, HostRule] = Field(
        {},
        description='Both by domain, as JSON; `*` means all others: `{"youtube.com": {"concurrency": 1}}`.',
    )
    host_cooldown_seconds: float = Field(
        60.0, gt=0, description="First pause of a host that limits or suspects us; doubles while it goes on."
    )
    host_cooldown_max_seconds: float = Field(3600.0, gt=0, description="Longest such pause.")

    # Audio tracks.
    audio_profiles: str = Field(
        "flac",
        description="Profiles of each video's audio tracks, comma separated, of `flac`, `wav`, `opus` (16 kHz mono), "
        "`channels` (16 kHz FLAC, channels kept apart), `original` (the sound copied); the first is the asset's own.",
    )
    audio_languages: str | None = Field(
        None,
        description="Languages (BCP 47, comma separated) of which tracks are wanted beside the original's, where a "
        "file has them.",
    )

    # Media tools.
    ffmpeg: Path | None = Field(None, description="ffmpeg; unset: the machine's own, else the bundled one.")
    ffprobe: Path | None = Field(None, description="ffprobe; unset: the machine's own, else the bundled one.")
    media_timeout_seconds: float = Field(
        3600.0, gt=0, description="Longest time for one ffmpeg or ffprobe call on a media file."
    )
    sandbox: Mode = Field(
        "auto",
        description="Sandbox for ffmpeg and ffprobe on Linux (Landlock and seccomp): `auto` uses it where the machine "
        "has it, `required` runs neither without it, `off` never uses it. `doctor` says what there is.",
    )
    finding_verdicts: dict[str, Verdict] = Field(
        {},
        description='What becomes of files with a finding, as JSON: `{"gaps": "fail", "silent_track": "fail"}`; unset: '
        "the usual verdicts (decision 0015).",
    )

    @field_validator("s3_upload_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        from narralytica_ingest.sources.upload_area import checked_prefix  # few set it, and it loads the URL parsers

        return checked_prefix(value)

    @field_validator("egress_allow", "egress_ports", "allowed_hosts", "denied_hosts")
    @classmethod
    def _egress(cls, value: str | None, info: ValidationInfo) -> str | None:
        from narralytica_ingest.egress import policy  # few set them, and it loads what opens connections

        parse = {"egress_allow": policy.parse_allow, "egress_ports": policy.parse_ports}
        parse.get(info.field_name or "", policy.parse_hosts)(value or "")
        return value

    @field_validator("audio_profiles")
    @classmethod
    def _profiles(cls, value: str) -> str:
        if not profile_names(value):
            raise ValueError("must name at least one profile")
        return value

    @field_validator("audio_languages")
    @classmethod
    def _languages(cls, value: str | None) -> str | None:
        language_names(value or "")
        return value

    @field_validator("finding_verdicts")
    @classmethod
    def _changeable(cls, value: dict[str, Verdict]) -> dict[str, Verdict]:
        require_changeable(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go first, then the environment, then the files of NARRALYTICA_SECRETS_DIR.

        Raises IngestError `secrets_unreadable` if that is set and no folder.
        """
        folder = os.environ.get("NARRALYTICA_SECRETS_DIR")
        if not folder:
            return init_settings, env_settings
        if not os.path.isdir(folder):
            raise failure("secrets_unreadable", f"NARRALYTICA_SECRETS_DIR names no folder: {folder}. Correct it.")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        home = value.expanduser().absolute()
        if home.exists() and not home.is_dir():
            raise ValueError("must name a folder, and this is a file")
        return home

    @field_validator("postgres_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "://" not in value.get_secret_value():
            raise ValueError("must look like redis://host:6379/0 or amqp://user:password@host//")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None and value != "aws" and not value.startswith(("http://", "https://")):
            raise ValueError("must look like https://host:port, or be `aws`")
        return value


def load_settings() -> Settings:
    """The settings as the environment has them now. Raises pydantic's ValidationError with the setting's name."""
    return Settings()
