"""Whose turn it is to do the jobs, of all replicas, and the jobs that are over: in a Milvus collection without items.

Its name counts the turns. Who takes the next one renames it, which one of several can; and what is written to it names
the turn, and fails once that is another's. A replica that was killed keeps its turn until it has shown no sign of life
for some seconds, by the clock of whoever waits.
"""

import base64
import uuid
import zlib
from collections import Counter
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
from service.store.jobs import ENDED_KEPT, Job, Kind, job_of

PREFIX, ALIAS = "hammingwayledger_", "hammingwayledger"
TURN, ENDED = "hammingway.turn", "hammingway.ended"
LEASE_SECONDS, RENEWED_EACH_SECONDS = 5.0, 1.0


@dataclass(frozen=True)
class Turn:
    """Which one it is, whose, and the sign of life that its owner gave last; nobody's where there is no owner."""

    number: int
    owner: str = ""
    beat: int = 0


class Ledger:
    """One per process; `hold` and what follows from it is for one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._me = uuid.uuid4().hex
        self._mine: Turn | None = None
        self._renewed = 0.0
        # What was seen of another's turn, and when that was new.
        self._seen: tuple[Turn, float] | None = None

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
        if turn.owner and not self._lapsed(turn):
            return False
        with suppress(UnknownCollectionError):
            # One of those who are at this turn can.
            self._connection.call("rename_collection", _name(turn.number), _name(turn.number + 1))
            return self._renew(Turn(turn.number + 1))
        return False

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
            self._write(self._mine, {TURN: ""})
            self._mine = None

    def _renew(self, turn: Turn) -> bool:
        if self._mine is not None and monotonic() - self._renewed < RENEWED_EACH_SECONDS:
            return True
        now = Turn(turn.number, self._me, turn.beat + 1)
        self._renewed = monotonic()
        self._mine = now if self._write(now, {TURN: orjson.dumps([now.owner, now.beat]).decode()}) else None
        return self._mine is not None

    def _lapsed(self, turn: Turn) -> bool:
        if self._seen is None or self._seen[0] != turn:
            self._seen = turn, monotonic()
        return monotonic() - self._seen[1] > LEASE_SECONDS

    def _write(self, turn: Turn, properties: dict[str, str]) -> bool:
        with suppress(UnknownCollectionError):
            self._connection.call("alter_collection_properties", _name(turn.number), properties)
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
            self._connection.call("create_collection", _name(0), schema=fields, num_shards=1)
        with suppress(StoreUnavailableError, UnknownCollectionError):
            self._connection.call("create_alias", _name(0), ALIAS)
        described: dict[str, Any] = self._connection.call("describe_collection", ALIAS)
        return described


def _name(turn: int) -> str:
    return f"{PREFIX}{turn}"


def _turn(described: dict[str, Any]) -> Turn:
    number = int(described["collection_name"].removeprefix(PREFIX))
    told = described.get("properties", {}).get(TURN)
    return Turn(number, *orjson.loads(told)) if told else Turn(number)


def _packed(jobs: Iterable[Job]) -> str:
    kinds: Counter[Kind] = Counter()
    kept = []
    for job in jobs:
        kinds[job.kind] += 1
        if kinds[job.kind] <= ENDED_KEPT:
            kept.append(asdict(job))
    return base64.b85encode(zlib.compress(orjson.dumps(kept))).decode()


def _unpacked(described: dict[str, Any]) -> list[Job]:
    packed = described.get("properties", {}).get(ENDED)
    return [job_of(each) for each in orjson.loads(zlib.decompress(base64.b85decode(packed)))] if packed else []
