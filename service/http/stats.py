"""A collection in numbers."""

from fastapi import APIRouter
from fastapi.responses import Response

from service.http.reply import reply
from service.http.schemas.stats import StatsReply
from service.http.state import ServiceState
from service.index.collection import IndexState

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])


@router.get("/stats", response_model=StatsReply, summary="Statistics")
async def stats(collection: str, state: ServiceState) -> Response:
    """Count, memory, and how it is searched: of an IVF index also the recall, measured against exact search."""

    def work() -> Response:
        described, held = state.collections.state(collection)
        return reply(
            {
                "name": described.name,
                "count": held.count,
                "bits": described.bits,
                "removed": held.removed,
                "memory_bytes": held.memory_bytes,
                "index": _index(held),
            }
        )

    return await state.readers.run(work)


def _index(held: IndexState) -> dict[str, object]:
    if held.ivf is None:
        # What is built may be wanted no more.
        building = held.building and held.settings.kind == "ivf"
        return {"kind": held.settings.kind, "state": "building" if building else "exact"}
    return {
        "kind": held.settings.kind,
        "state": "ready",
        "lists": held.ivf.lists,
        "probes": held.ivf.probes,
        "indexed": held.ivf.size,
        "recall": round(held.ivf.recall, 4),
        "recall_sample": held.ivf.sample,
    }
