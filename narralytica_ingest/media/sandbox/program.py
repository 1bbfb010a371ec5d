"""What a program needs of the machine in order to start: itself, and what it is linked with.

What belongs here: looking at the program's file. That it really starts is tried by `try_out`.
"""

import os
import struct
from pathlib import Path

from narralytica_ingest.media.sandbox.landlock import EXECUTE, READ, READ_FOLDER, WRITE

# Programs and libraries of the machine, no data of anybody: what the loader looks at, in all distributions.
_LIBRARIES = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_LOADER = ("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path")
_DEVICES = (("/dev/null", READ | WRITE), ("/dev/urandom", READ))
_INTERPRETER = 3  # PT_INTERP of elf.h: who loads the program's libraries


def needs(program: Path) -> list[tuple[Path, int]]:
    """The files and folders, with the rights on them, without which the program does not start.

    A statically linked one needs itself alone. Else, and for scripts, that is the machine's programs and libraries,
    those beside the program (`…/bin/ffmpeg` has `…/lib`), and those of `LD_LIBRARY_PATH`.
    """
    itself = program.resolve()
    needed = [(itself, READ | EXECUTE), *((Path(name), rights) for name, rights in _DEVICES)]
    if _is_static(itself):
        return needed
    folders = [Path(name) for name in (*_LIBRARIES, *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)) if name]
    if itself.parent.name == "bin":
        folders += [itself.parent.parent / name for name in ("lib", "lib64")]
    needed += [(folder, READ | READ_FOLDER | EXECUTE) for folder in folders]
    return needed + [(Path(name), READ) for name in _LOADER]


def _is_static(program: Path) -> bool:
    """Whether this is an ELF program of 64 bits, little-endian, that asks for no loader."""
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return False
        (table,), (size, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
        file.seek(table)
        headers = file.read(size * count)
    kinds = [struct.unpack_from("<I", headers, size * each)[0] for each in range(count)]
    return _INTERPRETER not in kinds
