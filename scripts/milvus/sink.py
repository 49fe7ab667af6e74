"""Codes into a collection of a Milvus, past any service: kept as the services in front of it keep them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import sleep

from pydantic import TypeAdapter, ValidationError

from models.errors import InvalidInputError
from models.versions import NAME
from scripts.datasets import Dataset, Item
from scripts.datasets.shard import Shard
from scripts.documents import as_file
from service import items
from service.coding.hashers import Hashers
from service.collections.collections import Collections, NewCollection
from service.errors import FaultsError, StoreUnavailableError
from service.http.replies.wording import told
from service.http.schemas.documents import KINDS
from service.http.schemas.fields import GivenPayload, Id
from service.milvus.address import Address
from service.milvus.opening import opened
from service.store.errors import UnknownCollectionError

# One write, as one of the service is of NDJSON.
BATCH_ITEMS = 1000
BATCH_BYTES = 4 * 2**20
# A Milvus that starts again is back within a minute.
WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_ID, _PAYLOAD = TypeAdapter(Id), TypeAdapter(GivenPayload)


@dataclass
class MilvusCollection:
    """The collection `name`, coded by the hasher of that folder; each process that writes connects by itself.

    Upserts, so that a shard that comes twice is there once; of one that fails, a part may be there.
    """

    name: str
    address: Address
    hasher: Path

    def write(self, shard: Shard, data: Dataset) -> int:
        """Upsert the items of a shard, a thousand at a time; returns how many. Raises at the first bad item."""
        size = 0
        (kind,) = [each for each in KINDS if each == data.modality]
        with opened(self.address, self._hashers) as parts:
            for some in _batches(_checked(item, kind) for item in data.walk()):
                try:
                    self._upsert(parts.collections, some)
                except FaultsError as error:
                    raise InvalidInputError(f"items from {some[0].id!r} of {data.name}: {error}") from None
                size += len(some)
        return size

    def create(self) -> None:
        """Create the collection where it is missing, as a service does; raises ConflictError where it is another."""
        if not NAME.fullmatch(self.name):
            raise InvalidInputError(f"expected a name of {NAME.pattern} for the collection, got {self.name!r}")
        with opened(self.address, Hashers(self.hasher.parent)) as parts:
            parts.collections.create(self.name, NewCollection(hasher=self.hasher.name))

    def require(self) -> None:
        """Raise InvalidInputError unless the collection is there, and coded by a hasher of that name and version."""
        with opened(self.address, Hashers(self.hasher.parent)) as parts:
            try:
                coded_by = parts.collections.get(self.name).hasher
            except UnknownCollectionError:
                where = f"{self.name!r} in {self.address.store}"
                raise InvalidInputError(
                    f"expected a collection {where}, got none: --create makes it, or a service does"
                ) from None
        if coded_by != self.hasher.name:
            has = f"is coded by {coded_by}" if coded_by else "takes codes as they are given"
            raise InvalidInputError(f"expected {self.name!r} to be coded by {self.hasher.name}, it {has}")

    def _upsert(self, collections: Collections, some: list[items.Item]) -> None:
        for seconds in WAITS_SECONDS:
            try:
                return collections.upsert(self.name, some)
            except StoreUnavailableError:
                sleep(seconds)
        return collections.upsert(self.name, some)

    @cached_property
    def _hashers(self) -> Hashers:
        """Kept from one shard to the next: what is loaded is loaded once."""
        return Hashers(self.hasher.parent)


def _checked(item: Item, kind: items.Kind) -> items.Item:
    """As a service takes it; raises InvalidInputError for an id or a payload that it would refuse."""
    try:
        payload = None if item.payload is None else _PAYLOAD.validate_python(item.payload)
        return items.Item(_ID.validate_python(item.id), kind, as_file(item.document), payload)
    except ValidationError as error:
        raise InvalidInputError(f"item {item.id[:80]!r}: {told(error.errors()[0])}") from None


def _batches(given: Iterator[items.Item]) -> Iterator[list[items.Item]]:
    some: list[items.Item] = []
    size = 0
    for item in given:
        some.append(item)
        size += len(item.payload or b"") + _bytes(item)
        if len(some) == BATCH_ITEMS or size >= BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _bytes(item: items.Item) -> int:
    document = item.document
    return len(document) if isinstance(document, str | bytes) else 4 * len(document)
