"""The API document to the letter: examples for all, each valid, each true of the service itself."""

import base64
import fcntl
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from models.folder import read_folder, write_folder
from service.app import create_app
from service.http.requests.multipart import IMAGE_EXAMPLE
from service.keys import Role, line, new_key
from service.settings import Settings
from tests.service.http.openapi import Operation, bodies, examples, operations, send, shape, validator
from tests.serving import running

KEYS = {role: new_key() for role in Role}
SETTING = ",".join(line(role, key) for role, key in KEYS.items())
OPEN = create_app(Settings()).openapi()
LOCKED = create_app(Settings(keys=SETTING)).openapi()
OPERATIONS = operations(LOCKED)
IMAGES = "digits"
TEXTS = [("a1", "red running shoes", {"price": 30}), ("a2", "sort a list in place", None), ("b7", "a dictionary", None)]


@pytest.fixture(scope="module")
def settings(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With a second version of the hasher for texts, which is the first one again."""
    folder = tmp_path_factory.mktemp("contract")
    for name in ("digits@1", "pydocs@1", "vectors@1"):
        shutil.copytree(hashers / name, folder / "hashers" / name)
    card, files = read_folder(hashers / "pydocs@1")
    kept = {key: value for key, value in card.items() if key not in ("files", "format", "sha256")}
    write_folder(folder / "hashers" / "pydocs@2", {**kept, "version": 2}, files)
    return Settings(hashers=folder / "hashers", data=folder / "data", keys=SETTING, max_body_bytes=2**16)


@pytest.fixture(scope="module")
def admin(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as client:
        client.headers["Authorization"] = f"Bearer {KEYS[Role.ADMIN]}"
        yield client


def _fill(client: httpx.Client) -> None:
    """What the examples are about, as if nothing had happened to it before."""
    for name in ("pydocs", IMAGES):
        client.delete(f"/v1/collections/{name}")
        made = client.put(f"/v1/collections/{name}", json={"hasher": f"{name}@1", "keep_documents": True})
        made.raise_for_status()
    items = [{"id": name, "text": text, "payload": payload} for name, text, payload in TEXTS]
    client.post("/v1/collections/pydocs/index", json={"items": items}).raise_for_status()
    image = base64.b64encode(IMAGE_EXAMPLE.encode()).decode()
    client.post(f"/v1/collections/{IMAGES}/index", json={"items": [{"id": "a1", "image": image}]}).raise_for_status()


@contextmanager
def _held(settings: Settings) -> Iterator[None]:
    """No job is worked on until the block ends, as if another process had them all."""
    with settings.database.with_name(f"{settings.database.name}-jobs").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recode(client: httpx.Client, until: str = "ready") -> int:
    """Have the collection re-coded as far as that; the job."""
    path = "/v1/collections/pydocs/recode"
    job: int = client.post(path, json={"hasher": "pydocs@2", "switch": "manual"}).raise_for_status().json()["id"]
    deadline = time.monotonic() + 20
    while until != "coding" and client.get(path).json()["stage"] == "coding":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if until == "switched":
        client.post(f"{path}/switch", json={}).raise_for_status()
    return job


# What has to have been done before a request is answered as its example says; what a job is cancelled from is not done.
BEFORE = {"get_recoding": "ready", "switch_to_new_codes": "ready", "roll_recoding_back": "ready"}
BEFORE |= {"finish_recoding": "switched", "get_job": "ready", "cancel_job": "coding"}


@contextmanager
def _prepared(client: httpx.Client, settings: Settings, operation: Operation, media_type: str) -> Iterator[str]:
    """The path of a request that is to succeed, once all is there for it."""
    name, target = operation.described["operationId"], _target(operation, media_type)
    _fill(client)
    if name == "create_collection":
        client.delete(target)
    until = BEFORE.get(name)
    if until == "coding":
        with _held(settings):
            yield target.replace("jobs/7", f"jobs/{_recode(client, until)}")
    elif until:
        yield target.replace("jobs/7", f"jobs/{_recode(client, until)}")
    else:
        yield target


def _target(operation: Operation, media_type: str = "") -> str:
    target = operation.path
    for parameter in operation.described.get("parameters", ()):
        if parameter["in"] == "path":
            value = IMAGES if media_type.startswith("multipart") else parameter["example"]
            target = target.replace(f"{{{parameter['name']}}}", str(value))
    assert "{" not in target
    return target


@pytest.mark.parametrize("document", [OPEN, LOCKED], ids=["open", "locked"])
def test_it_is_an_openapi_document(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    names = [operation.described["operationId"] for operation in operations(document)]
    assert len(set(names)) == len(names) > 20
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("document", [OPEN, LOCKED], ids=["open", "locked"])
def test_every_body_has_an_example_and_each_is_as_its_shape_says(document: dict[str, Any]) -> None:
    seen = 0
    for name, pointer, media in bodies(document):
        found = examples(media)
        assert found, name
        checked = validator(document, pointer)
        for value in found:
            faults = [error.message for error in checked.iter_errors(value)]
            assert faults == [], (name, value)
            seen += 1
    assert seen > 200


def test_the_walk_would_see_an_example_that_is_wrong() -> None:
    pointers = {name: pointer for name, pointer, _ in bodies(OPEN)}
    search = pointers["POST /v1/collections/{collection}/search /requestBody application/json"]
    assert list(validator(OPEN, search).iter_errors({"query": {"id": "a1"}, "limit": 0}))
    assert not list(validator(OPEN, search).iter_errors({"query": {"id": "a1"}, "limit": 1}))


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_request_succeeds_with_a_reply_of_the_shape_that_its_example_has(
    admin: httpx.Client, settings: Settings, operation: Operation
) -> None:
    status, replies = operation.success()
    sent = 0
    for media_type, value in operation.requests():
        with _prepared(admin, settings, operation, media_type) as target:
            reply = send(admin, operation, target, media_type, value)
        assert reply.status_code == status, (value, reply.text)
        content = operation.described["responses"][str(status)].get("content")
        if content is None:
            assert reply.content == b""
            continue
        sent += 1
        (name,) = content
        assert reply.headers["content-type"].partition(";")[0] == name
        if name == "application/json":
            faults = validator(LOCKED, _pointer(operation, status)).iter_errors(reply.json())
            assert [error.message for error in faults] == []
            assert any(_alike(shape(reply.json()), shape(each)) for each in replies), (reply.json(), replies)
    assert sent or status == 204


def _pointer(operation: Operation, status: int) -> str:
    return next(pointer for name, pointer, _ in bodies(LOCKED) if name.startswith(f"{operation} /responses/{status} "))


def _alike(given: Any, said: Any) -> bool:
    """Whether what came has all that an example shows, and nothing else; a card says more than its example."""
    if isinstance(said, list) and isinstance(given, list):
        return not said or not given or _alike(given[0], said[0])
    if isinstance(said, dict) and isinstance(given, dict):
        if "objective" in said and "served" not in said:
            return said.items() <= given.items()
        # What a caller may put there is not ours to say.
        given, said = ({**each, "payload": {}} if "payload" in each else each for each in (given, said))
        return given.keys() == said.keys() and all(_alike(given[name], said[name]) for name in said)
    return given == said or "NoneType" in (given, said)


def _provoke(client: httpx.Client, settings: Settings, operation: Operation) -> Iterator[httpx.Response]:
    """Every mistake that may be made with an operation and that no other part of the service has to break for."""
    method, target = operation.method, _target(operation)
    without = client.build_request(method, target)
    del without.headers["Authorization"]
    yield client.send(without)
    for key in (new_key(), KEYS[Role.READ], KEYS[Role.WRITE]):
        yield client.request(method, target, headers={"Authorization": f"Bearer {key}"})
    for parameter in operation.described.get("parameters", ()):
        if parameter["in"] == "path":
            wrong = operation.path.replace(f"{{{parameter['name']}}}", "nope").replace("{collection}", "pydocs")
            wrong = wrong.replace("{item_id}", "a1")
            if "minimum" in parameter["schema"]:
                yield client.request(method, wrong)
                yield client.request(method, wrong.replace("nope", str(parameter["schema"]["minimum"] - 1)))
                wrong = wrong.replace("nope", "404404")
            if method != "put":
                body = next(operation.requests())
                yield send(client, operation, wrong, *body)
        elif parameter["in"] == "query":
            low = parameter["schema"].get("minimum", 0) - 1
            yield client.request(method, target, params={parameter["name"]: low})
            yield client.request(method, target, params={parameter["name"]: "nope"})
    yield client.request(method, target, params={"nope": ""})
    if re.search("/(recode|jobs)", operation.path):
        yield from _out_of_order(client, settings, method, target)
    if "requestBody" in operation.described:
        yield from _bad_bodies(client, operation, method, target)


def _out_of_order(client: httpx.Client, settings: Settings, method: str, target: str) -> Iterator[httpx.Response]:
    """What re-codings and jobs are not ready for: before there is one, while it is under way, and when it is over."""
    _fill(client)
    yield client.request(method, target)
    with _held(settings):
        job = _recode(client, "coding")
        yield client.request(method, target.replace("jobs/7", f"jobs/{job}"), json={})
    _fill(client)
    job = _recode(client)
    for body in ({}, {"hasher": "pydocs@2"}, {"hasher": "pydocs@1"}):
        yield client.request(method, target.replace("jobs/7", f"jobs/{job}"), json=body)


def _bad_bodies(client: httpx.Client, operation: Operation, method: str, target: str) -> Iterator[httpx.Response]:
    yield client.request(method, target, content=b"")
    yield client.request(method, target, content=b"{")
    yield client.request(method, target, json={})
    yield client.request(method, target, json={"unknown": True})
    yield client.request(method, target, content=b"", headers={"Content-Encoding": "gzip"})
    yield client.request(method, target, content=b"{}", headers={"Content-Encoding": "br"})
    yield client.request(method, target, content=b" " * (2**16 + 1))
    yield client.request(method, target, content=b"--", headers={"Content-Type": "multipart/form-data"})
    for _, value in operation.requests():
        if not isinstance(value, dict):
            continue
        if "hasher" in value:
            # A collection that is there is compared with what is asked for, whatever that is.
            other = target.replace("pydocs", "new") if method == "put" else target
            yield client.request(method, other, json={**value, "hasher": "nope"})
        if "collection" in value:
            yield client.request(method, target, json={**value, "collection": "nope"})
        if "query" in value:
            yield client.request(method, target, json={"query": {"id": "nope"}})
        if "a" in value:
            yield client.request(method, target, json={**value, "a": {"id": "nope"}})
    if method == "put":
        yield client.request(method, target.replace("pydocs", "A"), json={"bits": 8})
        yield client.request(method, target, json={"bits": 8})


# What they need is another service, or another disk; `test_limits` and the tests of faults provoke them.
ELSEWHERE = {429, 503, 504, 507}
# What is cancelled has to take long enough to be: `tests/jobs` does.
CANCELLED = {"take_snapshot": {409}, "find_duplicates": {409}, "upsert_items": {409}}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_it_refuses_as_it_says_and_in_no_other_way(
    admin: httpx.Client, settings: Settings, operation: Operation
) -> None:
    said = operation.refusals()
    _fill(admin)
    came: dict[int, list[dict[str, Any]]] = {}
    for reply in _provoke(admin, settings, operation):
        if reply.is_success:
            _fill(admin)
            continue
        problem = reply.json()
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["x-request-id"] == problem["request_id"]
        came.setdefault(reply.status_code, []).append(problem)
        _check_words(problem)
    assert came.keys() == said.keys() - ELSEWHERE - CANCELLED.get(operation.described["operationId"], set())
    for status, problems in came.items():
        titles = {each["title"] for each in said[status]} - {"Too many collections"}
        assert titles == {each["title"] for each in problems}, status
        for example in said[status]:
            if status not in (409, 413):
                # What differs by the settings of a service is not told word for word.
                told = [{**each, "request_id": ""} for each in problems]
                assert {**example, "request_id": ""} in told, (example, told)


def _check_words(problem: dict[str, Any]) -> None:
    """Each error tells what was expected and what came, in the service's own words, and where."""
    assert "expected" in problem["detail"], problem
    if problem["status"] in (400, 413, 415, 422):
        assert problem["errors"], problem
    for fault in problem["errors"]:
        assert fault["where"], problem
        assert fault["detail"].startswith("expected"), problem
        assert not re.search(r"Input should|Field required|Extra inputs|\bNone\b|\bTrue\b", fault["detail"]), problem


def test_every_operation_says_that_it_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.opening.Opened.load", lambda parts: 1 / 0)
    told = []
    with running(Settings(hashers=tmp_path, data=tmp_path / "data"), readiness=503) as client:
        for operation in OPERATIONS:
            media_type, value = next(operation.requests())
            reply = send(client, operation, _target(operation), media_type, value)
            if reply.status_code == 503:
                told.append(operation)
                problem = {**reply.json(), "request_id": ""}
                assert problem in [{**each, "request_id": ""} for each in operation.refusals()[503]]
    assert told == [operation for operation in OPERATIONS if 503 in operation.refusals()]


def test_examples_agree_with_themselves() -> None:
    """Similarity, distance and bits of the examples of replies belong together."""
    found = [part for operation in OPERATIONS for part in _objects(operation.success()[1]) if "similarity" in part]
    assert len(found) >= 5
    for part in found:
        assert part["similarity"] == round(1 - part["distance"] / 64, 4)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)
