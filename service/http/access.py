"""Who may call what: each route names the role that it takes, `dependencies=READ`; the API document shows it.

Checked before a body is read. Without keys everyone may do everything, but for what `layers.admission` refuses.
"""

import hashlib
from ipaddress import ip_address

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from models.errors import HammingwayError
from service.errors import ForbiddenError, UnauthorizedError
from service.http.layers.web_pages import require_own
from service.keys import Role

SCHEME = "ApiKey"
BEARER = "bearer"


# Whom a request is from: an API key, or an address.
Client = tuple[str, bytes]
# An IPv6 host is given at least so many addresses of its own.
IPV6_PREFIX_BYTES = 8


def client_of(request: Request) -> Client:
    """Whom a request that was let in is from: the owner of its key, else the address that it came from."""
    if request.state.service.keys:
        return "key", hashlib.sha256(request.headers.get("authorization", "").encode()).digest()
    host = "" if request.client is None else request.client.host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "host", host.encode()
    mapped = getattr(address, "ipv4_mapped", None)
    packed = (mapped or address).packed
    return "address", packed[:IPV6_PREFIX_BYTES] if len(packed) > IPV6_PREFIX_BYTES else packed


class Requires(SecurityBase):
    """A dependency that lets a request pass whose key has a role, or one that includes it."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.scheme_name = SCHEME
        self.model = HTTPBearer(
            description="`Authorization: Bearer KEY`, where the service was given keys; a role includes those before "
            "it: read, write, admin"
        )

    async def __call__(self, request: Request) -> None:
        """Raise UnauthorizedError without a key that is known, ForbiddenError where its role is not enough."""
        if not (keys := request.state.service.keys):
            return
        given = request.headers.get("authorization")
        if given is None:
            raise UnauthorizedError("expected an API key as Authorization: Bearer KEY, got none")
        scheme, _, key = given.partition(" ")
        if scheme.lower() != BEARER:
            raise UnauthorizedError("expected an API key as Authorization: Bearer KEY, got another scheme")
        role = keys.role(key.strip().encode())
        if role is None:
            raise UnauthorizedError("expected an API key that is known, got another one", invalid=True)
        if role < self.role:
            raise ForbiddenError(str(self.role), str(role))


async def may_read(request: Request) -> bool:
    """Whether a request to a path that is open to all may be told what is for readers only."""
    state = request.state.service
    try:
        await Requires(Role.READ)(request)
        if not state.keys:
            require_own(request.scope, state.settings.allow_open)
    except HammingwayError:
        return False
    return True


READ, WRITE, ADMIN = ([Security(Requires(role), scopes=[str(role)])] for role in Role)
