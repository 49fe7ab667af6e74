"""The rows that say which collections are being coded anew, and how far that is."""

from sqlite3 import Connection

from service.store.checksums import recoding_checksum, require
from service.store.schema import Recoding

EVERY = "SELECT old, new, job, stage, automatic, last, position, checksum FROM recodings"


def of(connection: Connection, collection: int) -> Recoding | None:
    """The re-coding that a collection, old or new, is part of, verified; None where there is none."""
    # All of them, as they are few: one whose numbers are damaged must not pass for none.
    found = None
    for old, new, job, stage, automatic, last, position, checksum in connection.execute(EVERY):
        recoding = Recoding(old, new, job, stage, bool(automatic), last, position)
        require(recoding_checksum(recoding) == checksum, f"the re-coding of collection {old}")
        if collection in (old, new):
            found = recoding
    return found


def put(connection: Connection, recoding: Recoding) -> None:
    """Write a re-coding, in place of what was known of it."""
    connection.execute(
        "INSERT OR REPLACE INTO recodings (old, new, job, stage, automatic, last, position, checksum)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(recoding.old, recoding.new, recoding.job, recoding.stage, int(recoding.automatic)),
            *(recoding.last, recoding.position, recoding_checksum(recoding)),
        ),
    )


def drop(connection: Connection, recoding: Recoding) -> None:
    """Forget a re-coding: from now on the two collections are written no more together."""
    connection.execute("DELETE FROM recodings WHERE old = ?", (recoding.old,))
