"""`wordnet`: the 117,659 glosses of WordNet 3.0 (Fellbaum 1998), as Debian's package `wordnet-base` holds them."""

import re
from collections.abc import Iterator
from pathlib import Path

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item

DEBIAN_FOLDER = Path("/usr/share/wordnet")
PARTS = ("noun", "verb", "adj", "adv")

# lexnames(5WN): the lexicographers' files, in the order of their numbers.
FILES = (
    "adj.all", "adj.pert", "adv.all",
    "noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute", "noun.body", "noun.cognition",
    "noun.communication", "noun.event", "noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive",
    "noun.object", "noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process",
    "noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time",
    "verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition", "verb.consumption",
    "verb.contact", "verb.creation", "verb.emotion", "verb.motion", "verb.perception", "verb.possession",
    "verb.social", "verb.stative", "verb.weather",
    "adj.ppl",
)  # fmt: skip

LICENCE = "  "  # starts each line of the notice at the head of a file
SYNSET = re.compile(r"(\d{8}) (\d\d) [nvasr] [^|]* \| (.*)")
PARTS_OF_GLOSS = re.compile(r'(?:"[^"]*"?|[^";])+')  # up to a semicolon that is not inside quotation marks


def load(folder: Path) -> Dataset:
    """One item for each synset whose gloss is not empty: the gloss without examples, labelled by lexicographer file."""
    items = [item for part in PARTS for item in _read(folder, part)]
    return Dataset("wordnet", "text", len(items), lambda: iter(items))


def definition(gloss: str) -> str:
    """A gloss without the parts that are quoted examples: `a way; "by air"; a road` is `a way; a road`."""
    parts = (part.strip() for part in PARTS_OF_GLOSS.findall(gloss))
    return "; ".join(part for part in parts if part and not part.startswith('"'))


def _read(folder: Path, part: str) -> Iterator[Item]:
    path = folder / f"data.{part}"
    if not path.is_file():
        raise InvalidInputError(
            f"expected data.{part} in {folder}, found none; on Debian: apt install wordnet-base, elsewhere give the "
            f"folder of {', '.join(f'data.{each}' for each in PARTS)} with --data-dir"
        )
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.startswith(LICENCE):
                continue
            fields = SYNSET.match(line)
            if fields is None or int(fields[2]) >= len(FILES):
                raise InvalidInputError(f"{path}, line {number}: expected a synset and its gloss, got {line[:40]!r}")
            if text := definition(fields[3]):
                label = FILES[int(fields[2])]
                yield Item(f"{part}-{fields[1]}", text, label, {"label": label, "text": text})
