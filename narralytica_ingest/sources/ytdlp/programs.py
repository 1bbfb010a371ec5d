"""The programs that yt-dlp would run, which could fetch past the guard.

What belongs here: none of them runs but deno, and deno gets nothing to work with: yt-dlp gives it no permission (no
network, no file, no environment, no program), and here it loses the worker's environment, where secrets are. ffmpeg is
kept from yt-dlp in `options.py`; which downloaders may be used is in `transfer.py`.
"""

import os
from typing import Any

from yt_dlp.extractor import openload
from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP
from yt_dlp.extractor.youtube.pot._registry import _pot_providers

# Where deno keeps its cache, and what it needs to be found and to write text.
_FOR_DENO = ("PATH", "HOME", "XDG_CACHE_HOME", "DENO_DIR", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


def forbid_programs() -> None:
    """After yt-dlp has loaded its plugins. Repeated, it changes nothing."""
    openload.check_executable = _never_found  # PhantomJS renders pages, with all that they fetch
    DenoJCP._get_env_options = _environment_of_deno
    for name in [each for each in _pot_providers.value if each.startswith("BgUtilScript")]:
        del _pot_providers.value[name]  # a program in the worker's home that fetches by itself


def _never_found(*_: Any) -> bool:
    return False


def _environment_of_deno(_: Any) -> dict[str, str]:
    return {name: os.environ[name] for name in _FOR_DENO if name in os.environ} | {"DENO_NO_UPDATE_CHECK": "1"}
