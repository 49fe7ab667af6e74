"""The API document, walked: every example beside the shape that it is one of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DOCUMENT = "urn:document"
METHODS = ("get", "put", "patch", "post", "delete")


@dataclass(frozen=True)
class Operation:
    """One operation of the document, and where it stands in it."""

    method: str
    path: str
    described: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def requests(self) -> Iterator[tuple[str, Any]]:
        """Media type and value of each example of a request; one without a body has one of nothing."""
        content = self.described.get("requestBody", {}).get("content")
        if content is None:
            yield "", None
        else:
            for media_type, media in content.items():
                yield from ((media_type, value) for value in examples(media))

    def success(self) -> tuple[int, list[Any]]:
        """The first status that it succeeds with, and the examples of its reply."""
        status = next(status for status in self.described["responses"] if status.startswith("2"))
        content = self.described["responses"][status].get("content", {})
        return int(status), [value for media in content.values() for value in examples(media)]

    def refusals(self) -> dict[int, list[dict[str, Any]]]:
        """The problem details by status."""
        return {
            int(status): examples(response["content"]["application/problem+json"])
            for status, response in self.described["responses"].items()
            if status.isdecimal() and int(status) >= 400
        }


def operations(document: dict[str, Any]) -> list[Operation]:
    """All of them, in the order of the document."""
    return [
        Operation(method, path, operation)
        for path, each in document["paths"].items()
        for method, operation in each.items()
        if method in METHODS
    ]


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every media type of every body: a name to tell it by, the pointer to its shape, and itself."""
    for operation in operations(document):
        at = f"/paths/{_escaped(operation.path)}/{operation.method}"
        parts = {f"{at}/responses/{status}": each for status, each in operation.described["responses"].items()}
        if "requestBody" in operation.described:
            parts[f"{at}/requestBody"] = operation.described["requestBody"]
        for pointer, part in parts.items():
            for media_type, media in part.get("content", {}).items():
                yield (
                    f"{operation} {pointer[len(at) :]} {media_type}",
                    f"{pointer}/content/{_escaped(media_type)}",
                    media,
                )


def examples(media: dict[str, Any]) -> list[Any]:
    """The values of the examples of a media type."""
    return [media["example"]] if "example" in media else [each["value"] for each in media.get("examples", {}).values()]


def validator(document: dict[str, Any], pointer: str) -> Draft202012Validator:
    """What a value has to be by the shape at a place in the document."""
    registry: Registry[Any] = Registry().with_resource(DOCUMENT, DRAFT202012.create_resource(document))
    return Draft202012Validator({"$ref": f"{DOCUMENT}#{pointer}/schema"}, registry=registry)


def send(client: httpx.Client, operation: Operation, target: str, media_type: str, value: Any) -> httpx.Response:
    """A request with a body as an example says."""
    if value is None:
        return client.request(operation.method, target)
    if media_type == "multipart/form-data":
        files = {name: (name, part.encode()) for name, part in value.items() if isinstance(part, str)}
        fields = {name: (None, orjson.dumps(part)) for name, part in value.items() if not isinstance(part, str)}
        return client.request(operation.method, target, files=files | fields)
    if isinstance(value, str):
        return client.request(operation.method, target, content=value, headers={"Content-Type": media_type})
    return client.request(operation.method, target, json=value)


def shape(value: Any) -> Any:
    """What a value is made of, whatever it says: names and kinds."""
    match value:
        case dict():
            return {name: shape(part) for name, part in value.items()}
        case list():
            return [shape(value[0])] if value else []
        case bool() | str() | None:
            return type(value).__name__
        case _:
            return "number"


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
