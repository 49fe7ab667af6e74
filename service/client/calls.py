"""Every call of the service: what is sent, and how its reply is read. Nothing is sent here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import orjson
from pydantic import TypeAdapter

from models.errors import InvalidInputError
from service.client.documents import to_json
from service.client.results import (
    Collection,
    Comparison,
    Decoded,
    Drift,
    Encoded,
    Group,
    Indexed,
    Item,
    Job,
    Match,
    Model,
    Page,
    Recoding,
    Snapshot,
    Stats,
    Version,
)

T = TypeVar("T")
JSON = "application/json"
NDJSON = "application/x-ndjson"
Document = Mapping[str, Any]
Filter = Mapping[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request; `read` is for the body of its reply. `repeatable`: to do it twice is to do it once."""

    method: str
    path: str
    read: Callable[[bytes], T]
    content: bytes | None = None
    media_type: str = JSON
    parameters: list[tuple[str, str]] = field(default_factory=list)
    repeatable: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    # Answered when it is done, however long that takes.
    patient: bool = False


def ready() -> Call[None]:
    return Call("GET", "/readyz", _nothing)


def version() -> Call[Version]:
    return Call("GET", "/version", _reads(Version))


def models() -> Call[list[Model]]:
    return Call("GET", "/v1/models", _reads(list[Model], "models"))


def model(reference: str) -> Call[dict[str, Any]]:
    return Call("GET", f"/v1/models/{_segment(reference)}", _reads(dict[str, Any]))


def encode(hasher: str, inputs: Sequence[Document], form: str, logits: bool) -> Call[Encoded]:
    return _post("/v1/encode", _reads(Encoded), hasher=hasher, inputs=list(inputs), format=form, logits=logits)


def decode(hasher: str, codes: Sequence[str], form: str, collection: str | None, limit: int | None) -> Call[Decoded]:
    content = {"hasher": hasher, "codes": list(codes), "format": form, "collection": collection, "limit": limit}
    return _post("/v1/decode", _reads(Decoded), **content)


def collections() -> Call[list[Collection]]:
    return Call("GET", "/v1/collections", _reads(list[Collection], "collections"))


def collection(name: str) -> Call[Collection]:
    return Call("GET", _path(name), _reads(Collection))


def create_collection(name: str, **settings: Any) -> Call[Collection]:
    return Call("PUT", _path(name), _reads(Collection), _body(settings))


def change_collection(name: str, index: Mapping[str, Any]) -> Call[Collection]:
    return Call("PATCH", _path(name), _reads(Collection), _body({"index": index}))


def delete_collection(name: str) -> Call[None]:
    # Of a second time the reply would be that it is not there.
    return Call("DELETE", _path(name), _nothing, repeatable=False)


def stats(name: str, codes: bool) -> Call[Stats]:
    parameters = [("codes", "true")] if codes else []
    return Call("GET", f"{_path(name)}/stats", _reads(Stats), parameters=parameters)


def drift(name: str, items: int | None) -> Call[Drift]:
    parameters = [] if items is None else [("items", str(items))]
    return Call("GET", f"{_path(name)}/drift", _reads(Drift), parameters=parameters)


def snapshot(name: str) -> Call[Snapshot]:
    return Call("POST", f"{_path(name)}/snapshots", _reads(Snapshot), repeatable=False, patient=True)


def begin_snapshot(name: str) -> Call[Job]:
    headers = {"Prefer": "respond-async"}
    return Call("POST", f"{_path(name)}/snapshots", _reads(Job), repeatable=False, headers=headers)


def recode(name: str, hasher: str, switch: str) -> Call[Job]:
    content = _body({"hasher": hasher, "switch": switch})
    return Call("POST", f"{_path(name)}/recode", _reads(Job), content, repeatable=False)


def recoding(name: str) -> Call[Recoding]:
    return Call("GET", f"{_path(name)}/recode", _reads(Recoding))


def switch(name: str, without_refused: bool) -> Call[Recoding]:
    content = _body({"without_refused": without_refused})
    return Call("POST", f"{_path(name)}/recode/switch", _reads(Recoding), content, repeatable=False)


def roll_back(name: str) -> Call[Job]:
    return Call("POST", f"{_path(name)}/recode/rollback", _reads(Job), repeatable=False)


def finish(name: str) -> Call[Job]:
    return Call("POST", f"{_path(name)}/recode/finish", _reads(Job), repeatable=False)


