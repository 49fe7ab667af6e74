"""The client of Milvus, and how its errors become the service's."""

import logging
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

import grpc
from pymilvus import MilvusClient, MilvusException

from models.errors import HammingwayError
from service.errors import StoreUnavailableError
from service.milvus.address import Address
from service.store.errors import UnknownCollectionError

UNKNOWN_COLLECTION = 100
NOT_LOADED = 101
UNREACHABLE = 2
# Of a collection that is deleted while it is read, without a code of its own; also while Milvus moves it.
LET_GO = "channel not available"
CONNECT_SECONDS = 3.0
log = logging.getLogger(__name__)
# Told with whole tracebacks there, and again by whoever answers the request.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class NotLoadedError(StoreUnavailableError):
    """A collection that Milvus does not hold in memory, or not yet."""


class Connection:
    """One per process; connects when it is first used, and again whenever that failed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._failed: tuple[float, Exception] | None = None

    @property
    def seconds(self) -> float:
        """How long Milvus may take to answer."""
        return self._address.seconds

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What a method of the client returns; it may take as many seconds as the address says.

        Raises UnknownCollectionError, NotLoadedError, or StoreUnavailableError, whatever else Milvus says.
        """
        named.setdefault("timeout", self._address.seconds)
        try:
            return getattr(self._connected(), method)(*arguments, **named)
        except Exception as error:
            raise _translated(error) from error

    def rename(self, milvus_name: str, new: str) -> bool:
        """Give a collection another name; False where it has not that one any more: of several at once one does."""
        try:
            self.call("rename_collection", milvus_name, new)
        except UnknownCollectionError:
            return False
        except StoreUnavailableError:
            # Milvus looks at the new name first, which it may have got from somebody else by now.
            with suppress(UnknownCollectionError):
                self.call("describe_collection", milvus_name)
                raise
            return False
        return True

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> MilvusClient:
        asked = monotonic()
        with self._lock:
            if self._client is None:
                if self._failed is not None and self._failed[0] > asked:
                    # Somebody has tried while this one waited: they do not wait for one another in turn.
                    raise self._failed[1]
                try:
                    self._client = _connect(self._address)
                except Exception as error:
                    self._failed = monotonic(), error
                    raise
            return self._client


def _connect(address: Address) -> MilvusClient:
    tls = {} if address.certificate is None else {"server_pem_path": str(address.certificate)}
    return MilvusClient(
        address.uri,
        token=address.token or "",
        db_name=address.database or "",
        timeout=min(address.seconds, CONNECT_SECONDS),
        dedicated=True,
        **tls,
    )


def _translated(error: Exception) -> HammingwayError:
    code = error.code if isinstance(error, MilvusException) else None
    told = _told(error)
    if code == UNKNOWN_COLLECTION:
        return UnknownCollectionError("expected a collection that is there, got one that was deleted meanwhile")
    if code == NOT_LOADED or (isinstance(error, MilvusException) and LET_GO in str(error.message)):
        return NotLoadedError(f"expected the collection to be in Milvus's memory, it is not yet: {told}")
    return StoreUnavailableError(f"expected Milvus to answer, it does not now: {told}")


def _told(error: Exception) -> str:
    """What is wrong in a line, without the address, which is nobody's business who only sends requests."""
    if isinstance(error, grpc.RpcError):
        code: str = error.code().name
        return code.replace("_", " ").lower()
    if not isinstance(error, MilvusException):
        return type(error).__name__
    return "it cannot be reached" if error.code == UNREACHABLE else " ".join(str(error.message).split())[:300]
