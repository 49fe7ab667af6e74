"""What is new in Milvus grows, and is searched code by code; here it is sealed, so that its index is what searches."""

from time import monotonic, sleep

from scripts.milvus.server import MilvusError
from service.milvus.address import Address
from service.milvus.connection import Connection
from service.milvus.schema import alias

SEAL_SECONDS = 240
POLL_SECONDS = 0.5


def seal(address: Address, collection: str, rows: int) -> float:
    """Return once all rows of a collection of the service are sealed, and searched so; says after how many seconds.

    Of an IVF index also once they are searched by that, which Milvus does not build of a segment of fewer than 1,024
    rows. Raises MilvusError where it takes four minutes.
    """
    connection, began = Connection(address), monotonic()
    try:
        name = connection.call("describe_collection", alias(collection))["collection_name"]
        connection.call("flush", name, timeout=SEAL_SECONDS)
        flat = connection.call("describe_index", name, "code")["index_type"] == "BIN_FLAT"
        while monotonic() < began + SEAL_SECONDS:
            loaded = connection.call("list_loaded_segments", name)
            sealed = [each for each in loaded if each.state_name == "Sealed" and (flat or each.index_name)]
            if sum(each.num_rows for each in sealed) >= rows:
                return monotonic() - began
            sleep(POLL_SECONDS)
    finally:
        connection.close()
    raise MilvusError(f"expected {rows} rows to be searched by an index within {SEAL_SECONDS} s, got {loaded}")
