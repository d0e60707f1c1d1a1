"""What the argument of `validate-encoder` stands for; told without importing torch."""

from collections.abc import Mapping
from pathlib import Path

from xdcbench.config.base import Modality
from xdcbench.config.load import merge, validate
from xdcbench.config.models import PretrainedEncoders
from xdcbench.config.released import registry, with_releases
from xdcbench.errors import UserError
from xdcbench.models.pretrained.origins import MFCC, OWN, TORCHVISION
from xdcbench.utils.documents import read_setting


def entry_of(spec: str, modality: Modality | None, overrides: tuple[str, ...] = ()) -> PretrainedEncoders:
    """The entry of a suite's ``encoders`` that ``spec`` is short for, with ``overrides`` laid over it.

    Raises:
        UserError: it is nothing that a suite takes; an override does not fit.
    """
    kinds: Mapping[str, Modality] = {MFCC: "audio", OWN[0]: "video", OWN[1]: "audio"}
    if (Path(spec) / "encoders.json").is_file():
        tree: dict[str, object] = {"run": spec}
    elif spec in registry():
        held = registry()[spec].by_modality
        tree = {m: {"weights": spec} for m in held if modality in (None, m)}
    elif spec in kinds or ":" in spec:
        default = "video" if spec.startswith(TORCHVISION) else "audio"
        tree = {kinds.get(spec, modality or default): {"source": spec}}
    else:
        raise UserError(
            f"{spec!r} is no encoder. Try: module:object, torchvision:NAME, mfcc, a folder of a run or export with "
            "encoders.json, or a name of `xdcbench list weights`"
        )
    for text in overrides:
        tree = merge(tree, read_setting(text))
    return with_releases(validate(PretrainedEncoders, tree, where=spec))
