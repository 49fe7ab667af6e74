"""Jobs: all that takes long, how far it is, and an end to it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import WithJsonSchema

from service.http.access import ADMIN, READ
from service.http.replies.reply import reply
from service.http.schemas.jobs import JobReply, JobsReply
from service.http.state import ServiceState
from service.numbers import WHOLE
from service.store.jobs import Job, Kind, State

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
LARGEST = 2**63 - 1
Number = Annotated[int, Path(ge=1, le=LARGEST, examples=[7]), WHOLE]
# Left out where there is none: `null` in a URL would be text.
Of = Annotated[str | None, Query(description="only those of a collection"), WithJsonSchema({"type": "string"})]
In = Annotated[list[State], Query(alias="state", description="only those in this state; may be repeated")]
Are = Annotated[list[Kind], Query(alias="kind", description="only those of this kind; may be repeated")]


@router.get("", dependencies=READ, response_model=JobsReply, summary="List jobs")
async def list_all(
    state: ServiceState,
    collection: Of = None,
    states: In = [],  # noqa: B006  # FastAPI copies it
    kinds: Are = [],  # noqa: B006
) -> Response:
    """The newest first; of those of a kind that are over, the newest 200 are known, by every worker, after a restart.

    What is done within a second is not among them.
    """
    return await state.readers.run(
        lambda: reply({"jobs": [job_told(job) for job in state.jobs.all(collection, states, kinds)]})
    )


@router.get("/{job}", dependencies=READ, response_model=JobReply, summary="Get a job")
async def get(job: Number, state: ServiceState) -> Response:
    """How far it is, how fast, and the first of its errors."""
    return await state.readers.run(lambda: reply(job_told(state.jobs.get(job))))


@router.post("/{job}/cancel", dependencies=ADMIN, response_model=JobReply, summary="Cancel a job")
async def cancel(job: Number, state: ServiceState) -> Response:
    """What a re-coding has made until then is discarded, and the collection is as it was.

    Nothing is left of a snapshot; what an import has indexed stays. One that is over, or cannot be ended, is a 409.
    """
    return await state.writers.run(lambda: reply(job_told(state.jobs.cancel(job))))


def queued(job: Job) -> Response:
    """The reply that work was begun, which is told of where its `Location` says."""
    made = reply(job_told(job), 202)
    made.headers["Location"] = f"/v1/jobs/{job.number}"
    return made


def job_told(job: Job) -> dict[str, object]:
    """A job, by names in JSON."""
    return {
        "id": job.number,
        "kind": job.kind,
        "collection": job.collection,
        "about": job.about,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "rate": None if job.rate is None else round(job.rate, 1),
        "errors": {"count": job.errors, "first": job.first_errors},
        "waits_for": job.waits_for,
        "detail": job.detail,
        "result": job.result,
        "created": _moment(job.created),
        "started": _moment(job.started),
        "ended": _moment(job.ended),
    }


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
