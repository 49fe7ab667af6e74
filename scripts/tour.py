"""Search the collections `digits` and `pydocs` that scripts/quickstart made, and show what came back."""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.features import Document
from scripts.connecting import add_service_option, connect
from scripts.console import run
from scripts.datasets import open_dataset
from scripts.documents import in_json
from service.client import Client

QUESTIONS = ("copy a whole directory tree", "an event scheduler", "how do I run something later")
DIGITS = ("digit-0019", "digit-0104", "digit-1200")
MATCHES = 4
# From ink to paper; a pixel is two characters wide, for characters are twice as high as wide.
SHADES = "  ░░▒▒▓▓██"


def main() -> None:
    """Three questions to the documentation of Python, three pictures to the handwritten digits."""
    parser = argparse.ArgumentParser(prog="python -m scripts.tour", description=__doc__)
    add_service_option(parser)
    arguments = parser.parse_args()
    console = Console(width=100, highlight=False)
    with connect(arguments.url) as client:
        for question in QUESTIONS:
            console.print(answers(client, question))
        pictures = {item.id: item.document for item in open_dataset("digits").walk()}
        for name in DIGITS:
            console.print(lookalikes(client, pictures, name))


def answers(client: Client, question: str) -> Table:
    """The question, and the docstrings that are nearest to it with their Hamming distances."""
    table = Table("distance", "docstring", title=f'text: "{question}"', title_justify="left", width=100)
    for match in client.search("pydocs", {"text": question}, limit=MATCHES):
        table.add_row(str(match.distance), Text((match.payload or {})["text"], overflow="ellipsis", no_wrap=True))
    return table


def lookalikes(client: Client, pictures: dict[str, Document], name: str) -> Table:
    """A picture, sent as base64, and the pictures that are nearest to it: the first is the picture itself."""
    found = client.search("digits", {"image": in_json(pictures[name])}, limit=MATCHES)
    headings = [f"distance {match.distance}\nlabel {(match.payload or {})['label']}" for match in found]
    table = Table("query", *headings, title=f"image: {name}", title_justify="left")
    table.add_row(*(draw(np.asarray(pictures[shown])) for shown in (name, *(match.id for match in found))))
    return table


def draw(picture: np.ndarray) -> str:
    """A grey picture, `(h, w)` uint8, in characters."""
    shades = picture.astype(int) * (len(SHADES) - 1) // 255
    return "\n".join("".join(SHADES[shade] * 2 for shade in row) for row in shades)


if __name__ == "__main__":
    run(main)