def jobs(collection: str | None, state: str | None, kind: str | None) -> Call[list[Job]]:
    given = {"collection": collection, "state": state, "kind": kind}
    parameters = [(key, value) for key, value in given.items() if value is not None]
    return Call("GET", "/v1/jobs", _reads(list[Job], "jobs"), parameters=parameters)


def job(number: int) -> Call[Job]:
    return Call("GET", f"/v1/jobs/{_segment(str(number))}", _reads(Job))


def cancel(number: int) -> Call[Job]:
    return Call("POST", f"/v1/jobs/{_segment(str(number))}/cancel", _reads(Job), repeatable=False)


def index(name: str, items: Sequence[Document]) -> Call[int]:
    return _post(f"{_path(name)}/index", _reads(int, "indexed"), items=list(items))


def index_lines(name: str, lines: Sequence[bytes]) -> Call[Indexed]:
    path = f"{_path(name)}/index"
    return Call("POST", path, _reads(Indexed), b"\n".join(lines), NDJSON)


def search(name: str, query: Document, **options: Any) -> Call[list[Match]]:
    return _post(f"{_path(name)}/search", _reads(list[Match], "results"), query=query, **_search(options))


def search_many(name: str, queries: Sequence[Document], **options: Any) -> Call[list[list[Match]]]:
    read = _reads(list[list[Match]], "results")
    return _post(f"{_path(name)}/search", read, queries=list(queries), **_search(options))


def duplicates(name: str, max_distance: int, after: str | None) -> Call[Group]:
    content = _body({"max_distance": max_distance, "after": after})
    return Call("POST", f"{_path(name)}/duplicates", _reads(Group), content, patient=True)


def compare(name: str, a: Document, b: Document) -> Call[Comparison]:
    return _post(f"{_path(name)}/compare", _reads(Comparison), a=a, b=b)


def item(name: str, item_id: str, with_: Sequence[str] | None) -> Call[Item]:
    return Call("GET", _item(name, item_id), _reads(Item), parameters=_with(with_))


def page(
    name: str, cursor: str | None, limit: int | None, filter: Filter | None, with_: Sequence[str] | None
) -> Call[Page]:
    given = {
        "cursor": cursor,
        "limit": None if limit is None else str(limit),
        "filter": None if filter is None else to_json(filter).decode(),
    }
    parameters = [(key, value) for key, value in given.items() if value is not None] + _with(with_)
    return Call("GET", f"{_path(name)}/items", _reads(Page), parameters=parameters)


def delete_item(name: str, item_id: str) -> Call[None]:
    return Call("DELETE", _item(name, item_id), _nothing, repeatable=False)


def delete(name: str, ids: Sequence[str] | None, filter: Filter | None) -> Call[int]:
    content = _body({"ids": None if ids is None else list(ids), "filter": filter})
    return Call("POST", f"{_path(name)}/delete", _reads(int, "deleted"), content, repeatable=False)


def _post(path: str, read: Callable[[bytes], T], **content: Any) -> Call[T]:
    return Call("POST", path, read, _body(content))


def _body(content: Mapping[str, Any]) -> bytes:
    """What is None is left to the service."""
    return to_json({name: value for name, value in content.items() if value is not None})


def _search(options: Mapping[str, Any]) -> dict[str, Any]:
    # `with` is Python's own word.
    return {name.rstrip("_"): value for name, value in options.items()}


def _with(parts: Sequence[str] | None) -> list[tuple[str, str]]:
    return [("with", part) for part in parts or ()]


def _path(name: str) -> str:
    return f"/v1/collections/{_segment(name)}"


def _item(name: str, item_id: str) -> str:
    return f"{_path(name)}/items/{_segment(item_id)}"


def _segment(name: str) -> str:
    # Dots and nothing lead to another place: to delete the item `..` would be to delete the collection.
    if name in ("", ".", ".."):
        raise InvalidInputError(f"expected a name or an id other than nothing, . and .., got {name!r}")
    return quote(name, safe="")


def _nothing(content: bytes) -> None:
    return None


def _reads(kind: type[T], name: str | None = None) -> Callable[[bytes], T]:
    """Reads a reply that is of a kind, or whose field of that name is; raises ValueError or KeyError for another."""
    # Any, as mypy takes no type for hashable.
    key: Any = kind

    def read(content: bytes) -> T:
        value = orjson.loads(content)
        found: T = _adapter(key).validate_python(value if name is None else value[name])
        return found

    return read


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
