"""How each operation may refuse, in the API document: every status, with the problem details that it comes with."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from models.errors import HammingwayError
from models.versions import NAME_RULE
from service.errors import (
    BusyError,
    ConflictError,
    Fault,
    FaultsError,
    ForbiddenError,
    ForeignPageError,
    InvalidEncodingError,
    InvalidJsonError,
    InvalidMultipartError,
    NotReadyError,
    TookTooLongError,
    TooLargeError,
    TooManyCollectionsError,
    UnauthorizedError,
    UnknownHasherError,
    UnknownItemError,
    UnknownJobError,
    UnknownRecodingError,
    UnsupportedEncodingError,
)
from service.http.replies.problems import BUG, MEDIA_TYPE, RETRIED, Problem, content, problem
from service.http.replies.reply import JSON
from service.http.requests import multipart
from service.http.requests.body import parse_json, validate
from service.http.requests.parameters import refused
from service.store.errors import StorageFullError, UnknownCollectionError

Operation = dict[str, Any]
PROBLEM = {"$ref": "#/components/schemas/Problem"}
COLLECTION, ITEM, HASHER = "{collection}", "{item_id}", "{reference}"
HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "the request's id: the caller's own X-Request-ID, or a new one",
        "required": True,
        "schema": {"type": "string", "examples": ["5d692a7b6a4f4e9a8e5dce9f5ccb95ac"]},
    },
    "RetryAfter": {
        "description": "seconds after which to try again",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]+$", "examples": ["1"]},
    },
    "Authenticate": {
        "description": "how to be let in (RFC 6750)",
        "required": True,
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
}
NAMES = {"RequestId": "X-Request-ID", "RetryAfter": "Retry-After", "Authenticate": "WWW-Authenticate"}

# Of a reply that was not described.
FRAMEWORKS_WORDS = "Successful Response"

NO_COLLECTION = UnknownCollectionError("expected the name of a collection that is there, got 'nope'")
NO_ITEM = UnknownItemError("expected the id of an item of 'pydocs', got 'nope'")
NO_RECODING = UnknownRecodingError("expected a collection that is being re-coded, 'pydocs' is not")
CANCELLED = ConflictError("expected job 7 to go on, it was cancelled")
NO_JOB = UnknownJobError("expected the id of a job that is known, got 404404")
NO_HASHER = UnknownHasherError(
    "expected one of the hashers there are (digits@1, pydocs@1, pydocs@2, vectors@1), got 'nope'"
)
BODY = (
    InvalidEncodingError("expected gzip to its end, got nothing"),
    UnsupportedEncodingError("expected no Content-Encoding, or one of gzip and zstd, got 'br'"),
    TooLargeError("expected a body of at most 67108864 bytes, got 73400320"),
)
MULTIPART = InvalidMultipartError(
    "expected multipart/form-data with its boundary, got a Content-Type without one"
)  # fmt: skip
KEYS = (
    UnauthorizedError("expected an API key as Authorization: Bearer KEY, got none"),
    UnauthorizedError("expected an API key that is known, got another one", invalid=True),
)
FOREIGN = (
    ForeignPageError(
        "expected localhost or an address, as there are no keys, got 'hashes.example': use keys, or --allow-open",
        "Host",
    ),
    ForeignPageError(
        "expected no web page but the service's own, as there are no keys, got 'https://elsewhere.example'", "Origin"
    ),
)
WORK = (
    BusyError("expected at most 1000 requests to wait, got one more: try again"),
    NotReadyError("expected all collections to have caught up with the store, they still do"),
    TookTooLongError(
        "expected the request to be done in 60 seconds, it was not: a write that was under way is finished"
    ),
)
WRITE = StorageFullError("expected room on the disk, found none: nothing of this was done: database or disk is full")
# By method and path: what only one operation may answer.
FURTHER: dict[tuple[str, str], tuple[HammingwayError, ...]] = {
    ("put", "/v1/collections/{collection}"): (
        NO_HASHER,
        ConflictError(
            "expected the settings of 'pydocs', which is there already with 64 bits, hasher pydocs@1, index flat and "
            "keep_features none"
        ),
        TooManyCollectionsError("expected at most 1000 collections, got one more"),
        FaultsError(
            None,
            [
                Fault(
                    "collection",
                    422,
                    "Invalid input",
                    f"expected {NAME_RULE}, got 'A'",
                )
            ],
        ),
    ),
    ("post", "/v1/collections/{collection}/search"): (
        FaultsError("nothing was searched", [Fault("query/id", NO_ITEM.status, NO_ITEM.title, str(NO_ITEM))]),
    ),
    ("post", "/v1/collections/{collection}/compare"): (
        FaultsError("nothing was compared", [Fault("a/id", NO_ITEM.status, NO_ITEM.title, str(NO_ITEM))]),
    ),
    ("post", "/v1/collections/{collection}/snapshots"): (CANCELLED,),
    ("post", "/v1/collections/{collection}/duplicates"): (CANCELLED,),
    ("post", "/v1/collections/{collection}/index"): (CANCELLED,),
    ("post", "/v1/encode"): (NO_HASHER,),
    ("post", "/v1/decode"): (NO_HASHER, NO_COLLECTION),
    ("post", "/v1/collections/{collection}/recode"): (
        NO_HASHER,
        ConflictError(
            "expected a collection that keeps documents, or features, to be coded anew, 'pydocs' keeps neither"
        ),
        ConflictError("expected 'pydocs' not to be under re-coding, it is: finish it or roll it back first"),
    ),
    ("get", "/v1/collections/{collection}/recode"): (NO_RECODING,),
    ("post", "/v1/collections/{collection}/recode/switch"): (
        NO_RECODING,
        ConflictError("expected a re-coding that is ready, got one that is coding"),
    ),
    ("post", "/v1/collections/{collection}/recode/rollback"): (NO_RECODING,),
    ("post", "/v1/collections/{collection}/recode/finish"): (
        NO_RECODING,
        ConflictError("expected a re-coding that was switched, got one that is ready"),
    ),
    ("get", "/v1/jobs/{job}"): (NO_JOB,),
    ("post", "/v1/jobs/{job}/cancel"): (NO_JOB, ConflictError("expected a job that is not over, job 7 is")),
    ("get", "/readyz"): (WORK[1],),
}


def add(document: dict[str, Any], models: dict[str, type[BaseModel]], with_keys: bool) -> None:
    """Complete the document: each operation gets the statuses by which it refuses; `models` are those of bodies."""
    document["components"]["headers"] = HEADERS
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            by_status: dict[int, list[Problem]] = {}
            for error in _errors(method, path, operation, models, with_keys):
                by_status.setdefault(error.status, []).append(problem(error))
            responses = operation["responses"]
            for status in sorted(by_status):
                responses[str(status)] = _response(status, by_status[status], with_keys)
            responses["default"] = _response(None, [BUG], with_keys)
            for response in responses.values():
                if response["description"] == FRAMEWORKS_WORDS:
                    response["description"] = "Done"
                response.setdefault("headers", {}).update(_headers("RequestId"))


def _errors(
    method: str, path: str, operation: Operation, models: dict[str, type[BaseModel]], with_keys: bool
) -> Iterator[HammingwayError]:
    needs = [scope for each in operation.get("security", ()) for scopes in each.values() for scope in scopes]
    if needs and not with_keys:
        yield FOREIGN[0]
        if method != "get":
            yield FOREIGN[1]
    if needs and with_keys:
        yield from KEYS
        if needs != ["read"]:
            yield ForbiddenError(needs[0], "read")
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        yield _not_json(b"" if operation["requestBody"]["required"] else b"{")
        yield from BODY
    if multipart.MEDIA_TYPE in bodies:
        yield MULTIPART
    if JSON in bodies:
        yield _empty(models[bodies[JSON]["schema"]["$ref"].rpartition("/")[2]])
    yield from _of_parameters(operation)
    yield refused(["nope"], [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"])
    yield from FURTHER.get((method, path), ())
    if COLLECTION in path and not (method == "put" and path.endswith(COLLECTION)):
        yield NO_COLLECTION
    if ITEM in path:
        yield NO_ITEM
    if HASHER in path:
        yield NO_HASHER
    if path.startswith("/v1/"):
        yield from WORK
        if needs != ["read"]:
            yield WRITE


def _not_json(body: bytes) -> HammingwayError:
    try:
        parse_json(body)
    except InvalidJsonError as error:
        return error
    raise TypeError(f"expected {body!r} to be refused, it is taken")


def _empty(model: type[BaseModel]) -> HammingwayError:
    """What an object gets that is no such request: an empty one, or else one of a name that is not known."""
    for value in ({}, {"unknown": True}):
        try:
            validate(model, value)
        except FaultsError as error:
            return error
    raise TypeError(f"expected {model.__name__} to refuse unknown names, it takes them")


WRONG: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("minimum", lambda schema: f"expected at least {schema['minimum']}, got '{schema['minimum'] - 1}'"),
    ("enum", lambda schema: f"expected {_listed(schema['enum'])}, got 'nope'"),
)


def _of_parameters(operation: Operation) -> Iterator[HammingwayError]:
    """What the first parameter of a URL that may be wrong gets where it is; as part of a path, any text is one."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "header":
            continue
        schema, where = parameter["schema"], parameter["name"]
        if schema.get("type") == "array":
            schema, where = schema["items"], f"{where}/0"
        detail = "expected true or false, got 'nope'" if schema.get("type") == "boolean" else None
        for name, tell in WRONG:
            if name in schema:
                detail = tell(schema)
        if detail is not None:
            yield FaultsError(None, [Fault(where, FaultsError.status, FaultsError.title, detail)])
            return


def _listed(values: list[str]) -> str:
    *first, last = (repr(value) for value in values)
    return f"{', '.join(first)} or {last}" if first else last


def _response(status: int | None, problems: list[Problem], with_keys: bool) -> dict[str, Any]:
    examples = {}
    for number, each in enumerate(problems, 1):
        told = content(each) | {"request_id": "5d692a7b6a4f4e9a8e5dce9f5ccb95ac"}
        examples[f"example-{number}"] = {"summary": each.title, "value": told}
    titles = "; ".join(dict.fromkeys(each.title for each in problems))
    return {
        "description": titles if status else "Any other error: a problem detail, too",
        "headers": _headers(
            *(["RetryAfter"] if status in RETRIED else []),
            *(["Authenticate"] if status in (401, 403) and with_keys else []),
        ),
        "content": {MEDIA_TYPE: {"schema": PROBLEM, "examples": examples}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {NAMES[name]: {"$ref": f"#/components/headers/{name}"} for name in names}
