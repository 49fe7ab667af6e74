import base64
import io
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.codes import pack
from models.errors import InvalidInputError
from models.evaluation.baselines import baselines
from models.evaluation.metrics import bit_correlation, share_of_ones
from models.evaluation.quality import Evaluation, Quality, evaluate
from models.evaluation.split import split
from models.features import Features
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import VectorFeatures
from models.training.config import Config
from models.training.prepare import draw_sample
from models.training.terms import TERMS
from scripts.console import HEADINGS, quality_cells
from scripts.datasets import Dataset, Item, open_dataset
from scripts.report.folder import check_folder, write_files
from scripts.report.lengths import lengths_section
from scripts.report.material import Material, draw_base, draw_queries, pick_shown, read_items
from scripts.report.measures import (
    cosines,
    pair_distances,
    smoothed,
    variance_explained,
)
from scripts.report.neighbours import neighbours_section
from scripts.report.parts import Table, plain
from scripts.report.pictures import direction_tile, grid, item_tile
from scripts.report.report import write_report
from scripts.report.tangents import feature_directions
from scripts.report.training import MEANINGS
from scripts.rows import read_rows
from scripts.training import make_hasher

HOSTILE = "<script>alert('x')</script> & \"$x^2$\" \ud800 \x00 字"
SECTIONS = (
    "verdict", "neighbours", "quality", "reconstructions", "tangents", "lengths", "distances", "bits", "training",
)  # fmt: skip
CHARTS = {"loss-total.png", "health.png", "balance.png", "correlation.png", "distances.png", "cosines.png",
          "spectrum.png", "bits-recall-10-at-100.png"}  # fmt: skip
DRAWN = {"neighbours.png", "reconstructions.png", "tangents.png"}
BY_LABEL = {"bits-precision-at-10.png", "bits-precision-at-100.png", "bits-mean-average-precision.png"}

torch.set_num_threads(1)


def make(data: Dataset, features: Features) -> Material:
    rows, labels = read_rows(data, features)
    parts = split(rows, labels, 0.2, 100)
    config = Config(epochs=1, bits=16, hidden=16)
    made = make_hasher(f"{data.name}@1", features, draw_sample(parts.base, config), config)
    table = evaluate(Evaluation(parts), {"hashing": made.hasher.logits, **baselines(parts.base, 16)})
    return Material(made.hasher, made.trained, parts, data, table, {16: table, 32: table}, 61.4)


@pytest.fixture(scope="module")
def digits() -> Material:
    return make(open_dataset("digits"), PixelFeatures(8, 8))


@pytest.fixture(scope="module")
def vectors() -> Material:
    rows = np.random.default_rng(0).standard_normal((120, 24)).astype(np.float32)
    items = [Item(f"{HOSTILE}{number}", row) for number, row in enumerate(rows)]
    return make(Dataset(HOSTILE, "vector", len(items), lambda: iter(items)), VectorFeatures(24))


@pytest.fixture(scope="module")
def texts() -> Material:
    words = ("river", "stone", "copper", "window", "engine", "garden", "paper", "winter", "signal", "bridge")
    chosen = np.random.default_rng(0).choice(words, (150, 4))
    items = [
        Item(f"t{number}", f"{' '.join(row)} <script>{number}</script>", row[0]) for number, row in enumerate(chosen)
    ]
    return make(Dataset("words", "text", len(items), lambda: iter(items)), StaticFeatures.pretrained())


