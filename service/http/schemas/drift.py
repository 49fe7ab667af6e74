"""Drift as it is told."""

from pydantic import BaseModel, ConfigDict, Field


class ShiftReply(BaseModel):
    """Shares that were compared with those in training: how many differ by more than chance, and the worst of them."""

    drifted: int = Field(examples=[9], description="how many differ by more than chance")
    compared: int = Field(examples=[64], description="of how many")
    worst: int = Field(description="which one is farthest from chance, counted from 0", examples=[12])
    expected: float = Field(description="its share in training", examples=[0.502])
    found: float = Field(description="its share among the latest items", examples=[0.81])
    standard_error: float = Field(description="of their difference, by chance", examples=[0.0216])


class DriftReply(BaseModel):
    """Whether the latest items differ from what the hasher was trained on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "verdict": "as in training",
                    "drifting": False,
                    "hasher": "pydocs@1",
                    "items": 1000,
                    "bits": {
                        "drifted": 0,
                        "compared": 64,
                        "worst": 12,
                        "expected": 0.502,
                        "found": 0.541,
                        "standard_error": 0.0216,
                    },
                    "errors": {
                        "drifted": 0,
                        "compared": 4,
                        "worst": 3,
                        "expected": 0.05,
                        "found": 0.061,
                        "standard_error": 0.0092,
                    },
                    "error_ratio": 1.02,
                }
            ]
        }
    )
    verdict: str = Field(
        examples=["as in training"],
        description="in words: `as in training`, `drifting: ..`, `too few items to tell: ..` or `cannot tell: ..`",
    )
    drifting: bool | None = Field(description="null where it cannot be told; the verdict says why", examples=[False])
    hasher: str | None = Field(examples=["pydocs@1"], description="null where items bring their own codes")
    items: int = Field(description="the latest items, that were looked at", examples=[1000])
    bits: ShiftReply | None = Field(description="shares of ones, a bit each")
    errors: ShiftReply | None = Field(
        description="shares of the reconstruction errors that are above four quantiles of those in training; "
        "where the collection keeps features"
    )
    error_ratio: float | None = Field(
        description="the mean reconstruction error, over that in training", examples=[1.02]
    )
