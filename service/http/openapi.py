"""The API document: FastAPI's, with the bodies that routes parse themselves and the one shape of errors."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.http.problems import MEDIA_TYPE, Problem
from service.http.schemas.collections import CollectionChange, CollectionSettings
from service.http.schemas.compare import CompareRequest
from service.http.schemas.decode import DecodeRequest
from service.http.schemas.duplicates import DuplicatesRequest
from service.http.schemas.encode import EncodeRequest
from service.http.schemas.items import DeleteRequest, IndexRequest
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
    SearchRequest,
)


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
    problem = {
        "description": "A problem detail: what was expected and what came",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
            if "security" in operation and not with_keys:
                # Nothing is one of the ways to be let in.
                operation["security"].append({})