def check_page(folder: Path, files: set[str]) -> str:
    """What is true of every page; returns it."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    # The verdict and what searches find come first, the losses of training last.
    assert tuple(re.findall(r'<section id="([\w-]+)">', page)) == SECTIONS
    for name in SECTIONS:
        assert f'<a href="#{name}">' in page
    referred = re.findall(r"(?:src|href|action)\s*=\s*[\"']?([^\"'\s>]*)", page) + re.findall(r"url\(|@import", page)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in referred)
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert page.count("<figure") == page.count("<figcaption>")
    assert not re.search(r"<figcaption>\s*</figcaption>", page)
    embedded = dict(re.findall(r'data-file="([^"]+)".*?src="data:image/png;base64,([^"]+)"', page))
    assert set(embedded) == files == {path.name for path in folder.iterdir()} - {"index.html"}
    for name, content in embedded.items():
        png = base64.b64decode(content)
        assert (folder / name).read_bytes() == png
        picture = Image.open(io.BytesIO(png)).convert("RGB")
        assert min(picture.size) >= 200
        dark = sum(picture.convert("L").histogram()[:160]) / (picture.width * picture.height)
        assert dark > 0.005, name
        assert len(picture.getcolors(picture.width * picture.height)) > 10, name
    return page


def losses(material: Material) -> set[str]:
    return {f"loss-{name}.png" for name in material.trained.history.losses}


@pytest.fixture(scope="module")
def report(digits: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "deep" / "report"
    assert write_report(folder, digits) == folder / "index.html"
    assert [path.name for path in folder.parent.iterdir()] == ["report"]
    return folder


def test_images_are_drawn(digits: Material, report: Path) -> None:
    page = check_page(report, CHARTS | DRAWN | BY_LABEL | losses(digits))
    for said in ("digits@1", "digits (image)", "1,697", "54 steps, 1 min 1 s", "<dt>learning_rate</dt><dd>0.002</dd>"):
        assert said in page
    for quality in digits.table:
        assert "".join(f"<td>{cell}</td>" for cell in quality_cells(quality)) in page
    assert len(HEADINGS) == len(fields(Quality))
    for heading in HEADINGS[1:]:
        assert f'<th scope="col">{heading}</th>' in page
    assert f"P@100: this hasher {digits.table[0].precision_at_100:.4f}, " in page


def test_an_older_report_is_written_over_and_nothing_else_and_hostile_names_are_escaped(
    vectors: Material, report: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    shutil.copytree(report, folder)
    (folder / "notes.txt").write_text("mine")
    check_folder(folder)
    write_report(folder, vectors)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    page = check_page(folder, CHARTS | losses(vectors))
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;$x^2$&quot; ? ? 字" in page
    assert "R 10@100: " in page
    assert "cannot be drawn" in page


def test_texts_are_listed_beside_what_the_code_remembers(texts: Material, tmp_path: Path) -> None:
    write_report(tmp_path, texts)
    page = check_page(tmp_path, CHARTS | BY_LABEL | losses(texts))
    assert "nearest text to its reconstruction" in page
    query = next(iter(read_items(texts.data, {int(texts.split.query_numbers[0])}).values()))
    assert query.document.endswith("</script>")
    assert page.count("&lt;script&gt;") >= 20


def test_neighbours_are_those_of_brute_force(texts: Material) -> None:
    base, queries = draw_base(texts), draw_queries(texts)
    (table,) = neighbours_section(texts, base, queries).parts
    assert isinstance(table, Table)
    items = list(texts.data.walk())
    codes = {item.id: texts.hasher.encode([item.document])[0] for item in items}
    held = {items[number].id for number in texts.split.query_numbers}
    assert table.marked == (0, 8, 16, 24, 32)
    for start in table.marked:
        query, *found = table.rows[start : start + 8]
        assert query[:2] == ("query", query[1])
        assert query[1] in held
        away = {
            name: int(np.bitwise_count(codes[query[1]] ^ code).sum())
            for name, code in codes.items()
            if name not in held
        }
        assert [int(row[0]) for row in found] == sorted(away.values())[:7]
        for distance, name, label, text in found:
            assert away[name] == int(distance)
            assert (label, text) == next((item.label, item.document) for item in items if item.id == name)


def test_folders_of_other_files_are_refused(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "deep")
    for name in ("index.html", "photo.jpg"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("<html>mine</html>")
        with pytest.raises(InvalidInputError, match="to be new, empty or an older report"):
            check_folder(folder)
        with pytest.raises(InvalidInputError, match="to be new, empty or an older report"):
            write_files(folder, "page", {})
    with pytest.raises(InvalidInputError, match="to be a folder"):
        check_folder(tmp_path / "photo" / "photo.jpg")
    assert (tmp_path / "index" / "index.html").read_text() == "<html>mine</html>"


def test_a_write_that_fails_leaves_the_old_page(report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "report")
    before = (tmp_path / "report" / "index.html").read_bytes()
    with pytest.raises(FileNotFoundError):
        write_files(tmp_path / "report", "new page", {"no/such.png": b""})
    assert (tmp_path / "report" / "index.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_what_was_not_measured_is_said(vectors: Material, tmp_path: Path) -> None:
    config = Config(epochs=0, bits=16)
    made = make_hasher("v@1", vectors.hasher.features, draw_sample(vectors.split.base, config), config)
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty")
    write_report(tmp_path / "empty", replace(vectors, hasher=made.hasher, trained=made.trained, by_bits={}))
    page = check_page(tmp_path / "empty", CHARTS - {"loss-total.png", "health.png", "bits-recall-10-at-100.png"})
    assert "was not trained" in page
    assert "Other lengths were not measured" in page


def test_at_most_5000_rows_of_a_large_base_are_read(vectors: Material) -> None:
    class Counted(np.ndarray):
        read = 0

        def __getitem__(self, places: object) -> object:
            if isinstance(places, np.ndarray):
                Counted.read += len(places)
            return super().__getitem__(places)

    rows = np.random.default_rng(0).standard_normal((7000, 24)).astype(np.float32)
    parts = split(rows.view(Counted), None, 0.2, 1100)
    Counted.read = 0
    base, queries = draw_base(replace(vectors, split=parts)), draw_queries(replace(vectors, split=parts))
    assert Counted.read == len(base.rows) == 5000
    assert len(queries.rows) == 1000
    for drawn in (base, queries):
        assert np.array_equal(drawn.rows, rows[drawn.numbers])
        assert len(np.unique(drawn.numbers)) == len(drawn.numbers)
        assert np.array_equal(drawn.codes, pack(vectors.hasher.logits(rows[drawn.numbers])))
    assert not np.intersect1d(base.numbers, queries.numbers).size


def test_one_query_of_each_label_is_shown_first(digits: Material) -> None:
    queries = draw_queries(digits)
    assert queries.labels is not None
    assert set(queries.labels[pick_shown(queries, 10)]) == set("0123456789")
    assert len(set(pick_shown(queries, 30).tolist())) == 30


def test_measures_by_hand() -> None:
    bits = np.array(
        [[1, 1, 0, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]]
    )
    codes = pack(bits)
    assert share_of_ones(codes).tolist() == [1, 0.5, 0.5, 0.5, 0, 0, 0, 0]
    correlation = bit_correlation(codes)
    assert np.allclose(correlation[1, :4], [0, 1, -1, 0])
    assert np.allclose(correlation, correlation.T)
    assert np.array_equal(np.diag(correlation), np.ones(8))
    assert pair_distances(codes, codes[[1, 0, 2, 1]]).tolist() == [2, 2, 0, 1]
    assert np.allclose(smoothed([1, 2, 6, 3], 3), [1.5, 3, 11 / 3, 4.5])
    assert smoothed([4, 8], 1).tolist() == [4, 8]
    rows = np.array([[3, 4], [0, 2], [0, 0]], np.float32)
    others = np.array([[6, 8], [5, 0], [1, 1]], np.float32)
    assert np.allclose(cosines(rows, others), [1, 0, 0])
    assert variance_explained(rows, rows, rows.mean(axis=0)) == 1
    assert variance_explained(rows, np.tile(rows.mean(axis=0), (3, 1)), rows.mean(axis=0)) == pytest.approx(0, abs=1e-6)
    assert variance_explained(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32), np.zeros(2)) == 0


def test_tangent_directions_are_where_logits_move_most(digits: Material) -> None:
    row = draw_queries(digits).rows[:1]
    directions, values = feature_directions(digits.trained, row, 3)
    assert directions.shape == (1, 3, 64)
    assert np.allclose(directions[0] @ directions[0].T, np.eye(3), atol=1e-5)
    assert values[0, 0] >= values[0, 1] >= values[0, 2] > 0
    scale, step = digits.trained.projection.scale, 1e-2

    def units(features: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-digits.hasher.logits(features.astype(np.float32)).astype(np.float64)))

    for direction, value in zip(directions[0], values[0], strict=True):
        moved = (units(row + step * direction) - units(row - step * direction)) / (2 * step * scale)
        assert np.linalg.norm(moved) == pytest.approx(value, rel=0.05)


def test_coloured_images_and_labels_of_any_script_are_drawn() -> None:
    features = PixelFeatures(3, 2, "RGB")
    direction = np.zeros(18)
    direction[:3], direction[9:11] = -0.9, 0.3
    tile = direction_tile(features, direction, plain(HOSTILE))
    red, blue, white = tile.pixels[0, 0], tile.pixels[1, 0], tile.pixels[0, 1]
    assert tile.pixels.shape == (2, 3, 3)
    assert red[0] > 3 * red[2]
    assert blue[2] > blue[0]
    assert white.min() > 0.9
    row = np.tile(np.array([1, 0, 0], np.float32), 6)
    png = grid([[item_tile(features, row, plain(HOSTILE), right=False), tile]])
    counts = Image.open(io.BytesIO(png)).convert("RGB").getcolors(10**7)
    assert max(counts, key=lambda pair: pair[0] if pair[1] != (255, 255, 255) else 0)[1] == (255, 0, 0)


def test_every_loss_has_a_meaning() -> None:
    assert set(MEANINGS) == {"total", *TERMS}


def test_lengths_skip_what_has_no_value() -> None:
    def quality(name: str, recall: float) -> Quality:
        return Quality(name, None, None, None, 0.1, recall, None, None, None, None)

    table = [quality("hashing", 0.5), quality("PCA-ITQ", 0.4), quality("float features", 1.0)]
    section = lengths_section({32: table, 16: table})
    assert [part.title for part in section.parts] == ["recall 10@100 by bits"]


def test_plain_text_is_one_line_of_what_can_be_written() -> None:
    assert plain(None) == ""
    assert plain(" a\n\tb\ud800\x07 ") == "a b??"
    assert plain("x" * 30, 10) == "x" * 9 + "…"
    assert plain(" " * 50 + "y", 10) == "…"
