"""What calls give: one class for each kind of reply; fields of the service that are newer are passed over."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Index:
    """How a collection is searched: `flat`, `ivf` with its lists and probes, or `auto`: `ivf` `above` so many items."""

    kind: str
    lists: int | None = None
    probes: int | None = None
    above: int | None = None


@dataclass(frozen=True)
class Collection:
    """A collection as it is; `hasher` is None where items bring their own codes, `consistency` but in Milvus."""

    name: str
    bits: int
    hasher: str | None
    count: int
    index: Index
    keep_features: str
    keep_documents: bool = False
    consistency: str | None = None


@dataclass(frozen=True)
class IndexStats:
    """How a collection is searched now; what is of IVF is None until its index is ready."""

    kind: str
    state: str
    lists: int | None = None
    probes: int | None = None
    indexed: int | None = None
    recall: float | None = None
    recall_sample: int | None = None
    above: int | None = None


@dataclass(frozen=True)
class Correlation:
    """Correlations of each two bits by magnitude: the largest with its two bits, and the mean, of a sample of codes."""

    largest: float
    bits: tuple[int, int]
    mean: float
    sample: int


@dataclass(frozen=True)
class Histogram:
    """How many of a sample are at each distance, from 0 to the number of bits."""

    counts: list[int]
    sample: int


@dataclass(frozen=True)
class CodeStats:
    """How good codes are to search by: a share of ones and an entropy for each bit; the rest of samples."""

    share_of_ones: list[float]
    entropy: list[float]
    mean_entropy: float
    distinct: int
    correlation: Correlation | None
    pairs: Histogram | None
    nearest: Histogram | None


@dataclass(frozen=True)
class Stats:
    """A collection in numbers, as the process that answered has it; `codes` where they were asked for."""

    name: str
    count: int
    bits: int
    removed: int
    memory_bytes: int
    index: IndexStats
    codes: CodeStats | None = None


@dataclass(frozen=True)
class Shift:
    """Shares that were compared with those in training: how many differ by more than chance, and the worst."""

    drifted: int
    compared: int
    worst: int
    expected: float
    found: float
    standard_error: float


@dataclass(frozen=True)
class Drift:
    """Whether the latest items differ from what the hasher was trained on; `drifting` is None where nobody knows."""

    verdict: str
    drifting: bool | None
    hasher: str | None
    items: int
    bits: Shift | None
    errors: Shift | None
    error_ratio: float | None


@dataclass(frozen=True)
class Match:
    """An item that was found, its Hamming distance, `similarity` 1 - distance / bits, and what was asked `with_` it.

    `score` is what it was ranked by, if by anything else than the distance.
    """

    id: str
    distance: int
    similarity: float
    payload: dict[str, Any] | None = None
    code: str | None = None
    features: list[float] | None = None
    document: dict[str, Any] | None = None
    score: float | None = None


@dataclass(frozen=True)
class Item:
    """An item as it is kept, with what was asked `with_` it; codes are hex."""

    id: str
    code: str | None = None
    payload: dict[str, Any] | None = None
    features: list[float] | None = None
    document: dict[str, Any] | None = None
    hasher: str | None = None


@dataclass(frozen=True)
class Page:
    """Items in the order of their ids, and the cursor of the next page; None where this is the last."""

    items: list[Item]
    cursor: str | None
    hasher: str | None = None


@dataclass(frozen=True)
class Rejected:
    """A line that was not indexed, counted from 1 in what was sent, and why."""

    line: int
    detail: str


@dataclass(frozen=True)
class Indexed:
    """What became of the `lines` that were sent: how many items are on disk now, and those that were not indexed."""

    indexed: int
    rejected: list[Rejected] = field(default_factory=list)
    lines: int = 0


@dataclass(frozen=True)
class Duplicate:
    """An item of a group: the one before it that it is nearest to, None of the first, and how far that is."""

    id: str
    of: str | None
    distance: int


@dataclass(frozen=True)
class Group:
    """Items that are connected by near-duplicates; groups are numbered from 1."""

    group: int
    items: list[Duplicate]


@dataclass(frozen=True)
class Side:
    """One of two that were compared: its code in hex, and |logit| of each bit that differs, where there are logits."""

    code: str
    magnitudes: list[float] | None = None


@dataclass(frozen=True)
class Comparison:
    """How far apart two are, and the bits that differ: bit j is bit j % 8 of byte j // 8."""

    distance: int
    similarity: float
    bits: int
    differing: list[int]
    a: Side
    b: Side
    hasher: str | None


@dataclass(frozen=True)
class Encoded:
    """Codes in the order of the inputs, and logits where they were asked for."""

    hasher: str
    bits: int
    codes: list[str]
    logits: list[list[float]] | None = None


@dataclass(frozen=True)
class DecodedDocument:
    """What the decoder remembers of a code, by the hasher's modality: `image` is a PNG in base64."""

    vector: list[float] | None = None
    image: str | None = None
    nearest: list[Match] | None = None


@dataclass(frozen=True)
class Decoded:
    """Documents in the order of the codes."""

    hasher: str
    documents: list[DecodedDocument]


@dataclass(frozen=True)
class Model:
    """A hasher as listed; `detail` says why one is not served."""

    reference: str
    served: bool
    modality: str | None = None
    bits: int | None = None
    objective: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was taken: its file's name in the service's `snapshots`, its size, and its SHA-256 in hex."""

    snapshot: str
    items: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ItemError:
    """An item that a job could not work on, by its id, or by its line of an import, and why."""

    id: str | None
    detail: str
    line: int | None = None


@dataclass(frozen=True)
class Errors:
    """Items that a job could not work on: how many, and the first ten."""

    count: int
    first: list[ItemError]


@dataclass(frozen=True)
class Job:
    """Long work: `queued`, `running`, `succeeded`, `failed`, `cancelled` or `interrupted`; `rate` is items a second.

    `total` is None where nobody knows it; `result` is what it made, where that is told.
    """

    id: int
    kind: str
    collection: str
    about: str
    state: str
    done: int
    total: int | None
    rate: float | None
    errors: Errors
    waits_for: str | None
    detail: str | None
    created: str
    started: str | None
    ended: str | None
    result: dict[str, Any] | None = None


@dataclass(frozen=True)
class Recoding:
    """A re-coding from one hasher to another: `coding`, `ready` or `switched`; `job` is the id of what does it."""

    collection: str
    old: str
    new: str
    stage: str
    switch: str
    job: int


@dataclass(frozen=True)
class Version:
    """The versions of the service and of what it is built on."""

    version: str
    python: str
    faiss: str
    onnxruntime: str
    sqlite: str
