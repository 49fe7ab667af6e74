"""Tokenizers from files that anybody may have prepared: bounded in size, and in how much longer they make a text."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

# One thread a call: the callers are the threads.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

from models.errors import InvalidInputError, is_fault

TOKENIZER = "tokenizer.json"
# The interpreter's lock is held while it is loaded. Those of 260,000 tokens in many languages have 33 MB.
MOST_BYTES = 2**26
# What the characters of one may become by Unicode's own mappings, which cannot be repeated.
UNICODE_GROWTH = 18
MOST_GROWTH = 10**9
# Special tokens that are put round a text: truncation takes each of a template for one, and it may stand for a million.
MOST_SPECIAL_TOKENS = 64


def load_tokenizer(content: bytes) -> tuple[Tokenizer, int]:
    """A tokenizer without padding and truncation, and how many times as long it may make a text.

    1 is as usual: what Unicode's mappings add is not counted. A chain of replacements may double a text each.
    Raises InvalidInputError for a file that is none.
    """
    if len(content) > MOST_BYTES:
        raise InvalidInputError(f"expected {TOKENIZER} to have at most {MOST_BYTES} bytes, got {len(content)}")
    try:
        tokenizer = Tokenizer.from_str(content.decode())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        steps = list(_all_steps(tokenizer))
        added = sum(map(_added, steps))
        growth = _growth(steps)
    except BaseException as error:
        if not is_fault(error):
            raise
        raise InvalidInputError(f"expected {TOKENIZER} to be a tokenizer: {str(error)[:300]}") from None
    if added > MOST_SPECIAL_TOKENS:
        raise InvalidInputError(
            f"expected {TOKENIZER} to add at most {MOST_SPECIAL_TOKENS} special tokens to a text, got {added}"
        )
    return tokenizer, growth


def _all_steps(tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor):
        if part is not None:
            yield from _steps(json.loads(part.__getstate__()))


def _growth(steps: Sequence[dict[str, Any]]) -> int:
    growth: float = 1.0
    for step in steps:
        growth = min(MOST_GROWTH, growth * max(1.0, _factor(step)))
    # Each makes bytes into characters, which are up to two bytes for the next. One post-processor has the name, too.
    byte_levels = sum(step.get("type") == "ByteLevel" for step in steps)
    return int(min(MOST_GROWTH, growth * float(2 ** min(64, max(0, byte_levels - 2)))))


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """The steps of a part of a tokenizer, those in sequences included."""
    if not isinstance(part, dict):
        return
    inner = [each for key in ("normalizers", "pretokenizers", "processors") for each in part.get(key) or ()]
    if not inner:
        yield part
    for each in inner:
        yield from _steps(each)


def _factor(step: dict[str, Any]) -> float:
    """How many times as long one step may make a text."""
    match step.get("type"):
        case "Replace":
            content, replaced = str(step["content"]), str(step["pattern"].get("String", ""))
            # A regular expression may match between any two characters.
            return len(content) / len(replaced) if replaced else len(content) + 1.0
        case "Prepend":
            return float(len(step["prepend"]))
        case "Precompiled":
            charsmap = base64.b64decode(step["precompiled_charsmap"])
            texts = charsmap[4 + int.from_bytes(charsmap[:4], "little") :]
            return max(len(text.decode(errors="replace")) for text in texts.split(b"\0")) / UNICODE_GROWTH
        case "TemplateProcessing":
            # Of a text alone: how often it comes.
            return float(sum("Sequence" in piece for piece in step["single"]))
    return 1.0


def _added(step: dict[str, Any]) -> int:
    """How many special tokens a step puts round a text alone."""
    if step.get("type") != "TemplateProcessing":
        return 0
    tokens = step["special_tokens"]
    names = [piece["SpecialToken"]["id"] for piece in step["single"] if "SpecialToken" in piece]
    return sum(len(tokens[name]["ids"]) for name in names)
