"""What every part of a configuration shares."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from xdcbench.utils.precision import Precision

Modality = Literal["video", "audio"]

EncoderPrecision = Annotated[
    Precision,
    Field(
        description="number format of encoders; auto: bf16 where the hardware has it, fp16 on older GPUs, else fp32"
    ),
]
"""The setting ``precision`` of everything that runs encoders."""

DISTANCE = "_distance"
"""Ends the names of columns that stand beside those of clusterings."""


class Config(BaseModel):
    """A frozen part of a configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
