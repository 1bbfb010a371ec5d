"""As many broken files as are wanted, made of ordinary ones: some bytes are others, some are missing, some come twice.

What belongs here: the harm, from a seed. The same seed breaks the same file in the same way.
"""

import random

from narralytica_ingest_tests.hostile.model import Ground

_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("seed.mp4", ("-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+faststart")),
    ("seed.mkv", ("-c:v", "mpeg4", "-c:a", "libopus")),
    ("seed.ts", ("-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2")),
    ("seed.avi", ("-c:v", "mpeg4", "-c:a", "mp2")),
    ("seed.flv", ("-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100")),
    ("seed.asf", ("-c:v", "wmv2", "-c:a", "wmav2")),
    ("seed.mp3", ("-vn", "-c:a", "libmp3lame")),
    ("seed.flac", ("-vn", "-c:a", "flac")),
    ("seed.ogg", ("-vn", "-c:a", "libvorbis", "-ar", "44100")),
    ("seed.wav", ("-vn", "-c:a", "pcm_s16le")),
)
_ODD = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x01")


def broken(ground: Ground, seed: int) -> tuple[str, bytes]:
    """The name and the bytes of a broken file."""
    dice = random.Random(seed)
    name, options = _KINDS[seed % len(_KINDS)]
    whole = bytearray(ground.clip(name, *options))
    for _ in range(dice.choice((1, 3, 10, 40))):
        _harm(whole, dice)
    return f"{seed}-{name}", bytes(whole)


def _harm(whole: bytearray, dice: random.Random) -> None:
    # Heads decide about more than what comes later: every second blow hits the first 2,000 bytes.
    at = dice.randrange(min(len(whole), 2_000) if dice.random() < 0.5 else len(whole)) if whole else 0
    match dice.randrange(6):
        case 0 | 1:
            whole[at : at + 1] = bytes([dice.randrange(256)])
        case 2 | 3:
            whole[at : at + 4] = dice.choice(_ODD)
        case 4:
            del whole[at : at + dice.randrange(64)]
        case _:
            piece = whole[at : at + dice.randrange(512)]
            whole[at:at] = piece
