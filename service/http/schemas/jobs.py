"""Jobs as they are told."""

from typing import Any

from pydantic import BaseModel, Field

from service.store.jobs import Kind, State


class ItemErrorReply(BaseModel):
    """An item that a job could not work on."""

    id: str | None = Field(examples=["a1"], description="null where the line is all that is known of it")
    line: int | None = Field(examples=[None], description="of an import, counted from 1")
    detail: str = Field(
        examples=["expected a text with at least one known word, got none"],
        description="what was expected and what came",
    )


class ErrorsReply(BaseModel):
    """Items that a job could not work on: how many, and the first ten."""

    count: int = Field(examples=[0], description="of all of them")
    first: list[ItemErrorReply] = Field(examples=[[]], description="at most ten")


class JobReply(BaseModel):
    """Long work: how far it is, and what became of it. After a restart it goes on, or says that it was interrupted."""

    id: int = Field(examples=[7], description="by which it is asked for, and cancelled")
    kind: Kind = Field(
        examples=["recode"],
        description="`recode` codes items anew, `discard` deletes codes that are wanted no more: these go on after a "
        "restart, in any process. The others are of one process, and `interrupted` when it ends: `build` makes an IVF "
        "index in its memory, `snapshot` writes a collection into a file, `import` takes in NDJSON, `duplicates` finds "
        "near-duplicates, `delete` deletes by a filter.",
    )
    collection: str = Field(examples=["pydocs"], description="its name when the job was asked for")
    about: str = Field(
        examples=["from pydocs@1 to pydocs@2"],
        description="what of it is done: from which hasher to which, within how many bits, how many lists",
    )
    state: State = Field(
        examples=["running"], description="`interrupted`: its process ended or its client went away, and nobody goes on"
    )
    done: int = Field(examples=[1500], description="items, those with errors among them")
    total: int | None = Field(
        examples=[5721], description="items when the job was asked for; null where nobody knows, as of a stream"
    )
    rate: float | None = Field(examples=[3180.5], description="items a second of work; null before the first")
    errors: ErrorsReply
    waits_for: str | None = Field(examples=[None], description="another job, or what is in its way for now")
    detail: str | None = Field(examples=[None], description="how it ended, where there is anything to say")
    result: dict[str, Any] | None = Field(
        examples=[None], description="of a snapshot, what its request is answered with: its file, its size, its SHA-256"
    )
    created: str = Field(examples=["2026-01-02T03:04:05.678Z"], description="when it was asked for, in UTC")
    started: str | None = Field(
        examples=["2026-01-02T03:04:05.912Z"], description="when work on it began, in UTC; null before"
    )
    ended: str | None = Field(examples=[None], description="when it was over, in UTC; null before")


class JobsReply(BaseModel):
    """Jobs, the newest first; of those of a kind that are over, the newest 200 are known."""

    jobs: list[JobReply] = Field(description="of this and all other processes")
