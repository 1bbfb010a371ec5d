"""How yt-dlp comes to use the fake: in this process, or in processes that it starts.

The product knows nothing of it: yt-dlp itself looks for plugins below `sys.path`.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"


@contextmanager
def in_subprocesses(address: str) -> Iterator[None]:
    """Processes started meanwhile take the server at `address` for YouTube."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_YOUTUBE_URL", address)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH")])))
        yield


@contextmanager
def in_this_process(address: str) -> Iterator[None]:
    """yt-dlp in this process takes the server at `address` for YouTube; afterwards it knows the real one again."""
    from yt_dlp.extractor import import_extractors
    from yt_dlp.globals import extractors, plugin_ies
    from yt_dlp.plugins import load_all_plugins

    import_extractors()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_YOUTUBE_URL", address)
        patch.setattr(sys, "path", [str(PLUGIN), *sys.path])
        patch.setattr(extractors, "value", extractors.value)
        patch.setattr(plugin_ies, "value", plugin_ies.value)
        importlib.invalidate_caches()
        load_all_plugins()
        yield
    for module in [name for name in sys.modules if name.startswith("yt_dlp_plugins")]:
        del sys.modules[module]
    importlib.invalidate_caches()
