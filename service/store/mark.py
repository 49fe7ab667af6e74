"""How much was committed, noted beside the database.

SQLite takes a damaged WAL for one that ends there: what was committed after the damage would be gone without a word.
The mark is written after each commit and never synced, so it is never ahead of the disk: after a power cut it may be
behind, which is no harm. A database that is behind its mark has lost commits, and is refused.
"""

import os
import struct
from pathlib import Path
from zlib import crc32

_LAYOUT = struct.Struct("<QI")


class Mark:
    """The file `DATABASE-mark`: a count of commits and its CRC-32."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + "-mark")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self) -> int:
        """The count, or 0 where the file is new or damaged itself: then nothing is known."""
        content = os.pread(self._file, _LAYOUT.size, 0)
        if len(content) != _LAYOUT.size:
            return 0
        committed, checksum = _LAYOUT.unpack(content)
        return int(committed) if checksum == crc32(content[:8]) else 0

    def write(self, committed: int) -> None:
        """Note the count; a full disk is no reason to fail a write that is committed."""
        packed = struct.pack("<Q", committed)
        try:
            os.pwrite(self._file, _LAYOUT.pack(committed, crc32(packed)), 0)
        except OSError:
            return
