"""Hostile files that are no media: playlists and scripts that name other files, and what pretends to be two things."""

import random
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO

from narralytica_ingest_tests.hostile.boxes import Movie, box
from narralytica_ingest_tests.hostile.model import Ground, Hostile, Make, content
from narralytica_ingest_tests.hostile.movies import FINE, REFUSED
from narralytica_ingest_tests.hostile.sounds import mp3


def naming(words: str) -> Make:
    """A text that names the canary (`{url}`) and the file beside (`{secret}`)."""
    return lambda ground: words.replace("{url}", ground.url).replace("{secret}", str(ground.secret)).encode()


def before(head: bytes, make: Make = lambda _: Movie().file()) -> Make:
    """A media file behind something else."""
    return lambda ground: head + make(ground)


def zipped(ground: Ground) -> bytes:
    """A media file that is a ZIP archive, too, with a path that leads out of it."""
    target = BytesIO(Movie().file())
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../../etc/cron.d/x", "* * * * * root true")
    return target.getvalue()


def padded(body: bytes) -> Callable[[Ground], bytes]:
    """A media file within whose free space something else begins."""
    return lambda _: box(b"ftyp", b"qt  ", bytes(4), body) + Movie().file()[20:]


_M3U8 = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-VERSION:3\n"
_HLS = _M3U8 + '#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n#EXTINF:1,\n{url}/hls.ts\n#EXTINF:1,\n{secret}\n'
_HLS_TRICKS = _M3U8 + (
    "#EXTINF:1,\nconcat:{secret}|{url}/x\n#EXTINF:1,\nsubfile,,start,0,end,100,,:{secret}\n#EXTINF:1,\n"
    "crypto:{secret}\n#EXTINF:1,\ndata:text/plain;base64,aGk=\n#EXTINF:1,\nasync:{url}/a\n#EXTINF:1,\ncache:{url}/c\n"
    "#EXTINF:1,\ntcp://127.0.0.1:9\n#EXTINF:1,\ngopher://127.0.0.1/x\n#EXT-X-ENDLIST\n"
)
_LISTS = {
    "list.m3u8": ("HLS", _HLS),
    "list.mp4": ("HLS by the name of an MP4", _HLS),
    "tricks.m3u8": ("HLS of ffmpeg's own protocols", _HLS_TRICKS),
    "list.ffconcat": ("a list to concatenate", "ffconcat version 1.0\nfile '{secret}'\nfile '{url}/x.mp4'\n"),
    "list.mpd": (
        "DASH",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        '<Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1">'
        "<BaseURL>{url}/d.mp4</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>",
    ),
    "entities.mpd": (
        "entities of XML that grow, and one that is a file",
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file://{secret}"><!ENTITY u SYSTEM "{url}/x">]><MPD>&b;&f;&u;</MPD>',
    ),
    "session.sdp": ("SDP", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n"),
    "list.xspf": ("XSPF", '<?xml version="1.0"?><playlist><trackList><track><location>{url}/x</location></track>'
                  "</trackList></playlist>"),
    "reply.rtsp": ("RTSP", "RTSP/1.0 302 Moved\r\nLocation: {url}/rtsp\r\n\r\n"),
    "list.cue": ("a cue sheet", 'FILE "{secret}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n'),
    "list.pls": ("PLS", "[playlist]\nFile1={url}/x.mp3\nNumberOfEntries=1\nVersion=2\n"),
    "list.asx": ("ASX", '<asx version="3.0"><entry><ref href="{url}/x"/></entry></asx>'),
    "link.url": ("a shortcut", "[InternetShortcut]\r\nURL={url}/x\r\n"),
    "graph.lavfi": ("a graph of filters", "amovie={secret}[out0];movie={url}/x[out1]"),
    "index.idx": ("VobSub", "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n"
                  "timestamp: 00:00:00:000, filepos: 000000000\n"),
    "captions.json": ("TED's captions", '{"captions":[{"duration":1,"content":"x","startOfParagraph":true,'
                      '"startTime":0}]}'),
    "captions.vtt": ("WebVTT", "WEBVTT\n\n00:00.000 --> 00:01.000\n<img src={url}/x>\n"),
    "captions.ass": ("ASS", "[Script Info]\n[Events]\nDialogue: 0,0:0:0,0:0:9,,,0,0,0,,{\\fnx}hi\n"),
    "list.cpl": ("IMF", '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
                 "<Id>urn:uuid:0</Id><EditRate>25 1</EditRate></CompositionPlaylist>"),
    "drawing.svg": ("SVG", '<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}/x"/></svg>'),
    "meta.ffmeta": ("tags of ffmpeg", ";FFMETADATA1\ntitle={url}\n"),
    "script.sh": ("a shell script", "#!/bin/sh\ncurl {url}/x; cat {secret}\n"),
    "text.txt": ("a text", "hello {url}\n" * 50),
}  # fmt: skip

HOSTILE_LISTS = (
    *(Hostile(name, f"{what}, which names other files", naming(words), REFUSED)
      for name, (what, words) in _LISTS.items()),
    Hostile("page-and-movie.mov", "a web page within a movie", padded(b"<script>x()</script><img src=x>"), FINE),
    Hostile("page-before-movie.mov", "a web page, and behind it a movie",
            before(b"<!DOCTYPE html><html><script>alert(1)</script></html>"), REFUSED),
    Hostile("archive.mov", "a movie that is an archive, too", zipped, FINE),
    Hostile("paper.mp3", "a PDF, and behind it an MP3", before(b"%PDF-1.7\n" + b"%x\n" * 30, mp3),
            (*FINE, *REFUSED)),
    Hostile("shebang.mp3", "a script, and behind it an MP3", before(b"#!/bin/sh\ntouch /tmp/x\nexit\n", mp3),
            (*FINE, *REFUSED)),
    Hostile("nothing.mp4", "no byte", content(b""), REFUSED),
    Hostile("one.mp4", "one byte", content(b"\0"), REFUSED),
    Hostile("zeros.mp4", "a megabyte of zeros", content(bytes(1 << 20)), REFUSED),
    Hostile("noise.ts", "a megabyte of random bytes", content(random.Random(6).randbytes(1 << 20)), REFUSED),
    Hostile("sync.ts", "a megabyte of sync bytes", content(b"\x47" * (1 << 20)), REFUSED),
    Hostile("ebml.mkv", "a megabyte of Matroska's first bytes", content(b"\x1a\x45\xdf\xa3" * (1 << 18)), REFUSED),
    Hostile("id3.mp3", "a megabyte of heads of tags", content(b"ID3\x03\0\0\0\0\0\0" * 100_000), REFUSED),
    Hostile("riff.avi", "RIFF without end", content((b"RIFF" + struct.pack("<I", 16) + b"AVI LIST") * 65_536), REFUSED),
    Hostile("start-codes.mpg", "a megabyte of start codes", content(b"\0\0\1\xba" * (1 << 18)), REFUSED),
    Hostile("adts.aac", "heads of AAC, and no sound", content(b"\xff\xf1\x50\x80\x00\xff\xfc" * 20_000),
            (*REFUSED, "undecodable_media", "empty_track", "damaged_media")),
)  # fmt: skip
