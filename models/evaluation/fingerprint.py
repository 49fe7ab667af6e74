"""The fingerprint of what a hasher was trained on: how its bits and its reconstruction errors are spread.

Kept on its card and compared with the items of later days; taken of items that were held out, as a network rebuilds
better what it was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, pack
from models.evaluation.metrics import share_of_ones
from models.folder import DamagedHasherError
from models.hasher import Hasher

QUANTILES = (0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Fingerprint:
    """Of so many items: the share of ones of each bit; of the reconstruction error mean, quantiles, and shares above.

    `above` is the share of the items whose error is above each quantile: less than `1 - q` where errors tie.
    """

    items: int
    share_of_ones: list[float]
    mean_error: float
    errors: list[float]
    above: list[float]

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> "Fingerprint | None":
        """What a hasher's card holds; None of hashers that were trained before there were fingerprints.

        Raises DamagedHasherError where it is no fingerprint of a hasher of so many bits.
        """
        held = card.get("fingerprint")
        if held is None:
            return None
        try:
            found = cls(**held)
            expected = {"share_of_ones": int(card["bits"]), "errors": len(QUANTILES), "above": len(QUANTILES)}
            came = {name: len(np.asarray(getattr(found, name), np.float64)) for name in expected}
            fits = int(found.items) > 0 and float(found.mean_error) >= 0
        except (TypeError, ValueError) as error:
            raise DamagedHasherError(f"{_told(card)} is none: {error}") from None
        if came != expected or not fits:
            numbers = ", ".join(f"{count} of {name}, got {came[name]}" for name, count in expected.items())
            raise DamagedHasherError(
                f"{_told(card)} is none: expected {numbers}; items above 0, got {found.items}; a mean error from 0 on, "
                f"got {found.mean_error}"
            )
        return found


def _told(card: Mapping[str, Any]) -> str:
    return f"expected the card of {card['name']}@{card['version']} to hold a fingerprint of its training, what it holds"


def take_fingerprint(hasher: Hasher, rows: NDArray[np.float32]) -> Fingerprint:
    """The fingerprint of features (n, d), run through the hasher's own graphs."""
    codes = pack(hasher.logits(rows))
    errors = reconstruction_errors(hasher, codes, rows)
    values = np.quantile(errors, QUANTILES)
    above = [float((errors > value).mean()) for value in values]
    return Fingerprint(len(rows), share_of_ones(codes).tolist(), float(errors.mean()), values.tolist(), above)


def reconstruction_errors(hasher: Hasher, codes: Codes, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each row of features (n, d) the mean square, over the features, of what the decoder gets wrong, (n,)."""
    errors: NDArray[np.float64] = np.square(hasher.decode(codes).astype(np.float64) - rows).mean(axis=1)
    return errors
