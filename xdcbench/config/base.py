"""What every part of a configuration shares."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Modality = Literal["video", "audio"]

DISTANCE = "_distance"
"""Ends the names of columns that stand beside those of clusterings."""


class Config(BaseModel):
    """A frozen part of a configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
