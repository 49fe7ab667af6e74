"""Near-copies of texts by codes alone: removed at one distance, and found at the first place.

A third of the texts trains, a third chooses each method's threshold, and a third is measured: nothing that is measured
was seen before. Into the second and the third, edited copies of some of their texts are mixed. Pairs that are
near-copies by nature count as right; their shingles say which they are (scripts/quality/natural.py).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import hamming, pack
from models.evaluation.baselines import Encode, baselines
from models.evaluation.metrics import precision_at, tie_groups
from models.features import Features
from models.itq import principal_directions
from scripts.quality import rivals
from scripts.quality.edits import EDITS, Edit
from scripts.quality.learning import DUPLICATES, LEARNED, Learner, near_copy_features
from scripts.quality.natural import Pairs, near_copies
from scripts.quality.plan import Plan
from scripts.quality.removal import Groups, Removal, choose, judge, sweep
from scripts.quality.results import Cell, Figures
from scripts.quality.sources import extract, read_texts

DATA = ("docstrings", "manpages")
NOT_INSTALLED = "not installed: pip install -c constraints.txt '.[jobs]'"
COSINES = [1 - step / 100 for step in range(1, 51)]


@dataclass(frozen=True)
class Corpus:
    """Texts and their features (n, d); which of them are injected copies of which, by which edit; all true pairs.

    `injected` (c, 2) are places of original and copy, `true` (m, 2) these and the natural ones.
    """

    texts: list[str]
    rows: NDArray[np.float32]
    injected: Pairs
    edits: list[Edit]
    true: Pairs


@dataclass(frozen=True)
class Method:
    """A way to find near-copies: distances (n, n) within a corpus, and groups at its thresholds, strictest first."""

    name: str
    bits: int
    distances: Callable[[Corpus], NDArray[np.floating]]
    groups: Callable[[Corpus, NDArray[np.floating]], Iterator[tuple[float, Groups]]]
    note: str = ""
    seconds: float = 0.0


def measure(part: str, plan: Plan) -> Iterator[list[Figures]]:
    """The cells of one corpus, a seed each."""
    texts = read_texts(part.partition("/")[2])
    for seed in range(plan.seeds):
        cell = Cell(part, len(texts), None, seed)
        if plan.wants(cell):
            yield [_figures(cell, method, corpora) for method, corpora in _methods(texts, plan, seed)] + [
                Figures(cell, name, 0, {}, NOT_INSTALLED)
                for name, package in (("MinHash", "datasketch"), ("semhash, same vectors", "semhash"))
                if not rivals.installed(package)
            ]


def mix_copies(texts: list[str], number: int, features: Features, rng: np.random.Generator) -> Corpus:
    """A corpus of texts with so many edited copies mixed in, each of a text of its own; the edits take turns."""
    copies: list[str] = []
    originals: list[int] = []
    edits: list[Edit] = []
    for place in rng.permutation(len(texts)):
        if len(copies) == number:
            break
        # The edits with the fewest copies first; one that finds nothing to change in this text is passed over.
        for edit in sorted(EDITS, key=edits.count):
            copy = edit.apply(texts[place], rng)
            if copy.strip() and copy != texts[place]:
                originals.append(int(place))
                copies.append(copy)
                edits.append(edit)
                break
    order = rng.permutation(len(texts) + len(copies))
    mixed = [(texts + copies)[place] for place in order]
    places = np.argsort(order)
    injected = np.column_stack([places[originals], places[len(texts) :]]).astype(np.intp)
    return Corpus(mixed, extract(features, mixed), injected, edits, np.concatenate([injected, near_copies(mixed)]))


def _methods(texts: list[str], plan: Plan, seed: int) -> Iterator[tuple[Method, tuple[Corpus, Corpus]]]:
    """Every method, with the corpora that its threshold is chosen on and that it is measured on."""
    rng = np.random.default_rng(seed)
    thirds = np.array_split(rng.permutation(len(texts)), 3)
    train, chosen_on, measured_on = ([texts[place] for place in third] for third in thirds)
    number = min(plan.copies, len(measured_on) // 4)
    features = near_copy_features()
    corpora = (mix_copies(chosen_on, number, features, rng), mix_copies(measured_on, number, features, rng))
    rows = extract(features, train)
    learner, principal = Learner(features, rows, seed, DUPLICATES, train), principal_directions(rows)
    for bits in plan.bits:
        learned = learner.learn(bits)
        yield _by_codes(LEARNED, bits, learned.encode, learned.kept, learned.seconds), corpora
        for name, encode in baselines(rows, bits, principal).items():
            yield _by_codes(name, bits, encode), corpora
        if rivals.installed("datasketch"):
            yield _by_minhash_bits(bits), corpora
    if rivals.installed("datasketch"):
        yield _by_minhash(), corpora
    if rivals.installed("semhash"):
        yield _by_semhash(rows.shape[1]), corpora


def _by_codes(name: str, bits: int, encode: Encode, note: str = "", seconds: float = 0.0) -> Method:
    def distances(corpus: Corpus) -> NDArray[np.floating]:
        codes = pack(encode(corpus.rows))
        return hamming(codes, codes).astype(np.float32)

    return Method(
        name, bits, distances, _sweeper([float(distance) for distance in range(bits // 2 + 1)]), note, seconds
    )


def _by_minhash_bits(bits: int) -> Method:
    def distances(corpus: Corpus) -> NDArray[np.floating]:
        codes = rivals.one_bit_minhash(rivals.minhash(corpus.texts, bits))
        return hamming(codes, codes).astype(np.float32)

    thresholds = [float(distance) for distance in range(bits // 2 + 1)]
    return Method("MinHash, a bit of each", bits, distances, _sweeper(thresholds))


def _by_minhash() -> Method:
    def distances(corpus: Corpus) -> NDArray[np.floating]:
        signatures = rivals.minhash(corpus.texts)
        return rivals.minhash_distances(signatures, signatures)

    thresholds = [step / rivals.PERMUTATIONS for step in range(rivals.PERMUTATIONS)]
    return Method("MinHash", 32 * rivals.PERMUTATIONS, distances, _sweeper(thresholds))


def _by_semhash(dimension: int) -> Method:
    def groups(corpus: Corpus, distances: NDArray[np.floating]) -> Iterator[tuple[float, Groups]]:
        return ((1 - cosine, found) for cosine, found in rivals.semhash_groups(corpus.rows, COSINES))

    def distances(corpus: Corpus) -> NDArray[np.floating]:
        return rivals.cosine_distances(corpus.rows, corpus.rows)

    return Method("semhash, same vectors", 32 * dimension, distances, groups)


def _sweeper(thresholds: list[float]) -> Callable[[Corpus, NDArray[np.floating]], Iterator[tuple[float, Groups]]]:
    def groups(corpus: Corpus, distances: NDArray[np.floating]) -> Iterator[tuple[float, Groups]]:
        pairs, apart = rivals.pairs_within(distances)
        near = apart <= max(thresholds)
        return sweep(len(distances), pairs[near], apart[near], thresholds)

    return groups


def _figures(cell: Cell, method: Method, corpora: tuple[Corpus, Corpus]) -> Figures:
    """Choose the threshold on the first corpus, measure on the second."""
    chosen_on, measured_on = corpora
    started = time.monotonic()
    curve = _curve(method, chosen_on, method.distances(chosen_on))
    threshold = choose(list(curve.items()))
    distances = method.distances(measured_on)
    removals = _curve(method, measured_on, distances)
    # A sweep ends where groups become half of the corpus; past its end nothing better comes.
    removal = removals[max(each for each in removals if each <= threshold)]
    values = {"recall": removal.recall, "precision": removal.precision, "threshold": threshold}
    values["F1"] = 2 * removal.recall * removal.precision / (removal.recall + removal.precision or 1.0)
    values |= {"removed": float(removal.removed), "largest group": float(removal.largest)}
    first = first_places(distances, measured_on)
    for name, shares in (("found", removal.found.astype(float)), ("first", first)):
        for trained in (True, False):
            kind = [edit.trained == trained for edit in measured_on.edits]
            values[f"{name}, {'trained' if trained else 'other'} edits"] = float(shares[kind].mean())
        for edit in dict.fromkeys(measured_on.edits):
            values[f"{name}: {edit.name}"] = float(shares[[each == edit for each in measured_on.edits]].mean())
    values["first"] = float(first.mean())
    seconds = method.seconds or time.monotonic() - started
    return Figures(cell, method.name, method.bits, values, method.note, seconds)


def _curve(method: Method, corpus: Corpus, distances: NDArray[np.floating]) -> dict[float, Removal]:
    return {
        threshold: judge(groups, corpus.true, corpus.injected) for threshold, groups in method.groups(corpus, distances)
    }


def first_places(distances: NDArray[np.floating], corpus: Corpus) -> NDArray[np.float64]:
    """For each injected copy, how probable it is (c,) that a true partner comes first among all other texts.

    Of texts at the same distance, each comes first equally often.
    """
    partners = np.zeros(distances.shape, bool)
    partners[corpus.true[:, 0], corpus.true[:, 1]] = partners[corpus.true[:, 1], corpus.true[:, 0]] = True
    shares = np.empty(len(corpus.injected))
    for number, copy in enumerate(corpus.injected[:, 1]):
        others = np.arange(len(distances)) != copy
        shares[number] = precision_at(tie_groups(distances[copy, others], partners[copy, others]), 1)
    return shares
