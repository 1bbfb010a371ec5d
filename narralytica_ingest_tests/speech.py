"""Speech for tests: sentences spoken by a synthesizer that comes as a wheel, and how alike two recordings sound.

What belongs here: making speech, reading sound back as samples, and comparing. Needs no espeak-ng on the machine.
"""

import ctypes
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import espeakng_loader  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools

Samples = NDArray[np.float64]

ENVELOPE_SECONDS = 0.02  # a step of the envelope: about the length of a speech recognizer's frame
_AUDIO_OUTPUT_SYNCHRONOUS = 2  # speak_lib.h
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RECEIVE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def speak(text: str, voice: str, target: Path) -> Path:
    """Writes `text`, spoken by espeak-ng's `voice` (such as `en`), to `target`: a mono 16-bit WAV."""
    spoken = bytearray()

    def receive(samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: int | None) -> int:
        if samples and count:
            spoken.extend(ctypes.string_at(samples, 2 * count))
        return 0

    words = text.encode() + b"\0"
    callback = _RECEIVE(receive)  # the library keeps its address only: it must outlive the speaking
    with _espeak() as (library, rate):
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        if library.espeak_Synth(words, len(words), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None) != 0:
            raise RuntimeError("espeak-ng could not speak")
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(spoken)
    return target


def samples(path: Path, tools: MediaTools, rate: int = 16_000) -> Samples:
    """The sound of a file that ffmpeg reads, mono, between -1 and 1."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "samples"
        options: list[str | Path] = ["-ac", "1", "-ar", str(rate), "-f", "s16le", raw]
        result = run_tool([tools.ffmpeg, "-nostdin", "-v", "error", "-i", path, *options], timeout=60)
        assert result.returncode == 0, result.stderr
        return np.fromfile(raw, dtype="<i2").astype(np.float64) / (1 << 15)


def envelope(sound: Samples, rate: int = 16_000) -> Samples:
    """How loud the sound is (root mean square) in each step of `ENVELOPE_SECONDS`."""
    step = round(rate * ENVELOPE_SECONDS)
    whole = sound[: len(sound) // step * step].reshape(-1, step)
    loudness: Samples = np.sqrt(np.mean(whole**2, axis=1))
    return loudness


def likeness(source: Samples, heard: Samples, lag: float = 0.0, rate: int = 16_000) -> float:
    """The correlation of the two envelopes where `heard` is `lag` seconds later: 1 is the same course of loudness."""
    shift = round(lag * rate)
    source, heard = source[max(0, -shift) :], heard[max(0, shift) :]
    length = min(len(source), len(heard))
    return float(np.corrcoef(envelope(source[:length], rate), envelope(heard[:length], rate))[0, 1])


def lag_seconds(source: Samples, heard: Samples, rate: int = 16_000) -> float:
    """How much later than in `source` the same sound is in `heard`, by the peak of their cross-correlation."""
    size = 1 << (len(source) + len(heard) - 1).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(source, size))
    shift = int(np.argmax(np.fft.irfft(product, size)))
    return (shift - size if shift > size // 2 else shift) / rate


@contextmanager
def _espeak() -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library, ready to speak, and its sample rate (hertz). It holds one state for the whole process."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    library.espeak_SetSynthCallback.argtypes = (_RECEIVE,)
    library.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
    library.espeak_Synth.argtypes = (
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
        ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        # It keeps the path in 160 characters: what is installed in a deep folder would be out of its reach.
        data = Path(folder) / "espeak-ng-data"
        data.symlink_to(espeakng_loader.get_data_path())
        rate = int(library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, bytes(data), _INITIALIZE_DONT_EXIT))
        if rate <= 0:
            raise RuntimeError("espeak-ng cannot read its data")
        try:
            yield library, rate
        finally:
            library.espeak_Terminate()
