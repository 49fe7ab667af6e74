"""The autoencoder: two linear maps that start at PCA-ITQ, each with a residual branch that starts at zero.

The decoder has weights of its own or, tied, those of the encoder transposed (Vincent et al., JMLR 2010, section 2.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.itq import LinearHash, fit_itq

# The standard deviation of a logit at the start: wide enough that the sigmoid is neither flat nor a step.
START_SPREAD = 2.0
RIDGE = 1e-3


@dataclass(frozen=True)
class Branch:
    """`U relu(V x + c)`: `into` V is (hidden, inputs), `bias` c (hidden,), `back` U (outputs, hidden)."""

    into: Tensor
    bias: Tensor
    back: Tensor


@dataclass(frozen=True)
class Parts:
    """The weights of a map `W x + b + U relu(V x + c)`: `weight` W is (outputs, inputs), `bias` b (outputs,)."""

    weight: Tensor
    bias: Tensor
    branch: Branch | None

    def __call__(self, inputs: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        outputs = functional.linear(inputs, self.weight, self.bias)
        if self.branch is None:
            return outputs
        hidden = torch.relu(functional.linear(inputs, self.branch.into, self.branch.bias))
        return outputs + functional.linear(hidden, self.branch.back)


class ResidualMap(nn.Module):
    """`W x + b + U relu(V x + c)`: linear at the start, because U is zero then; without hidden units, for good."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.hidden = nn.Linear(inputs, hidden) if hidden else None
        self.back = nn.Linear(hidden, outputs, bias=False) if hidden else None
        if self.back is not None:
            nn.init.zeros_(self.back.weight)

    def parts(self) -> Parts:
        """The weights as they are now."""
        if self.hidden is None or self.back is None:
            return Parts(self.linear.weight, self.linear.bias, None)
        return Parts(
            self.linear.weight, self.linear.bias, Branch(self.hidden.weight, self.hidden.bias, self.back.weight)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        return self.parts()(inputs)


class TransposedMap(nn.Module):
    """`W' h + b' + V' relu(U' h + d)`: another map's weights transposed, with biases of its own that start at zero."""

    def __init__(self, other: ResidualMap) -> None:
        super().__init__()
        # Not as a submodule: the other's weights would be listed and saved twice.
        self._other = (other,)
        self.bias = nn.Parameter(torch.zeros(other.linear.in_features))
        self.hidden_bias = nn.Parameter(torch.zeros(other.hidden.out_features)) if other.hidden is not None else None

    def parts(self) -> Parts:
        """The weights as they are now."""
        other = self._other[0].parts()
        if other.branch is None or self.hidden_bias is None:
            return Parts(other.weight.T, self.bias, None)
        return Parts(other.weight.T, self.bias, Branch(other.branch.back.T, self.hidden_bias, other.branch.into.T))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, outputs of the other map) -> (n, inputs of the other map)."""
        return self.parts()(inputs)


Map = ResidualMap | TransposedMap


class Autoencoder(nn.Module):
    """Inputs (n, d) -> logits (n, bits) -> code layer -> inputs (n, d)."""

    def __init__(self, dimension: int, bits: int, hidden: int, seed: int, tied: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = ResidualMap(dimension, hidden, bits)
            self.decoder: Map = TransposedMap(self.encoder) if tied else ResidualMap(bits, hidden, dimension)

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
    start_at(network, inputs, fit_itq(inputs.numpy(), network.encoder.linear.out_features, seed))


def start_at(network: Autoencoder, inputs: Tensor, linear: LinearHash) -> None:
    """Make the network's codes those of a linear hash of inputs (n, d), and its decoder the least squares from them.

    A tied decoder has but the encoder's scale to choose, and knows no thresholds.
    """
    encoder, decoder = network.encoder, network.decoder
    projection = torch.from_numpy(linear.projection).float()
    mean = torch.from_numpy(linear.mean).float()
    thresholds = torch.as_tensor(linear.thresholds).float()
    with torch.no_grad():
        logits = (inputs - mean) @ projection - thresholds
        if isinstance(decoder, TransposedMap):
            # min over s of |x - s P c|^2, c being the codes of the encoder s P'.
            rebuilt = binary_code(logits) @ projection.T
            scale = ((inputs - mean) * rebuilt).sum() / rebuilt.square().sum().clamp_min(1e-12)
        else:
            scale = START_SPREAD / logits.std(dim=0).mean().clamp_min(1e-12)
        encoder.linear.weight.copy_((projection * scale).T)
        encoder.linear.bias.copy_(-(mean @ projection + thresholds) * scale)
        if isinstance(decoder, TransposedMap):
            decoder.bias.copy_(mean)
            return
    fit_decoder(network, inputs)


def fit_decoder(network: Autoencoder, inputs: Tensor) -> None:
    """Make a decoder with weights of its own the least squares from the codes of inputs (n, d); a tied one is left."""
    decoder = network.decoder
    if isinstance(decoder, TransposedMap):
        return
    with torch.no_grad():
        codes = binary_code(network.encoder(inputs))
        gram = codes.T @ codes + RIDGE * len(codes) * torch.eye(codes.shape[1])
        decoder.linear.weight.copy_(torch.linalg.solve(gram, codes.T @ inputs).T)
        decoder.linear.bias.zero_()
        if decoder.back is not None:
            decoder.back.weight.zero_()
