"""Native libraries inside .apk, .aab and .aar files, read where they lie: nothing is unpacked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgeskin.bundles.page_alignment import PAGE
from edgeskin.errors import InvalidBundle

ARCHIVES = (".apk", ".aab", ".aar")
MOST_ENTRIES = 200_000
MOST_BYTES = 512 << 20
"""Of one library; those of whole engines have some 200 MB."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")


def libraries_of(path: Path) -> Iterator[tuple[str, bytes, str | None]]:
    """Each library's name in the archive, its bytes, and why an .apk cannot map it where it lies.

    An .apk whose libraries are not compressed is mapped as it is: they must lie at a multiple of
    16384 bytes in it, as `zipalign -P 16` puts them.

    Raises:
        InvalidBundle: No whole zip, or a library is larger than MOST_BYTES.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise InvalidBundle(f"{path} has {len(entries)} entries, {MOST_ENTRIES} are read")
            for entry in entries:
                if entry.is_dir() or not entry.filename.endswith(".so"):
                    continue
                fault = _misplaced(entry, file) if path.suffix == ".apk" else None
                yield entry.filename, _read(archive, entry, path), fault
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, ValueError) as error:
        raise InvalidBundle(f"{path} is no whole archive: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # locked by a password, unknown method
        raise InvalidBundle(f"{path} cannot be read: {error}") from error
    except (struct.error, zlib.error) as error:
        raise InvalidBundle(f"{path} is damaged: {error}") from error


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(entry) as library:  # the size that an entry claims may be a lie
        data = library.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InvalidBundle(f"{entry.filename} in {path} has more than {MOST_BYTES} bytes")
    return data


def _misplaced(entry: zipfile.ZipInfo, file: BinaryIO) -> str | None:
    if entry.compress_type != zipfile.ZIP_STORED:
        return None  # unpacked when the app is installed
    place = file.tell()
    file.seek(entry.header_offset)
    _, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(place)
    start = entry.header_offset + _LOCAL_HEADER.size + name + extra
    if start % PAGE == 0:
        return None
    return (
        f"{entry.filename} lies at byte {start} of the archive, no multiple of {PAGE}: "
        "zipalign -P 16 4 IN.apk OUT.apk mends it"
    )
