"""The API document: FastAPI's, with the bodies that routes parse themselves and the one shape of errors."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.http.description import examples, refusals
from service.http.layers.request_ids import HEADER
from service.http.replies.problems import Problem
from service.http.schemas.collections import CollectionChange, CollectionSettings
from service.http.schemas.compare import CompareRequest
from service.http.schemas.decode import DecodeRequest
from service.http.schemas.duplicates import DuplicatesRequest
from service.http.schemas.encode import EncodeRequest
from service.http.schemas.items import DeleteRequest, IndexRequest
from service.http.schemas.recode import RecodeRequest, SwitchRequest
from service.http.schemas.search import SearchRequest

REQUESTS = (
    CollectionChange,
    CollectionSettings,
    CompareRequest,
    DecodeRequest,
    DeleteRequest,
    DuplicatesRequest,
    EncodeRequest,
    IndexRequest,
    RecodeRequest,
    SearchRequest,
    SwitchRequest,
)
ARTICLES = ("a", "an", "the")
PARAMETERS: dict[str, dict[str, Any]] = {
    "collection": {"description": "a collection, by its name", "example": "pydocs"},
    "job": {"description": "a job, by its id", "example": 7},
    "item_id": {"description": "the id of an item; slashes may be in it", "example": "a1"},
    "reference": {"description": "`name@version`, or `name` for its newest version", "example": "pydocs@1"},
}
# Any is taken; one that is no such text is passed over.
REQUEST_ID: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "what to call the request in its reply and in the log: up to 64 letters, digits, `.`, `_` and `-`",
    "schema": {"type": "string"},
    "example": "import-7",
}


def install(app: FastAPI, with_keys: bool) -> None:
    """Complete the document when it is first asked for; `with_keys` says whether a key has to be given."""
    make = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(make(), with_keys)
        assert app.openapi_schema is not None  # nosec B101  # for the type checker
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _complete(document: dict[str, Any], with_keys: bool) -> None:
    _, definitions = models_json_schema(
        [(model, "validation") for model in (*REQUESTS, Problem)], ref_template="#/components/schemas/{model}"
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions["$defs"])
    # FastAPI's own shapes of errors: never sent.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["operationId"] = _name(operation["summary"])
            operation.setdefault("parameters", []).append(REQUEST_ID)
            for parameter in operation["parameters"]:
                parameter |= PARAMETERS.get(parameter["name"], {}) if parameter["in"] == "path" else {}
            if "security" in operation and not with_keys:
                # Nothing is one of the ways to be let in.
                operation["security"].append({})
    refusals.add(document, {model.__name__: model for model in REQUESTS}, with_keys)
    examples.add(document)


def _name(summary: str) -> str:
    """What generated clients call an operation: `Get a hasher's card` is `get_hasher_card`."""
    words = summary.lower().replace("'s", "").replace("-", "").split()
    return "_".join(word for word in words if word not in ARTICLES)
