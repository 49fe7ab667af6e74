"""Requests and replies against the API document: each has to be of an operation that is in it, and of its shapes."""

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from service.app import create_app
from service.settings import Settings
from tests.docs.recorder import Exchange

JSON, NDJSON, PROBLEM = "application/json", "application/x-ndjson", "application/problem+json"
# Pages of the service that are for people and programs to read, and no operations.
OUTSIDE = re.compile(r"/docs|/openapi\.json|/static-offline-docs/.*")


@dataclass(frozen=True)
class Checked:
    """How many bodies were held against a schema."""

    requests: int = 0
    replies: int = 0

    def __add__(self, other: "Checked") -> "Checked":
        return Checked(self.requests + other.requests, self.replies + other.replies)


def check(exchange: Exchange) -> Checked:
    """Raise AssertionError for what the API document does not have, or has otherwise."""
    operation = find(exchange.method, exchange.path)
    if operation is None:
        assert exchange.status in (404, 405) or OUTSIDE.fullmatch(exchange.path), exchange
        return Checked()
    return Checked(_check_request(exchange, operation), _check_reply(exchange, operation))


@cache
def document() -> dict[str, Any]:
    """The API document, as the service gives it."""
    made: dict[str, Any] = json.loads(json.dumps(create_app(Settings()).openapi()))
    return made


def find(method: str, path: str) -> dict[str, Any] | None:
    """The operation of a path as it was asked for; the template with the fewest parameters where several fit."""
    fitting = [
        template
        for template in document()["paths"]
        # Only an item's id may have slashes in it.
        if re.fullmatch(re.sub(r"{(\w+)}", lambda name: ".+" if name[1] == "item_id" else "[^/]+", template), path)
    ]
    for template in sorted(fitting, key=lambda each: each.count("{")):
        if operation := document()["paths"][template].get(method.lower()):
            found: dict[str, Any] = operation
            return found
    return None


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    """What of a value is not as its schema has it."""
    whole = {**schema, "components": document()["components"]}
    found = Draft202012Validator(whole).iter_errors(value)
    return [f"{'/'.join(map(str, each.absolute_path)) or 'body'}: {each.message[:200]}" for each in found]


def _check_request(exchange: Exchange, operation: dict[str, Any]) -> int:
    taken = operation.get("requestBody", {}).get("content", {})
    media_type = exchange.sent_headers.get("content-type", "").partition(";")[0]
    # What is refused may be anything: its reply says what is wrong with it.
    if exchange.status >= 400 or not exchange.sent:
        return 0
    body = gzip.decompress(exchange.sent) if exchange.sent_headers.get("content-encoding") == "gzip" else exchange.sent
    if media_type == JSON:
        _require(exchange, taken[JSON]["schema"], [json.loads(body)])
    elif media_type == NDJSON:
        rejected = {each["line"] for each in json.loads(exchange.came).get("rejected", [])}
        lines = [line for number, line in enumerate(body.splitlines(), 1) if line.strip() and number not in rejected]
        _require(exchange, {"$ref": "#/components/schemas/Item"}, [json.loads(line) for line in lines])
    else:
        assert media_type in taken, (exchange.method, exchange.path, media_type)
        return 0
    return 1


def _check_reply(exchange: Exchange, operation: dict[str, Any]) -> int:
    told = operation["responses"].get(str(exchange.status), operation["responses"]["default"])
    if exchange.status == 204:
        assert not exchange.came and "content" not in told
        return 0
    assert exchange.came_type in told["content"], (exchange.method, exchange.path, exchange.status, exchange.came_type)
    if exchange.came_type not in (JSON, PROBLEM):
        return 0
    _require(exchange, told["content"][exchange.came_type]["schema"], [json.loads(exchange.came)])
    return 1


def _require(exchange: Exchange, schema: dict[str, Any], values: list[Any]) -> None:
    wrong = [message for value in values for message in errors(schema, value)]
    assert not wrong, f"{exchange.method} {exchange.path} -> {exchange.status}: {wrong[:5]}"
