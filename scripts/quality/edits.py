"""Edits that make a near-copy of a text: kinds that training may use as views of a text, and kinds that it does not.

The first stand in for what is expected, the second for what was not thought of: nobody knows the edits of their data.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Random = np.random.Generator
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PREFIXES = (
    "Note: ", "From the documentation: ", "Posted by admin on Monday. ", "Re: ", "Read more: ", "Summary. ",
)  # fmt: skip
SUFFIXES = (
    " (see also the manual)", " Share this page.", " All rights reserved.", " Last updated in March.", " [edit]",
)  # fmt: skip
CONTRACTIONS = (
    ("do not", "don't"), ("does not", "doesn't"), ("is not", "isn't"), ("cannot", "can't"), ("are not", "aren't"),
    ("it is", "it's"), ("will not", "won't"), ("that is", "i.e."), ("for example", "e.g."), (" and ", " & "),
    ("characters", "chars"), ("function", "func"), ("number", "no."), ("with ", "w/ "), ("information", "info"),
)  # fmt: skip
SYNONYMS = {
    "return": "give back", "returns": "gives back", "get": "fetch", "create": "make", "remove": "delete",
    "value": "content", "object": "instance", "given": "supplied", "list": "sequence", "file": "document",
    "if": "whenever", "use": "apply", "used": "applied", "call": "invoke", "called": "invoked", "error": "failure",
    "string": "text", "number": "count", "new": "fresh", "all": "every", "set": "assign", "name": "title",
    "function": "routine", "process": "task", "must": "has to", "may": "might", "specified": "stated", "the": "this",
}  # fmt: skip
MISREAD = (("rn", "m"), ("l", "1"), ("o", "0"), ("e", "c"), ("s", "5"), ("i", "l"), ("h", "b"), ("cl", "d"))


@dataclass(frozen=True)
class Edit:
    """One kind of edit, and whether training may have seen its kind."""

    name: str
    trained: bool
    apply: Callable[[str, Random], str]


def typos(text: str, rng: Random) -> str:
    """One letter in 25, at least one, is swapped with the next, doubled, dropped or exchanged."""
    letters = list(text)
    for place in _some(len(letters), 0.04, rng):
        kind = rng.integers(4)
        if kind == 0 and place + 1 < len(letters):
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        elif kind == 1:
            letters[place] *= 2
        elif kind == 2:
            letters[place] = ""
        else:
            letters[place] = LETTERS[rng.integers(len(LETTERS))]
    return "".join(letters)


def drop_words(text: str, rng: Random) -> str:
    """A tenth of the words, at least one, is left out."""
    words = text.split()
    left_out = set(_some(len(words), 0.1, rng)) if len(words) > 1 else set()
    return " ".join(word for place, word in enumerate(words) if place not in left_out)


def swap_words(text: str, rng: Random) -> str:
    """A tenth of the words, at least one, changes places with the next."""
    words = text.split()
    for place in _some(len(words) - 1, 0.1, rng):
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def cut_end(text: str, rng: Random) -> str:
    """The last fifth of the words is cut off."""
    words = text.split()
    return " ".join(words[: max(1, round(0.8 * len(words)))])


def change_case(text: str, rng: Random) -> str:
    """All in capitals, or none."""
    return text.upper() if rng.integers(2) else text.lower()


def change_spaces(text: str, rng: Random) -> str:
    """Spaces become several, or ends of lines."""
    spaces = ("  ", "\n", "\t", " \n ")
    return "".join(spaces[rng.integers(len(spaces))] if each == " " else each for each in text)


def add_boilerplate(text: str, rng: Random) -> str:
    """A phrase of a page's frame before and after the text."""
    return PREFIXES[rng.integers(len(PREFIXES))] + text + SUFFIXES[rng.integers(len(SUFFIXES))]


def use_synonyms(text: str, rng: Random) -> str:
    """Frequent words become others of the same meaning, five at most."""
    words = text.split()
    known = [place for place, word in enumerate(words) if word.lower().strip(".,:;") in SYNONYMS]
    for place in rng.permutation(known)[:5] if known else ():
        word = words[place]
        bare = word.lower().strip(".,:;")
        words[place] = word.lower().replace(bare, SYNONYMS[bare])
    return " ".join(words)


def contract(text: str, rng: Random) -> str:
    """Phrases and words are shortened as in a quick note."""
    for long, short in CONTRACTIONS:
        text = text.replace(long, short)
    return text


def misread(text: str, rng: Random) -> str:
    """One letter in 20 that can be misread is, as by a scanner: `rn` as `m`, `l` as `1`."""
    readable = [place for place in range(len(text)) if any(text.startswith(seen, place) for seen, _ in MISREAD)]
    # From the end, so that a change of length moves no place that is still to come.
    for place in sorted((readable[number] for number in _some(len(readable), 0.05, rng)), reverse=True):
        seen, read = next(each for each in MISREAD if text.startswith(each[0], place))
        text = text[:place] + read + text[place + len(seen) :]
    return text


def strip_punctuation(text: str, rng: Random) -> str:
    """Letters, digits and single spaces remain."""
    return " ".join(re.sub(r"[^\w\s]", " ", text).split())


def add_markup(text: str, rng: Random) -> str:
    """HTML around the text and around a tenth of its words."""
    words = text.split()
    for place in _some(len(words), 0.1, rng):
        words[place] = f"<b>{words[place]}</b>"
    return f'<p class="doc">{" ".join(words)}</p>'


def hyphenate(text: str, rng: Random) -> str:
    """Broken into lines of 40 characters, long words with a hyphen."""
    lines, line = [], ""
    for word in text.split():
        while len(line) + len(word) + 1 > 40:
            room = 38 - len(line)
            if room >= 3 and len(word) - room >= 3:
                lines.append(f"{line} {word[:room]}-".strip())
                word = word[room:]
            elif line:
                lines.append(line)
            else:
                break
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def quote(text: str, rng: Random) -> str:
    """Lines of 60 characters with `> ` before them, as in the reply to a letter."""
    lines, line = [], ">"
    for word in text.split():
        if len(line) + len(word) > 60:
            lines.append(line)
            line = ">"
        line += f" {word}"
    return "\n".join(["On Tuesday, someone wrote:", *lines, line])


def change_numbers(text: str, rng: Random) -> str:
    """Digits change, and a date and a number are added: another version of the same text."""
    changed = re.sub(r"\d", lambda _: str(rng.integers(10)), text)
    return f"{changed} Version {rng.integers(1, 9)}.{rng.integers(20)}, 20{rng.integers(10, 27)}."


EDITS = (
    Edit("typos", True, typos),
    Edit("words dropped", True, drop_words),
    Edit("words swapped", True, swap_words),
    Edit("end cut off", True, cut_end),
    Edit("case", True, change_case),
    Edit("white space", True, change_spaces),
    Edit("boilerplate", True, add_boilerplate),
    Edit("synonyms", False, use_synonyms),
    Edit("contractions", False, contract),
    Edit("misread letters", False, misread),
    Edit("no punctuation", False, strip_punctuation),
    Edit("markup", False, add_markup),
    Edit("hyphenated lines", False, hyphenate),
    Edit("quoted reply", False, quote),
    Edit("numbers and version", False, change_numbers),
)


def _some(number: int, share: float, rng: Random) -> list[int]:
    """Places: a share of so many, at least one where there is any."""
    if number < 1:
        return []
    return [int(place) for place in rng.permutation(number)[: max(1, round(share * number))]]
