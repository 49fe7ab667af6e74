"""Matches as they are told: id, distance, similarity, what they carry, and the score that ordered them."""

from collections.abc import Collection, Sequence

from service.http.replies.carried import carried
from service.http.replies.reply import fragment
from service.items import PAYLOAD, Match, Part
from service.store.lookups import require_bounded_payloads


def similarity(distance: int, bits: int) -> float:
    """1 - distance / bits, to four digits."""
    return round(1 - distance / bits, 4)


def require_bounded(results: Sequence[Sequence[Match]], parts: Collection[Part] = PAYLOAD) -> None:
    """Raise InvalidInputError where a reply would be too large: one item may be found by each of many queries."""
    if "payload" in parts:
        require_bounded_payloads(sum(len(match.payload or b"") for matches in results for match in matches))


def matches_told(matches: Sequence[Match], bits: int, parts: Collection[Part] = PAYLOAD) -> list[dict[str, object]]:
    """Matches by names in JSON, in their order."""
    # What nearly every search asks for, with nothing to decide for each match.
    if parts == PAYLOAD:
        return [_with_payload(match, bits) for match in matches]
    return [_with(match, bits, parts) for match in matches]


def _with_payload(match: Match, bits: int) -> dict[str, object]:
    told: dict[str, object] = {
        "id": match.id,
        "distance": match.distance,
        "similarity": round(1 - match.distance / bits, 4),
        "payload": fragment(match.payload),
    }
    if match.score is not None:
        told["score"] = match.score
    return told


def _with(match: Match, bits: int, parts: Collection[Part]) -> dict[str, object]:
    told = _with_payload(match, bits)
    del told["payload"]
    return told | carried(match, parts)
