"""Whose turn it is to do the jobs, of all replicas, and the jobs that are over: in a Milvus collection without items.

Its name counts the turns, and says whose this one is. Who takes the next one renames it, which one of several can; and
what is written to it names the turn, and fails once that is another's. A replica that was killed keeps its turn until
it has shown no sign of life for some seconds, by the clock of whoever waits.
"""

import base64
import uuid
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

import orjson

from service.errors import StoreUnavailableError
from service.milvus import schema
from service.milvus.connection import Connection
from service.store.errors import UnknownCollectionError
from service.store.jobs import Job, job_of, newest

PREFIX, ALIAS = "hammingwayledger_", "hammingwayledger"
BEAT, ENDED = "hammingway.beat", "hammingway.ended"
NOBODY = "free"
LEASE_SECONDS, RENEWED_EACH_SECONDS = 5.0, 1.0


@dataclass(frozen=True)
class Turn:
    """Which one it is, and whose."""

    number: int
    owner: str = NOBODY

    @property
    def milvus_name(self) -> str:
        """What the Milvus collection is called while it lasts."""
        return f"{PREFIX}{self.number}_{self.owner}"


class Ledger:
    """One per process; `hold` and what follows from it is for one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._me = uuid.uuid4().hex
        self._mine: Turn | None = None
        self._renewed = 0.0
        self._beats = 0
        # Another's turn, the last sign of life that was seen of it, and when that was new.
        self._seen: tuple[Turn, str, float] | None = None

    def ended(self) -> list[Job]:
        """Jobs that are over, the newest first; of each kind as many as are kept."""
        described = self._described()
        return [] if described is None else _unpacked(described)

    def hold(self) -> bool:
        """Whether it is this process's turn: taken where it is nobody's, and kept up by asking again and again."""
        if self._mine is not None:
            return self._renew(self._mine)
        described = self._described() or self._made()
        turn = _turn(described)
        if turn.owner != NOBODY and not self._lapsed(turn, described["properties"].get(BEAT, "")):
            return False
        self._mine = self._passed(turn, self._me)
        self._renewed = monotonic()
        return self._mine is not None

    def archive(self, jobs: Iterable[Job]) -> bool:
        """Keep jobs that are over; False where it is this process's turn no more."""
        if self._mine is None or (described := self._described()) is None:
            return False
        known = {job.number: job for job in [*_unpacked(described), *jobs]}
        packed = _packed(sorted(known.values(), key=lambda job: -job.number))
        return self._write(self._mine, {ENDED: packed})

    def release(self) -> None:
        """Let another one take its turn at once."""
        if self._mine is not None:
            self._passed(self._mine, NOBODY)
            self._mine = None

    def _passed(self, turn: Turn, owner: str) -> Turn | None:
        """The next turn, of that owner; None where somebody else took it: of those who are at this one, one can."""
        following = Turn(turn.number + 1, owner)
        return following if self._connection.rename(turn.milvus_name, following.milvus_name) else None

    def _renew(self, turn: Turn) -> bool:
        if monotonic() - self._renewed >= RENEWED_EACH_SECONDS:
            self._beats += 1
            self._renewed = monotonic()
            if not self._write(turn, {BEAT: f"{self._me} {self._beats}"}):
                self._mine = None
        return self._mine is not None

    def _lapsed(self, turn: Turn, beat: str) -> bool:
        if self._seen is None or self._seen[:2] != (turn, beat):
            self._seen = turn, beat, monotonic()
        return monotonic() - self._seen[2] > LEASE_SECONDS

    def _write(self, turn: Turn, properties: dict[str, str]) -> bool:
        with suppress(UnknownCollectionError):
            self._connection.call("alter_collection_properties", turn.milvus_name, properties)
            return True
        return False

    def _described(self) -> dict[str, Any] | None:
        with suppress(UnknownCollectionError):
            described: dict[str, Any] = self._connection.call("describe_collection", ALIAS)
            return described
        return None

    def _made(self) -> dict[str, Any]:
        fields = schema.without_items("jobs")
        # Another replica may be at it, too: one is first, and the other's is the same, or is not found by anybody.
        with suppress(StoreUnavailableError):
            self._connection.call("create_collection", Turn(0).milvus_name, schema=fields, num_shards=1)
        with suppress(StoreUnavailableError, UnknownCollectionError):
            self._connection.call("create_alias", Turn(0).milvus_name, ALIAS)
        described: dict[str, Any] = self._connection.call("describe_collection", ALIAS)
        return described


def _turn(described: dict[str, Any]) -> Turn:
    number, _, owner = described["collection_name"].removeprefix(PREFIX).partition("_")
    return Turn(int(number), owner)


def _packed(jobs: Iterable[Job]) -> str:
    kept = [asdict(job) for job in newest(jobs)]
    return base64.b85encode(zlib.compress(orjson.dumps(kept))).decode()


def _unpacked(described: dict[str, Any]) -> list[Job]:
    packed = described.get("properties", {}).get(ENDED)
    return [job_of(each) for each in orjson.loads(zlib.decompress(base64.b85decode(packed)))] if packed else []
