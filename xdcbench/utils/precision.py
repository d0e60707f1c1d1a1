"""Names of floating-point precisions, for configurations, which import no torch."""

from typing import Literal

Precision = Literal["auto", "fp32", "bf16", "fp16"]
