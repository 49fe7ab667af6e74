"""Terms: what an objective can be made of. Each is built once and then says what one step costs."""

from collections.abc import Callable

from torch import Tensor

from models.training.terms.balance import Balance, Decorrelation
from models.training.terms.contraction import Contraction
from models.training.terms.decay import WeightDecay
from models.training.terms.neighbourhood import Similarity, SmoothedSimilarity
from models.training.terms.prediction import Prediction
from models.training.terms.reconstruction import Reconstruction
from models.training.terms.sparsity import GaussianSparsity, Sparsity
from models.training.terms.step import Data, Step
from models.training.terms.views import SharpViews, Views

Term = Callable[[Step], Tensor]

TERMS: dict[str, Callable[[Data], Term]] = {
    "reconstruction": Reconstruction,
    "sparsity": Sparsity,
    "gaussian_sparsity": GaussianSparsity,
    "prediction": Prediction,
    "contraction": Contraction,
    "weight_decay": WeightDecay,
    "similarity": Similarity,
    "smoothed_similarity": SmoothedSimilarity,
    "views": Views,
    "sharp_views": SharpViews,
    "balance": Balance,
    "decorrelation": Decorrelation,
}
