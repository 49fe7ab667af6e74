"""Puts the report together."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from scripts.report.bits import bits_section, distances_section
from scripts.report.folder import PAGE, check_folder, write_files
from scripts.report.lengths import lengths_section
from scripts.report.material import Material, draw_base, draw_queries
from scripts.report.neighbours import neighbours_section
from scripts.report.page import build_page
from scripts.report.parts import Picture, Section
from scripts.report.reconstructions import reconstructions_section
from scripts.report.summary import Head, summary
from scripts.report.tangents import tangents_section
from scripts.report.training import training_section


def write_report(folder: Path, material: Material) -> Path:
    """Write `index.html`, which holds all that it shows, and its PNGs once more as files; returns the page's path.

    Raises InvalidInputError where the folder holds anything but an older report, which is written over.
    """
    check_folder(folder)
    base, queries = draw_base(material), draw_queries(material)
    head: Head = summary(material, datetime.now(UTC))
    # First what a reader decides by: how good it is in words, and what searches find. Last what explains it.
    sections = [
        Section("verdict", "Verdict", head.quality.words, []),
        neighbours_section(material, base, queries),
        replace(head.quality, words="The verdict in figures."),
        reconstructions_section(material, base, queries),
        tangents_section(material, queries),
        lengths_section(material.by_bits),
        distances_section(base, queries, len(material.split.base)),
        bits_section(base),
        training_section(material.trained.history),
    ]
    pictures = {part.file: part.png for section in sections for part in section.parts if isinstance(part, Picture)}
    write_files(folder, build_page(head, sections), pictures)
    return folder / PAGE
