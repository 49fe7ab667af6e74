"""The autoencoder: two linear maps that start at PCA-ITQ, each with a residual branch that starts at zero."""

import torch
from torch import Tensor, nn

from models.itq import fit_itq

# The standard deviation of a logit at the start: wide enough that the sigmoid is neither flat nor a step.
START_SPREAD = 2.0
RIDGE = 1e-3


class ResidualMap(nn.Module):
    """`x W + b + relu(x V + c) U`: linear at the start, because U is zero then; without hidden units, for good."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.hidden = nn.Linear(inputs, hidden) if hidden else None
        self.back = nn.Linear(hidden, outputs, bias=False) if hidden else None
        if self.back is not None:
            nn.init.zeros_(self.back.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        outputs: Tensor = self.linear(inputs)
        if self.hidden is not None and self.back is not None:
            outputs = outputs + self.back(torch.relu(self.hidden(inputs)))
        return outputs


class Autoencoder(nn.Module):
    """Inputs (n, d) -> logits (n, bits) -> code layer -> inputs (n, d)."""

    def __init__(self, dimension: int, bits: int, hidden: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = ResidualMap(dimension, hidden, bits)
            self.decoder = ResidualMap(bits, hidden, dimension)

    def forward(self, inputs: Tensor) -> Tensor:
        """The reconstruction of inputs (n, d) through the code itself."""
        reconstruction: Tensor = self.decoder(binary_code(self.encoder(inputs)))
        return reconstruction


def sigmoid_code(logits: Tensor) -> Tensor:
    """The code layer before the cut, `2 sigmoid(logits) - 1`, in (-1, 1)."""
    return torch.tanh(logits / 2)


def binary_code(logits: Tensor) -> Tensor:
    """The code as -1 and 1; gradients pass straight through to the sigmoid (Bengio et al., arXiv 1308.3432)."""
    soft = sigmoid_code(logits)
    hard = torch.where(logits > 0, 1.0, -1.0)
    return soft + (hard - soft).detach()


def start_at_itq(network: Autoencoder, inputs: Tensor, seed: int) -> None:
    """Make the network's codes those of PCA-ITQ on inputs (n, d), and its decoder the least squares from them.

    A random start needs many more steps to be as good, and on text stays behind (docs/decisions/0006).
    """
    bits = network.encoder.linear.out_features
    itq = fit_itq(inputs.numpy(), bits, seed)
    projection = torch.from_numpy(itq.projection).float()
    mean = torch.from_numpy(itq.mean).float()
    with torch.no_grad():
        scale = START_SPREAD / ((inputs - mean) @ projection).std(dim=0).mean().clamp_min(1e-12)
        network.encoder.linear.weight.copy_((projection * scale).T)
        network.encoder.linear.bias.copy_(-(mean @ projection) * scale)
        codes = binary_code(network.encoder.linear(inputs))
        gram = codes.T @ codes + RIDGE * len(codes) * torch.eye(bits)
        network.decoder.linear.weight.copy_(torch.linalg.solve(gram, codes.T @ inputs).T)
        network.decoder.linear.bias.zero_()
