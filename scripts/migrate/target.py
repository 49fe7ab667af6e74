"""The collection that items are moved to: like the one they come from, or refused."""

from models.errors import InvalidInputError
from service.client import Client, Collection, ServiceError

UNKNOWN = 404


def require_movable(collection: Collection) -> None:
    """Raise InvalidInputError where a collection keeps what no ready-made item brings along: features or documents."""
    keeps = {"features": collection.keep_features != "none", "documents": collection.keep_documents}
    if any(keeps.values()):
        kept = " and ".join(name for name, is_kept in keeps.items() if is_kept)
        raise InvalidInputError(
            f"expected a collection of codes and payloads, {collection.name!r} keeps {kept}, which no item brings"
            " along: index its documents anew"
        )


def require_same_hasher(reference: str, source: Client, target: Client) -> None:
    """Raise InvalidInputError where the hasher has the same name and version at both services, but is another one."""
    if source.model(reference) != target.model(reference):
        raise InvalidInputError(f"expected the very same {reference} at both services, their cards differ")


def open_target(client: Client, name: str, source: Collection) -> Collection:
    """The collection to move to, created where it is missing; raises InvalidInputError where it has other codes."""
    try:
        there = client.collection(name)
    except ServiceError as error:
        if error.status != UNKNOWN:
            raise
        coded_by = {"bits": source.bits} if source.hasher is None else {"hasher": source.hasher}
        return client.create_collection(name, **coded_by, index=_index(source))
    require_movable(there)
    if (there.hasher, there.bits) != (source.hasher, source.bits):
        raise InvalidInputError(f"expected {name!r} to have {_codes(source)}, it has {_codes(there)}")
    return there


def _index(source: Collection) -> dict[str, object]:
    given = {"kind": source.index.kind, "lists": source.index.lists, "probes": source.index.probes}
    return {name: value for name, value in given.items() if value is not None}


def _codes(collection: Collection) -> str:
    return f"codes of {collection.bits} bits" + (f" by {collection.hasher}" if collection.hasher else "")
