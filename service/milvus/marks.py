"""Re-codings under way: each is a Milvus collection without items, whose name says its stage, its properties the rest.

Milvus renames a collection only where it still has the name that it is renamed from. So of all who would take a
re-coding from one stage to the next one does, whatever the replica; and what is noted of it goes to the name of the
stage that it is noted at, and fails where that is over.

One that begins is named by the collection that it codes anew, so that of several one begins; from then on by its own
number: whoever still is at one that was given up can write nothing to the next one of the same collection.
"""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from time import time
from typing import Any, Literal, cast

import orjson

from service.errors import StoreUnavailableError
from service.milvus import schema
from service.milvus.connection import Connection
from service.store.errors import UnknownCollectionError
from service.store.jobs import Job, State, job_of

PREFIX, ALIAS = "hammingwayrecoding_", "hammingwaymark_"
PROPERTY, PROGRESS, DISCARD = "hammingway.mark", "hammingway.progress", "hammingway.discard"
# `begun`: nobody has looked at it yet. `back`: the old codes stay; `done`: the new ones do; `gone`: none does.
Stage = Literal["begun", "coding", "ready", "switched", "back", "done", "gone"]
OVER: tuple[Stage, ...] = ("back", "done", "gone")
ATTEMPTS = 5
DELETED = "the collection was deleted"


@dataclass(frozen=True)
class Progress:
    """The job, and how far it is: in which walk, at which id; what was written before `since` has been compared.

    The first walk codes, the second compares, then nothing is left to walk. `since` as of `schema.moment`. `refused`
    items were not in the new collection when they were compared; there come none after that.
    """

    job: Job
    walk: int = 1
    position: str = ""
    since: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Mark:
    """A re-coding of the collection `name`: its items numbered `old` are coded anew into those numbered `new`.

    `automatic`: switched as soon as it is ready. `discard` is the job that discards what is not kept, once it is over.
    """

    number: int
    name: str
    old: int
    new: int
    old_hasher: str | None
    new_hasher: str | None
    automatic: bool
    progress: Progress
    stage: Stage = "begun"
    discard: Job | None = None

    @property
    def job(self) -> Job:
        """The job that codes the items anew."""
        return self.progress.job

    @property
    def over(self) -> bool:
        """Whether the two are written together no more."""
        return self.stage in OVER

    @property
    def kept(self) -> int | None:
        """Whose items stay, once it is over."""
        return {"back": self.old, "done": self.new}.get(self.stage)

    @property
    def named(self) -> int:
        """Whose items have the name, or are to have it."""
        return self.new if self.stage in ("switched", "done") else self.old

    @property
    def milvus_name(self) -> str:
        """By the old number as long as it is but begun, so that there is one at most; afterwards by its own."""
        return _name(self, self.stage)

    def other(self, collection: int) -> int:
        """The one that is written together with this one."""
        return self.new if collection == self.old else self.old

    def jobs(self) -> Iterator[Job]:
        """What is told of it."""
        yield ended(self.job, "cancelled", DELETED if self.stage == "gone" else None) if self.over else self.job
        if self.over and self.discard is not None:
            yield self.discard


class Marks:
    """Safe to use from many threads; every call raises StoreUnavailableError where Milvus does not answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, mark: Mark) -> bool:
        """Write a new one down; False where another one of these items is just begun."""
        told = {**asdict(mark), "progress": None, "stage": None, "discard": None}
        properties = {PROPERTY: orjson.dumps(told).decode(), PROGRESS: _packed(mark.progress)}
        # One of another description is another one to Milvus, which else would take the second for the first.
        description = f"{mark.number}"
        fields = schema.without_items(description)
        for attempt in range(ATTEMPTS):
            try:
                self._connection.call(
                    "create_collection", mark.milvus_name, schema=fields, num_shards=1, properties=properties
                )
            except StoreUnavailableError:
                there = self._at(mark.milvus_name)
                if there is None and attempt < ATTEMPTS - 1:
                    # The one that was there came to another stage between the two looks.
                    continue
                if there is None:
                    raise
                if there.number != mark.number:
                    return False
            break
        self.publish(mark)
        return True

    def publish(self, mark: Mark) -> None:
        """Have it found by its number."""
        self._connection.call("create_alias", mark.milvus_name, _alias(mark.number))

    def find(self, number: int) -> Mark | None:
        """The one of that number, at whatever stage, or None."""
        return self._at(_alias(number))

    def all(self) -> list[Mark]:
        """All there are, in the order in which they were begun."""
        while True:
            names = [each for each in self._connection.call("list_collections") if each.startswith(PREFIX)]
            found = [mark for mark in map(self._at, names) if mark is not None]
            # One that came to another stage between the two looks has another name.
            if len(found) == len(names):
                return sorted(found, key=lambda mark: mark.job.number)

    def advance(self, mark: Mark, stage: Stage) -> Mark | None:
        """Take it to a stage; None where somebody else took it from the one that it was at."""
        moved = self._connection.rename(mark.milvus_name, _name(mark, stage))
        return replace(mark, stage=stage) if moved else None

    def note(self, mark: Mark) -> Mark | None:
        """Write down how far it is; None where it is at that stage no more."""
        properties = {PROGRESS: _packed(mark.progress)}
        if mark.discard is not None:
            properties[DISCARD] = orjson.dumps(asdict(mark.discard)).decode()
        with suppress(UnknownCollectionError):
            self._connection.call("alter_collection_properties", mark.milvus_name, properties)
            return mark
        return None

    def drop(self, mark: Mark) -> None:
        """Forget it."""
        with suppress(UnknownCollectionError):
            self._connection.call("drop_alias", _alias(mark.number))
        with suppress(UnknownCollectionError):
            self._connection.call("drop_collection", mark.milvus_name)

    def _at(self, name: str) -> Mark | None:
        try:
            described = self._connection.call("describe_collection", name)
        except UnknownCollectionError:
            return None
        return _mark(described)


def ended(job: Job, state: State, detail: str | None) -> Job:
    """A job that is over, as it was where it was so already."""
    if not job.unfinished:
        return job
    return replace(job, state=state, detail=detail, waits_for=None, ended=time())


def new_number() -> int:
    """One that no collection and no re-coding has."""
    return secrets.randbits(62)


def _name(mark: Mark, stage: Stage) -> str:
    return f"{PREFIX}{mark.old if stage == 'begun' else mark.number}_{stage}"


def _alias(number: int) -> str:
    return f"{ALIAS}{number}"


def _mark(described: dict[str, Any]) -> Mark:
    properties = described["properties"]
    given = orjson.loads(properties[PROPERTY])
    progress = orjson.loads(properties[PROGRESS])
    discard = orjson.loads(properties[DISCARD]) if DISCARD in properties else None
    stage = described["collection_name"].rpartition("_")[2]
    return Mark(
        **{
            **given,
            "progress": Progress(**{**progress, "job": job_of(progress["job"])}),
            "stage": cast(Stage, stage),
            "discard": None if discard is None else job_of(discard),
        }
    )


def _packed(progress: Progress) -> str:
    return orjson.dumps(asdict(progress)).decode()
