import numpy as np
import pytest
import torch

from models.training.config import Config
from models.training.loop import Trained, fit
from models.training.prepare import draw_sample
from scripts.tables import contractive
from scripts.tables.contractive import METHODS, Images, Row, measure, print_contractive_table

torch.set_num_threads(1)


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def small_layer(seen: Images) -> Trained:
    config = Config(24, "contractive", 3, hidden=0, tied=True, start="random", components=784, neighbours_a_seed=0)
    return fit(draw_sample(seen.pixels, config), config)


def test_figures_equal_those_of_the_jacobian_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contractive, "NEIGHBOURS", 1)
    rng = np.random.default_rng(0)
    seen = Images(rng.random((40, 12)).astype(np.float32), (np.arange(40) % 4).astype(np.uint8))
    trained = small_layer(seen)
    row = measure(trained, seen, seen)
    projection, network = trained.projection, trained.network.double()
    mean, into = torch.from_numpy(projection.mean), torch.from_numpy(projection.directions * projection.scale)

    def units(pixels: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(network.encoder((pixels - mean) @ into))

    pixels = torch.from_numpy(seen.pixels).double()
    jacobians = torch.stack([torch.autograd.functional.jacobian(units, image) for image in pixels]).numpy()
    assert row.norm == pytest.approx(np.square(jacobians).sum(axis=(1, 2)).mean(), rel=1e-4)
    held = np.cumsum(np.linalg.svd(jacobians, compute_uv=False), axis=1)
    assert row.values == pytest.approx((1 + (held < 0.9 * held[:, -1:]).sum(axis=1)).mean(), abs=0.05)
    with torch.no_grad():
        h = units(pixels)
        rebuilt = (network.decoder(2 * h - 1) @ torch.from_numpy(projection.directions.T)) / projection.scale + mean
    assert row.error == pytest.approx(float((rebuilt - pixels).square().mean() / (pixels - mean).square().mean()), 1e-4)
    assert row.saturated == pytest.approx(float(((h < 0.05) | (h > 0.95)).double().mean()), abs=1e-3)
    # Every image is its own nearest neighbour here.
    assert row.precision == 1


def test_strengths_chosen_are_among_those_tried() -> None:
    assert all(method.chosen in method.tried for method in METHODS)
    networks = [[name for name, _, _ in contractive.runs(validation)] for validation in (False, True)]
    assert len(networks[0]) == len(METHODS)
    assert set(networks[0]) < set(networks[1])


def test_norms_are_compared_with_the_first_here_and_in_the_paper() -> None:
    plain, contracted = METHODS[0], METHODS[-1]
    rows = [("a", plain, Row(500.0, 0.5, 400, 0.01, 0.7)), ("b", contracted, Row(20.0, 0.8, 90, 0.1, 0.7))]
    shown = contractive.table(rows)
    cells = [[str(cell) for cell in column.cells] for column in shown.columns]
    assert cells[2] == ["1.0", "25.0"]
    assert cells[8] == ["1.0", "24.0"]


@pytest.mark.parametrize("validation", [False, True])
def test_the_whole_table_from_a_folder(validation, tmp_path, monkeypatch, capsys) -> None:
    rng = np.random.default_rng(0)
    for part, number in (("train", 80), ("t10k", 30)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (number, 6, 5), np.uint8)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(rng.integers(0, 10, number, np.uint8)))
    for name, value in (("SPECTRUM_IMAGES", 2), ("VALIDATION", 30), ("STEPS", 1)):
        monkeypatch.setattr(contractive, name, value)
    print_contractive_table(tmp_path, validation=validation)
    printed = capsys.readouterr().out
    for name, _, _ in contractive.runs(validation):
        assert name in printed
