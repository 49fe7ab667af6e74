"""What web pages of others may have a browser ask of a service without keys: to look, not to change or to set to work.

Whoever has such a page open is on the machine that an open service is there for. A browser sends what the page says,
also where it does not let the page read the reply, and it says whose the page is. Other clients say nothing of it.
"""

import ipaddress
from functools import lru_cache

from starlette.types import Scope

from service.errors import ForeignPageError

LOOKS = ("GET", "HEAD")
OWN = (b"same-origin", b"none")
LOCAL = "localhost"


def require_own(scope: Scope, by_any_name: bool) -> None:
    """Raise ForeignPageError for a request that a page of somebody else has made.

    Without `by_any_name` also for one to a name that is not this machine's own: a page may have its own name lead here
    after it was loaded (DNS rebinding), and is read from then on as if it were the service's.
    """
    host, origin, site = b"", None, None
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"sec-fetch-site":
            site = value
    if not by_any_name and not is_local(host):
        raise ForeignPageError(
            "expected localhost or an address, as there are no keys, got "
            f"{host.decode('latin-1')[:80]!r}: use keys, or --allow-open",
            "Host",
        )
    if scope["method"] in LOOKS or (origin is None and site is None):
        return
    # Where it is sent at all it is the browser's own word; what is older than it compares names, and so is this.
    own = site in OWN if site is not None else (origin or b"").partition(b"://")[2] == host
    if not own:
        came = origin.decode("latin-1")[:80] if origin is not None else "another site's"
        raise ForeignPageError(
            f"expected no web page but the service's own, as there are no keys, got {came!r}", "Origin"
        )


@lru_cache(64)
def is_local(host: bytes) -> bool:
    """Whether a Host header names this machine or an address, which no page can have as its name; true of none."""
    name, colon, port = host.decode("latin-1").lower().rpartition(":")
    if not colon or not port.isdecimal():
        name = host.decode("latin-1").lower()
    name = name.rstrip(".")
    if name in ("", LOCAL) or name.endswith(f".{LOCAL}"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
