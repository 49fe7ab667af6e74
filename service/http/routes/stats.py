"""A collection in numbers."""

from dataclasses import asdict
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from service.http.access import READ
from service.http.replies.reply import reply
from service.http.schemas.stats import StatsReply
from service.http.state import ServiceState
from service.index import sizes
from service.index.collection import IndexState
from service.index.health import Health

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])
Codes = Annotated[bool, Query(description="whether to tell of the codes, too")]


@router.get("/stats", dependencies=READ, response_model=StatsReply, summary="Statistics")
async def stats(collection: str, state: ServiceState, codes: Codes = False) -> Response:
    """Count, memory, and how it is searched: of an IVF index also the recall, measured against exact search.

    With `codes=true` also how good the codes are to search by: balance, entropy and correlation of their bits, how many
    differ, and their distances. That takes a second or two of a million items, and is worked out by one thread.
    """

    def work() -> Response:
        described, held = state.collections.state(collection)
        told: dict[str, object] = {
            "name": described.name,
            "count": held.count,
            "bits": described.bits,
            "removed": held.removed,
            "memory_bytes": held.memory_bytes,
            "index": _index(held),
        }
        return reply(told | {"codes": _codes(state.analyses.health(collection))} if codes else told)

    return await (state.analysts if codes else state.readers).run(work)


def _codes(health: Health | None) -> dict[str, object] | None:
    if health is None:
        return None
    return asdict(health) | {"share_of_ones": np.round(health.share_of_ones, 4), "entropy": np.round(health.entropy, 4),
                             "mean_entropy": round(float(health.entropy.mean()), 4)}  # fmt: skip


def _index(held: IndexState) -> dict[str, object]:
    kind: dict[str, object] = {"kind": held.settings.kind}
    if held.settings.kind == "auto":
        kind["above"] = sizes.above(held.settings)
    if held.elsewhere is not None:
        lists, probes = held.elsewhere
        return kind | {"state": "ready", "lists": lists, "probes": probes}
    if held.ivf is None:
        # What is built may be wanted no more.
        building = held.building and held.settings.kind != "flat"
        return kind | {"state": "building" if building else "exact"}
    return kind | {
        "state": "ready",
        "lists": held.ivf.lists,
        "probes": held.ivf.probes,
        "indexed": held.ivf.size,
        "recall": round(held.ivf.recall, 4),
        "recall_sample": held.ivf.sample,
    }
