"""What is logged: one JSON object a line where that is asked for, and never what was sent."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from service.keys import Role, line, new_key
from tests.serving import Process, client_of

SECRET = "a-secret-that-was-sent"
KEY, WRONG = new_key(), new_key()
REQUEST = "one-of-ours"


@pytest.fixture(scope="module", params=["json", "text"])
def logged(request: pytest.FixtureRequest, hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The log at level debug of a service with keys, after requests that bring secrets, and one that fails inside."""
    folder = tmp_path_factory.mktemp("logs")
    environment = {"HAMMINGWAY_KEYS": line(Role.ADMIN, KEY)}
    options = ("--log-format", request.param, "--log-level", "debug")
    given = folder / "hashers"
    (given / "broken@1").mkdir(parents=True)
    for name in ("digits@1", "pydocs@1"):
        (given / name).symlink_to(hashers / name)
    serving = Process(given, folder / "data", *options, environment=environment)
    try:
        _send(serving)
        # An error that is logged.
        headers = {"Authorization": f"Bearer {KEY}", "X-Request-ID": REQUEST}
        body = {"hasher": "broken", "inputs": [{"text": SECRET}]}
        assert serving.client.post("/v1/encode", json=body, headers=headers).status_code == 503
        serving.stop()
    finally:
        serving.kill()
    yield serving.log.read_text()


def _send(serving: Process) -> None:
    client = client_of(serving.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    png = io.BytesIO()
    Image.new("L", (4, 4)).save(png, "PNG", pnginfo=None)
    with client:
        assert client.put("/v1/collections/notes", json={"hasher": "pydocs"}).status_code == 201
        item = {"id": "a", "text": f"sort {SECRET}", "payload": {"password": SECRET}}
        path = "/v1/collections/notes"
        assert client.post(f"{path}/index", json={"items": [item]}).json() == {"indexed": 1}
        assert client.post(f"{path}/index", json={"items": [item, item]}).status_code == 422
        assert client.post(f"{path}/index", json={"items": [{**item, SECRET: 1}]}).status_code == 422
        assert client.post(f"{path}/index", content=f'{{"text": "{SECRET}"').status_code == 400
        lines = json.dumps({**item, "text": 5, "payload": SECRET})
        ndjson = {"Content-Type": "application/x-ndjson"}
        assert client.post(f"{path}/index", content=lines, headers=ndjson).status_code == 422
        search = {"query": {"text": f"sort {SECRET}"}, "filter": {"password": SECRET}}
        assert len(client.post(f"{path}/search", json=search).json()["results"]) == 1
        pages = client.get(f"{path}/items", params={"filter": json.dumps({"password": SECRET})})
        assert len(pages.json()["items"]) == 1
        image = base64.b64encode(png.getvalue() + SECRET.encode()).decode()
        assert client.post("/v1/encode", json={"hasher": "digits", "inputs": [{"image": image}]}).is_success
        for headers in ({"Authorization": f"Bearer {WRONG}"}, {"Authorization": f"Basic {WRONG}"}):
            assert client.get("/v1/models", headers=headers).status_code == 401
        for path in (f"/v1/models/{KEY}", f"/v1/collections/notes/items/{KEY}?key={KEY}", f"/{WRONG}"):
            assert client.get(path).status_code in (404, 422)
        assert client.get("/v1/models", headers={"Cookie": SECRET, "X-Request-ID": REQUEST}).is_success


def test_nothing_that_was_sent_is_logged(logged: str) -> None:
    assert "/v1/collections/notes/search" in logged
    assert "/v1/collections/notes/items" in logged
    assert "/v1/models/hw_... " in logged
    for secret in (SECRET, KEY, WRONG, base64.b64encode(SECRET.encode()).decode()[:20], line(Role.ADMIN, KEY)[6:]):
        assert secret not in logged


def test_json_is_one_object_a_line_with_time_level_logger_message_and_request(logged: str) -> None:
    if not logged.startswith("{"):
        # As text, for people: level first.
        assert "INFO:" in logged and f"request {REQUEST}: Damaged hasher" in logged
        return
    records = [json.loads(each) for each in logged.splitlines()]
    now = datetime.now(UTC)
    for record in records:
        assert {"time", "level", "logger", "message"} <= record.keys()
        assert record["level"] in ("debug", "info", "warning", "error")
        assert now - timedelta(hours=1) < datetime.fromisoformat(record["time"]) <= now + timedelta(seconds=5)
    accesses = [record for record in records if record["logger"] == "uvicorn.access"]
    ours = [(each["method"], each["path"], each["status"]) for each in accesses if each["request_id"] == REQUEST]
    assert ours == [("GET", "/v1/models", 200), ("POST", "/v1/encode", 503)]
    # Those without a number of their own are given one each.
    numbers = [record["request_id"] for record in accesses if record["request_id"] != REQUEST]
    assert len(set(numbers)) == len(numbers) > 10
    (error,) = [
        each for each in records if each["level"] == "error" and each["logger"] == "service.http.replies.problems"
    ]
    assert error["request_id"] == REQUEST
    assert "Damaged hasher" in error["message"]


def test_nothing_is_said_to_be_missing_that_is_not(logged: str) -> None:
    assert "Could not load" not in logged and "ModuleNotFoundError" not in logged
