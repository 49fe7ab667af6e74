import pytest
import torch
from torch import nn

from models.training.adam import Adam

RATES = (2e-3, 1e-3, 5e-2, 0.0, 1e-4)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))


def loss(network: nn.Sequential, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    found: torch.Tensor = network(torch.randn((11, 7), generator=generator)).pow(4).mean()
    return found


def test_steps_are_those_of_pytorch_to_the_last_bit() -> None:
    own, other = network(), network()
    optimizer, reference = Adam(own.parameters()), torch.optim.Adam(other.parameters())
    # One that no loss depends on stays as it is.
    own[0].bias.requires_grad_(False)
    other[0].bias.requires_grad_(False)
    for step in range(60):
        rate = RATES[step % len(RATES)]
        reference.param_groups[0]["lr"] = rate
        for each in (own, other):
            each.zero_grad()
            loss(each, step).backward()
        optimizer.step(rate)
        reference.step()
        for parameter, expected in zip(own.parameters(), other.parameters(), strict=True):
            assert torch.equal(parameter, expected), step


def test_two_steps_by_hand() -> None:
    parameter = torch.tensor([1.0, -1.0])
    optimizer = Adam([parameter])
    # The first step is as long as the rate, whatever the gradient: its mean and the root of its square cancel.
    parameter.grad = torch.tensor([4.0, -0.5])
    optimizer.step(0.1)
    assert parameter.tolist() == pytest.approx([0.9, -0.9])
    # Means 0.9 * 0.1 * 4 - 0.1 * 4, over 1 - 0.81; squares 16 * (0.999 * 0.001 + 0.001), over 1 - 0.998001.
    parameter.grad = torch.tensor([-4.0, 0.5])
    optimizer.step(0.1)
    assert parameter.tolist() == pytest.approx([0.9 + 0.1 * 0.01 / 0.19, -0.9 - 0.1 * 0.01 / 0.19])


def test_it_goes_on_from_its_state() -> None:
    whole, stopped = network(), network()
    first, second = Adam(whole.parameters()), Adam(stopped.parameters())
    for step in range(10):
        if step == 5:
            kept = {name: value.clone() for name, value in second.state().items()}
            second = Adam(stopped.parameters())
            second.load_state(kept)
        for each, optimizer in ((whole, first), (stopped, second)):
            each.zero_grad()
            loss(each, step).backward()
            optimizer.step(1e-2)
    for parameter, expected in zip(stopped.parameters(), whole.parameters(), strict=True):
        assert torch.equal(parameter, expected)
