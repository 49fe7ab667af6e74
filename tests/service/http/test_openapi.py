from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def schemas_of_requests(document: dict[str, Any]) -> dict[str, Any]:
    """The shapes of all bodies, and those that they refer to, by name."""
    every = document["components"]["schemas"]
    found: dict[str, Any] = {}

    def follow(part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                follow(each)
        elif isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found[name] = every[name]
                follow(every[name])
            for each in part.values():
                follow(each)

    for path in document["paths"].values():
        for operation in path.values():
            follow(operation.get("requestBody"))
    return found


def test_every_part_of_a_request_is_described(document: dict[str, Any]) -> None:
    found = schemas_of_requests(document)
    assert {"SearchRequest", "Query", "IndexRequest", "Item", "CollectionSettings", "IndexSettings"} <= found.keys()
    bare = [
        f"{name}.{part}"
        for name, schema in found.items()
        for part, described in schema["properties"].items()
        # An id of an item says enough by its example.
        if not described.keys() & {"description", "examples"}
    ]
    assert bare == []


def test_every_part_of_a_reply_and_every_parameter_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"SearchReply", "MatchReply", "JobReply", "Problem", "Fault"} <= schemas.keys()
    bare = [
        f"{name}.{part}"
        for name, schema in schemas.items()
        for part, described in schema.get("properties", {}).items()
        # What has a shape of its own is described there.
        if not described.keys() & {"description", "$ref"}
    ]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    parameters = [each for operation in operations for each in operation.get("parameters", ())]
    assert len(parameters) > 20
    bare += [each["name"] for each in parameters if not each.get("description")]
    assert bare == []
    assert all(schema.get("description") for schema in schemas.values())


def test_every_operation_has_a_summary_a_description_and_problem_details(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) > 15
    for operation in operations:
        assert operation["summary"] and operation["description"]
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
        assert "HTTPValidationError" not in document["components"]["schemas"]
