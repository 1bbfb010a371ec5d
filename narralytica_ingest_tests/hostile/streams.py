"""Hostile broadcasts and other containers: clocks that jump, indexes that loop, heads that name URLs."""

import struct

from narralytica_ingest_tests.hostile.model import Ground, Hostile, Make
from narralytica_ingest_tests.hostile.movies import ENDLESS, FINE, REFUSED
from narralytica_ingest_tests.hostile.sounds import MANY, NOTHING


def _pts(value: int) -> bytes:
    parts = (value >> 30 & 7, value >> 15 & 0x7FFF, value & 0x7FFF)
    return struct.pack(">BHH", 0x21 | parts[0] << 1, parts[1] << 1 | 1, parts[2] << 1 | 1)


def jumping_ts(step: float, count: int) -> Make:
    """A broadcast whose packets of sound are `step` seconds apart, which silence would have to fill."""

    def make(ground: Ground) -> bytes:
        whole = ground.clip("plain.ts", "-vn", "-c:a", "mp2", "-muxdelay", "0", "-pes_payload_size", "0")
        packets = [whole[at : at + 188] for at in range(0, len(whole) - 187, 188)]
        kept = [each for each in packets if (each[1] & 0x1F) << 8 | each[2] in (0, 17, 0x1000)]
        sound = [each for each in packets if each[1:3] in (b"\x41\0", b"\x01\0")]
        first = next(n for n, each in enumerate(sound) if each[1] == 0x41)
        unit = next((n for n in range(first + 1, len(sound)) if sound[n][1] == 0x41), len(sound))
        made, counter = kept[:3], 0
        for number in range(count):
            for packet in sound[first:unit]:
                changed = bytearray(packet)
                changed[3] = changed[3] & 0xF0 | counter
                counter = (counter + 1) % 16
                at = packet.find(b"\0\0\1\xc0")
                if at > 0:
                    changed[at + 9 : at + 14] = _pts(int(number * step * 90_000) & (1 << 33) - 1)
                made.append(bytes(changed))
        return b"".join(made)

    return make


