"""An example of every request and reply in the API document, made of what the shapes say of themselves."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

Schema = Mapping[str, Any]
NAMES = "#/components/schemas/"


def add(document: dict[str, Any]) -> None:
    """Complete the document: each media type of each body that has no example yet gets one, or more."""
    schemas = document["components"]["schemas"]
    for content in _contents(document):
        for media in content.values():
            if "example" not in media and "examples" not in media:
                # A shape that says too little has none: the document is there nevertheless.
                with suppress(LookupError):
                    media["examples"] = named(of(media["schema"], schemas))


def named(values: list[Any]) -> dict[str, Any]:
    """Examples as a media type has them; the names only tell them apart."""
    return {f"example-{number}": {"value": value} for number, value in enumerate(values, 1)}


def of(schema: Schema, schemas: Mapping[str, Schema]) -> list[Any]:
    """The examples that a shape gives; what gives none itself is put together from those of its parts.

    Raises LookupError where these give none either.
    """
    if "examples" in schema:
        return list(schema["examples"])
    if "$ref" in schema:
        return of(schemas[schema["$ref"].removeprefix(NAMES)], schemas)
    for alternatives in ("anyOf", "oneOf", "allOf"):
        if alternatives in schema:
            return of(schema[alternatives][0], schemas)
    if "const" in schema or "enum" in schema:
        return [schema["const"] if "const" in schema else schema["enum"][0]]
    if "default" in schema:
        return [schema["default"]]
    return [_made(schema, schemas)]


def _made(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            properties = schema.get("properties", {}).items()
            return {name: of(part, schemas)[0] for name, part in properties if name in required or "examples" in part}
        case "array":
            return [of(schema["items"], schemas)[0]]
        case "boolean":
            return True
    raise LookupError(f"expected an example of {schema}, found none")


def _contents(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield operation.get("requestBody", {}).get("content", {})
            for response in operation["responses"].values():
                yield response.get("content", {})
