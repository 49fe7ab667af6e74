"""The collection that items are moved to: like the one they come from, or refused."""

from dataclasses import asdict

from models.errors import InvalidInputError
from service.client import Client, Collection, ServiceError

UNKNOWN = 404


def carried(source: Collection, target: Collection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts of items that are moved, which are those that both collections keep, and those that are left.

    Raises InvalidInputError where the target keeps what no item brings along, or keeps it otherwise.
    """
    if target.keep_features not in ("none", source.keep_features):
        kept = f"as {source.name!r} ({source.keep_features}), or none"
        raise InvalidInputError(f"expected {target.name!r} to keep features {kept}, it keeps {target.keep_features}")
    if target.keep_documents and not source.keep_documents:
        raise InvalidInputError(f"expected {target.name!r} to keep no documents, as {source.name!r} has none to bring")
    here, there = _kept(source), _kept(target)
    return ("code", "payload", *there), tuple(part for part in here if part not in there)


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
        if source.hasher is None:
            return client.create_collection(name, bits=source.bits, index=_index(source))
        return client.create_collection(
            name,
            hasher=source.hasher,
            index=_index(source),
            keep_features=source.keep_features,
            keep_documents=source.keep_documents,
        )
    if (there.hasher, there.bits) != (source.hasher, source.bits):
        raise InvalidInputError(f"expected {name!r} to have {_codes(source)}, it has {_codes(there)}")
    return there


def _kept(collection: Collection) -> tuple[str, ...]:
    keeps = {"features": collection.keep_features != "none", "document": collection.keep_documents}
    return tuple(part for part, is_kept in keeps.items() if is_kept)


def _index(source: Collection) -> dict[str, object]:
    return {name: value for name, value in asdict(source.index).items() if value is not None}


def _codes(collection: Collection) -> str:
    return f"codes of {collection.bits} bits" + (f" by {collection.hasher}" if collection.hasher else "")
