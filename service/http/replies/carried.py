"""What items bring along into a reply: payload, code, features and document, as they are asked for by `with`."""

import base64
from collections.abc import Collection

from service.http.replies.reply import fragment
from service.items import Match, Part, Shown


def carried(item: Match | Shown, parts: Collection[Part]) -> dict[str, object]:
    """The parts of an item by their names in JSON; what was not asked for is left out."""
    told: dict[str, object] = {}
    if "code" in parts and item.code is not None:
        told["code"] = item.code.hex()
    if "payload" in parts:
        told["payload"] = fragment(item.payload)
    if "features" in parts:
        told["features"] = item.features
    if "document" in parts and item.document is not None:
        kind, document = item.document
        # As a query or an item to index is given, so that it can be sent as it came.
        told["document"] = {kind: base64.b64encode(document).decode() if isinstance(document, bytes) else document}
    return told