def programs(count: int) -> bytes:
    """A broadcast that announces programs without end, on tables of its own."""

    def packet(pid: int, body: bytes) -> bytes:
        return (b"\x47" + struct.pack(">HB", 0x4000 | pid, 0x10) + body).ljust(188, b"\xff")

    def section(kind: int, number: int, body: bytes) -> bytes:
        head = struct.pack(">BHHBBB", kind, 0xB000 | len(body) + 9, number, 0xC1, 0, 0)
        crc = _crc_mpeg(head + body)
        return b"\0" + head + body + struct.pack(">I", crc)

    made = []
    for start in range(0, count, 40):
        listed = b"".join(struct.pack(">HH", start + n + 1, 0xE000 | 32 + (start + n) % 8_000) for n in range(40))
        made.append(packet(0, section(0, start // 40, listed)))
        for n in range(40):
            streams = b"".join(struct.pack(">BHH", 0x03, 0xE000 | (start * 30 + m) % 8_000, 0xF000) for m in range(30))
            body = struct.pack(">HH", 0xE100, 0xF000) + streams
            made.append(packet(32 + (start + n) % 8_000, section(2, start + n + 1, body)))
    return b"".join(made)


def _crc_mpeg(data: bytes) -> int:
    value = MANY
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & MANY
    return value


def looping_avi(ground: Ground) -> bytes:
    """An AVI whose index of indexes (OpenDML) names itself."""
    whole = bytearray(ground.clip("plain.avi", "-c:v", "mpeg4", "-c:a", "mp2", "-t", "0.5"))
    at = whole.index(b"JUNK", whole.index(b"strh", whole.index(b"strh") + 4))
    (size,) = struct.unpack_from("<I", whole, at + 4)
    index = struct.pack("<HBBI4s12x", 4, 0, 0, 4, b"01wb") + struct.pack("<QII", at, size + 8, 1 << 30) * 4
    whole[at : at + 8 + len(index)] = b"indx" + struct.pack("<I", size) + index[: len(index)]
    return bytes(whole)


def avi(offset: int, value: bytes) -> Make:
    """An AVI with other bytes at an offset of its last stream's header."""

    def make(ground: Ground) -> bytes:
        whole = bytearray(ground.clip("plain.avi", "-c:v", "mpeg4", "-c:a", "mp2", "-t", "0.5"))
        at = whole.index(b"auds") + offset
        whole[at : at + len(value)] = value
        return bytes(whole)

    return make


def flv(deep: int, more: bytes = b"") -> bytes:
    """A Flash video whose script data is objects in objects."""
    script = b"\x02\0\x0aonMetaData" + b"\x03\0\1x" * deep + more
    tag = b"\x12" + len(script).to_bytes(3, "big") + bytes(7) + script
    return b"FLV\1\5\0\0\0\x09\0\0\0\0" + tag + struct.pack(">I", len(tag))


def flash(ground: Ground) -> bytes:
    """A Flash video that goes back in time, by its negative times."""
    whole = bytearray(ground.clip("plain.flv", "-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100"))
    at, number = 13, 0
    while at + 15 < len(whole):
        size = int.from_bytes(whole[at + 1 : at + 4], "big")
        if number > 40:
            whole[at + 4 : at + 8] = b"\0\0\0\xff"
        at, number = at + size + 15, number + 1
    return bytes(whole)


def mxf_loop() -> bytes:
    """A partition whose previous, footer and index partitions are itself."""
    key = bytes.fromhex("060e2b34020501010d01020101020400")
    body = struct.pack(">HHIQQQIQIQI", 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 1)[:-4] + bytes(16) + struct.pack(">II", 0, 16)
    return (key + b"\x83" + len(body).to_bytes(3, "big") + body) * 3


def scripted(ground: Ground) -> bytes:
    """An ASF with a script command that opens a URL."""
    whole = ground.clip("plain.asf", "-c:v", "wmv2", "-c:a", "wmav2")
    said = (ground.url + "/script").encode("utf-16-le") + b"\0\0"
    kind = "URL".encode("utf-16-le")
    command = struct.pack("<HH", 3, 1), struct.pack("<H", 3) + kind, struct.pack("<IHH", 0, 0, len(said) // 2) + said
    body = bytes(16) + struct.pack("<HH", 1, 1) + command[1] + command[2]
    guid = bytes.fromhex("301afb1e620bd011a39b00a0c90348f6")
    item = guid + struct.pack("<Q", len(body) + 24) + body
    head_size, objects = struct.unpack_from("<QI", whole, 16)
    head = whole[:16] + struct.pack("<QI", head_size + len(item), objects + 1) + whole[28:30]
    return head + item + whole[30:]


HOSTILE_STREAMS = (
    Hostile("holes.ts", "nine and a half seconds of nothing between any two packets",
            jumping_ts(9.5, 60), FINE, seconds=600),
    Hostile("holes-days.ts", "the same, for two days", jumping_ts(9.5, 19_000), ("too_long",)),
    Hostile("wraps.ts", "a clock that wraps at every packet", jumping_ts(95_443.0 / 2, 500), (*FINE, *ENDLESS),
            seconds=600),
    Hostile("programs.ts", "2,000 programs of 30 streams", lambda _: programs(2_000), NOTHING),
    Hostile("index.avi", "an index that names itself, 2^30 times", looping_avi, (*FINE, "truncated_media")),
    Hostile("rate.avi", "a rate of 2^32 over 1", avi(20, struct.pack("<II", 1, MANY)), (*FINE, *ENDLESS)),
    Hostile("scale.avi", "a rate over nothing", avi(20, struct.pack("<II", 0, 0)), (*FINE, *ENDLESS)),
    Hostile("slow.avi", "a sample in 2^32 seconds", avi(20, struct.pack("<II", MANY, 1)), (*FINE, *ENDLESS),
            seconds=8_000),
    Hostile("deep.flv", "objects in objects, 100,000 deep", lambda _: flv(100_000), REFUSED),
    Hostile("back.flv", "times that turn negative", flash, (*FINE, *ENDLESS)),
    Hostile("loop.mxf", "a partition that comes before itself", lambda _: mxf_loop(), REFUSED),
    Hostile("script.asf", "a script command that opens a URL", scripted, (*FINE, *REFUSED)),
)  # fmt: skip
