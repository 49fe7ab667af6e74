"""What every reply carries, whoever made it, and what the page for people may do."""

import asyncio
import base64
import hashlib
import re

import httpx
import pytest

from service.http.layers.application import Application
from service.http.layers.frame import Frame
from service.http.layers.held import HeldBytes
from service.http.layers.measuring import Metrics
from service.http.replies import problems
from service.settings import Settings

EVERY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("headers")
    return Settings(hashers=folder / "none", data=folder / "data")


def test_every_kind_of_reply_has_them(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/livez", 200),
        ("GET", "/v1/collections", 200),
        ("PUT", "/v1/collections/own", 400),
        ("GET", "/v1/collections/nope", 404),
        ("GET", "/nope", 404),
        ("PUT", "/livez", 405),
        ("GET", "/openapi.json", 200),
        ("GET", "/metrics", 200),
    ):
        reply = client.request(method, path)
        assert reply.status_code == status
        assert EVERY.items() <= dict(reply.headers).items(), path
        assert reply.headers["content-security-policy"] == NOTHING
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-request-id"]


def test_the_page_for_people_runs_its_own_scripts_and_no_others(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert EVERY.items() <= dict(page.headers).items()
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    allowed = [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts]
    assert "SwaggerUIBundle(" in scripts[0]
    assert policy["script-src"].split() == ["'self'", *allowed]
    for kind, source in (("script", r'<script src="([^"]+)"'), ("style", r'rel="stylesheet" href="([^"]+)"')):
        (path,) = re.findall(source, page.text)
        assert path.startswith("/")
        assert "'self'" in policy[f"{kind}-src"]
        part = client.get(path)
        assert part.is_success
        # The same for everyone, and large.
        assert "no-store" not in part.headers.get("cache-control", "")
        assert EVERY.items() <= dict(part.headers).items()
    # What it asks for when it is tried out.
    assert policy["connect-src"] == "'self'"


def test_a_reply_to_a_bug_has_them_as_all_have() -> None:
    app = Application()
    app.wrap(Frame, metrics=Metrics(), held=HeldBytes(1, "bodies"), unsent=HeldBytes(1, "replies"))
    problems.install(app)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("inside")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/bug")

    reply = asyncio.run(ask())
    assert reply.status_code == 500
    assert "inside" not in reply.text
    assert EVERY.items() <= dict(reply.headers).items()
    assert reply.headers["cache-control"] == "no-store"
    assert len(reply.headers.get_list("x-request-id")) == 1
