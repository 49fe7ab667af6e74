"""Features of text from a pretrained encoder: an ONNX graph with its tokenizer (Sentence-Transformers).

A text's tokens depend on the text alone, and texts share a run of the graph only if they have equally many tokens.
So nothing is padded: padding costs time, and it changes the last digits of what a graph computes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Encoding

from models.errors import InvalidInputError, is_fault
from models.features.base import CardSettings, Dimension, Document, Extracted, Files, Source, go_on, parse_settings
from models.features.encoder_graph import MODEL, EncoderGraph, finite_row
from models.features.normalisation import Normalisation
from models.features.text import TextFeatures
from models.features.tokenizing import TOKENIZER, load_tokenizer

# Of texts of equal length, as many as have so many tokens together are one run; more gain nothing.
TOKENS_A_RUN = 256
TEXTS_A_STEP = 512
MOST_TOKENS = 8192
LONGEST_PREFIX = 1000
OUTPUTS = ("sentence_embedding", "last_hidden_state", "token_embeddings")
INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
# Lengths at which runs of several texts are compared with runs of one: when a hasher is made, and when it is loaded.
COMPARED_TOKENS = (2, 5, 16, 37, 101)
COMPARED_AT_LOAD = (5, 37)

Pooling = Literal["mean", "cls", "max", "last", "mean_sqrt_length", "weighted_mean"]
Prefix = Annotated[str, Field(max_length=LONGEST_PREFIX)]


class TextEncoderSettings(CardSettings):
    """How a graph's output becomes a row.

    `tokens` is the maximal length, special tokens included. `pooling` is empty where the graph itself gives one row a
    text; several are put side by side. `batches` says that texts may share a run of the graph.
    """

    extractor: Literal["encoder"] = "encoder"
    modality: Literal["text"] = "text"
    dimension: Dimension
    tokens: Annotated[int, Field(ge=2, le=MOST_TOKENS)]
    pooling: Annotated[list[Pooling], Field(max_length=6)]
    unit: bool
    lower_case: bool
    query_prefix: Prefix
    document_prefix: Prefix
    batches: bool
    normalisation: Normalisation
    source: Source


class TextEncoder(TextFeatures):
    """Rows of a pretrained encoder; queries and documents may have prefixes of their own."""

    name = "encoder"

    def __init__(self, model: bytes, tokenizer: bytes, settings: TextEncoderSettings) -> None:
        """Raises InvalidInputError where graph, tokenizer and settings do not fit together."""
        super().__init__(settings.normalisation)
        self._files = {MODEL: model, TOKENIZER: tokenizer}
        self._settings = settings
        self.dimension = settings.dimension
        self._graph = EncoderGraph(model, OUTPUTS)
        if unknown := sorted(self._graph.inputs.keys() - INPUTS):
            raise InvalidInputError(f"expected {MODEL} to take {', '.join(sorted(INPUTS))}, got {', '.join(unknown)}")
        if "input_ids" not in self._graph.inputs:
            raise InvalidInputError(f"expected {MODEL} to take input_ids, got {', '.join(self._graph.inputs)}")
        self._tokenizer, self.growth = load_tokenizer(tokenizer)
        self._tokenizer.enable_truncation(settings.tokens)
        width = len(self._rows_of_tokens(self._sample(2, 1))[0])
        if width != self.dimension:
            raise InvalidInputError(f"features/dimension: expected {width}, as {MODEL} gives, got {self.dimension}")
        # Also where it is loaded: kernels differ from one processor to the next.
        self._batches = settings.batches and self.rows_agree(COMPARED_AT_LOAD)

    @classmethod
    def measured(cls, model: bytes, tokenizer: bytes, settings: Mapping[str, Any]) -> "TextEncoder":
        """A new extractor: `dimension` and `batches` are found by running the graph.

        Raises InvalidInputError where it does not give the same row for the same text each time.
        """
        graph = EncoderGraph(model, OUTPUTS)
        ids = np.ones((1, 2), np.int64)
        output = graph.run({name: ids if name != "position_ids" else np.arange(2)[None] for name in graph.inputs})
        width = output.shape[-1] * max(1, len(settings["pooling"]) if output.ndim == 3 else 1)
        pooling = settings["pooling"] if output.ndim == 3 else []
        found = parse_settings(
            TextEncoderSettings, {**settings, "dimension": width, "pooling": pooling, "batches": False}
        )
        alone = cls(model, tokenizer, found)
        some = alone._sample(COMPARED_TOKENS[2], 1)
        if not np.array_equal(alone._rows_of_tokens(some), alone._rows_of_tokens(some)):
            raise InvalidInputError(f"expected {MODEL} to give the same row for the same text, it gives others")
        return cls(model, tokenizer, found.model_copy(update={"batches": alone.rows_agree(COMPARED_TOKENS)}))

    @classmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> "TextEncoder":
        """Restore from a card's settings and the files of its folder."""
        for name in (MODEL, TOKENIZER):
            if name not in files:
                raise InvalidInputError(f"expected the file {name} of a text encoder, found none")
        return cls(files[MODEL], files[TOKENIZER], parse_settings(TextEncoderSettings, settings))

    def row(self, document: Document, query: bool = False) -> NDArray[np.float32]:
        """Features (dimension,) float32 of one text."""
        row: NDArray[np.float32] = self._rows_of_tokens([self._encoded(document, query)])[0]
        return row

    @property
    def step(self) -> int:
        """How many texts are best extracted at a time: among more, more are of equal length."""
        return TEXTS_A_STEP

    def rows(self, documents: Sequence[Document], query: bool = False, going: Callable[[], None] = go_on) -> Extracted:
        """Features of many texts, the same rows as one at a time; those of equally many tokens share runs."""
        rows = np.zeros((len(documents), self.dimension), np.float32)
        faults: dict[int, InvalidInputError] = {}
        by_length: dict[int, list[tuple[int, _Tokens]]] = {}
        for place, document in enumerate(documents):
            going()
            try:
                encoded = self._encoded(document, query)
                # Not kept itself: it holds also what was cut off, hundreds of bytes a character.
                tokens = _Tokens(encoded.ids, encoded.type_ids)
                by_length.setdefault(len(tokens.ids), []).append((place, tokens))
            except InvalidInputError as error:
                faults[place] = error
        for length, texts in sorted(by_length.items()):
            size = max(1, TOKENS_A_RUN // length) if self._batches else 1
            for start in range(0, len(texts), size):
                going()
                self._run(texts[start : start + size], rows, faults)
        return Extracted(rows, faults)

    def check(self, document: Document) -> None:
        """Raise InvalidInputError where the text cannot be used; does not run the graph."""
        self._encoded(document, False)

    def settings(self) -> dict[str, Any]:
        """Everything but the files."""
        return self._settings.model_dump()

    def files(self) -> dict[str, bytes]:
        """Graph and tokenizer."""
        return self._files

    def rows_agree(self, lengths: Sequence[int]) -> bool:
        """Whether texts of these numbers of tokens get the same bytes in one run as one at a time, on this processor.

        Dynamic quantisation, for one, scales by the largest number of all texts in a run.
        """
        for length in lengths:
            texts = self._sample(length, max(2, TOKENS_A_RUN // length))
            alone = np.stack([self._rows_of_tokens([text])[0] for text in texts])
            for size in (2, len(texts)):
                if not np.array_equal(self._rows_of_tokens(texts[:size]), alone[:size]):
                    return False
        return True

    def _sample(self, length: int, number: int) -> list["_Tokens"]:
        """So many texts of so many tokens, drawn at random."""
        ids = np.random.default_rng(length).integers(0, self._tokenizer.get_vocab_size(), (number, length))
        return [_Tokens(row.tolist(), [0] * length) for row in ids]

    def _run(
        self, texts: "list[tuple[int, _Tokens]]", rows: NDArray[np.float32], faults: dict[int, InvalidInputError]
    ) -> None:
        try:
            rows[[place for place, _ in texts]] = self._rows_of_tokens([tokens for _, tokens in texts])
        except InvalidInputError as error:
            if len(texts) == 1:
                faults[texts[0][0]] = error
                return
            # One of them is at fault: which one shows when each is run by itself.
            for text in texts:
                self._run([text], rows, faults)

    def _encoded(self, document: Document, query: bool) -> Encoding:
        prefix = self._settings.query_prefix if query else self._settings.document_prefix
        text = prefix + self.text(document)
        try:
            # As a batch of one: `encode` would hold the interpreter's lock meanwhile.
            (encoded,) = self._tokenizer.encode_batch([text.lower() if self._settings.lower_case else text])
        except BaseException as error:
            if not is_fault(error):
                raise
            raise InvalidInputError(f"expected a text that can be tokenized: {type(error).__name__}") from None
        if not encoded.ids:
            raise InvalidInputError("expected a text with at least one token, got none")
        return encoded

    def _rows_of_tokens(self, texts: Sequence["Encoding | _Tokens"]) -> NDArray[np.float32]:
        """Rows (n, dimension) float32 of n texts of equally many tokens, by one run of the graph."""
        ids = np.array([text.ids for text in texts], np.int64)
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.array([text.type_ids for text in texts], np.int64),
            "position_ids": np.broadcast_to(np.arange(ids.shape[1]), ids.shape),
        }
        output = self._graph.run(feeds)
        wanted = 3 if self._settings.pooling else 2
        if output.ndim != wanted or len(output) != len(texts):
            raise InvalidInputError(
                f"expected an output of {wanted} axes from {MODEL}, with one entry a text, got shape {output.shape}"
            )
        return np.stack([finite_row(self._pooled(each), self._settings.unit) for each in output])

    def _pooled(self, output: NDArray[np.float32]) -> NDArray[np.float64]:
        """One row (dimension,) of a text's output: itself (d,), or its tokens (tokens, d) pooled."""
        numbers = output.astype(np.float64)
        if numbers.ndim == 1:
            return numbers
        return np.concatenate([_POOLED[each](numbers) for each in self._settings.pooling])


class _Tokens:
    def __init__(self, ids: list[int], type_ids: list[int]) -> None:
        self.ids, self.type_ids = ids, type_ids


def _weighted_mean(tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.arange(1, len(tokens) + 1, dtype=np.float64)[:, None]
    mean: NDArray[np.float64] = (tokens * weights).sum(axis=0) / weights.sum()
    return mean


# Each from (tokens, d) to (d,), as Sentence-Transformers defines them.
_POOLED = {
    "mean": lambda tokens: tokens.mean(axis=0),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.max(axis=0),
    "last": lambda tokens: tokens[-1],
    "mean_sqrt_length": lambda tokens: tokens.sum(axis=0) / np.sqrt(len(tokens)),
    "weighted_mean": _weighted_mean,
}
