"""A code generator takes the API document, and the client that it makes of it finds what is indexed."""

import importlib
import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

ITEMS = [
    {"id": "a1", "code": "00ff", "payload": {"price": 30}},
    {"id": "a2", "code": "01ff"},
    {"id": "a3", "code": "ff00"},
]


@pytest.fixture(scope="module")
def package(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a package that openapi-python-client made of the document of the running service."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(client.get("/openapi.json").text)
    # Nothing is run over what it makes: neither a linter nor a formatter. NDJSON it passes on as it is.
    octets = {"application/x-ndjson": "application/octet-stream"}
    (folder / "config.json").write_text(json.dumps({"post_hooks": [], "content_type_overrides": octets}))
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"),
            *("--path", "openapi.json", "--config", "config.json", "--output-path", "generated_client"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    return "generated_client"


def test_it_searches(client: httpx.Client, package: str) -> None:
    generated = importlib.import_module(package)
    models = importlib.import_module(f"{package}.models")
    with generated.Client(base_url=str(client.base_url)) as calling:

        def call(name: str, *arguments: Any, **named: Any) -> Any:
            return importlib.import_module(f"{package}.api.{name}").sync(*arguments, client=calling, **named)

        made = call("collections.create_collection", "own", body=models.CollectionSettings(bits=16))
        assert (made.name, made.bits, made.count) == ("own", 16, 0)
        request = models.IndexRequest.from_dict({"items": ITEMS})
        assert call("items.upsert_items", "own", body=request).indexed == 3
        asked = models.SearchRequest.from_dict({"query": {"code": "00ff"}, "max_distance": 4})
        found = [(each.id, each.distance, each.similarity) for each in call("search.search", "own", body=asked).results]
        assert found == [("a1", 0, 1.0), ("a2", 1, 0.9375)]
        refused = call("search.search", "own", body=models.SearchRequest.from_dict({"query": {"code": "00"}}))
        assert isinstance(refused, models.Problem)
        assert (refused.status, refused.errors[0].where) == (422, "query/code")
        assert call("items.get_item", "own", "a3").code == "ff00"
        assert call("items.get_item", "own", "a1").payload.to_dict() == {"price": 30}
        page = call("items.list_items", "own", limit=2)
        assert [item.id for item in page.items] == ["a1", "a2"]
        assert [item.id for item in call("items.list_items", "own", cursor=page.cursor).items] == ["a3"]
