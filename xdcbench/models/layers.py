"""Features of an inner layer of an encoder, with the face of an encoder."""

from typing import cast

import torch
from torch import Tensor, nn

from xdcbench.config.models import Input
from xdcbench.errors import UserError
from xdcbench.models.pretrained.external import ExternalEncoder, Prepare
from xdcbench.models.raw_inputs import blank
from xdcbench.utils.messages import unknown_name


class LayerOutput(nn.Module):
    """An encoder that gives what one of its submodules gives, averaged over time and space or frequency.

    Args:
        encoder: takes what its ``prepare`` gives.
        layer: name of the submodule, whose output is (B, channels, ...).
    """

    def __init__(self, encoder: nn.Module, layer: str) -> None:
        super().__init__()
        self.encoder, self.layer = encoder, layer

    def forward(self, x: Tensor) -> Tensor:
        """Float (B, channels)."""
        seen: list[Tensor] = []
        hook = self.encoder.get_submodule(self.layer).register_forward_hook(
            lambda _module, _inputs, output: seen.append(output)
        )
        try:
            self.encoder(x)
        finally:
            hook.remove()
        (output,) = seen
        return output.flatten(2).mean(dim=2) if output.dim() > 2 else output


@torch.inference_mode()
def at_layer(encoder: nn.Module, layer: str) -> ExternalEncoder:
    """The encoder up to ``layer``, in eval mode, on its own device.

    Raises:
        UserError: the encoder has no such submodule, or it does not give one (B, channels, ...) per clip.
    """
    names = [name for name, _ in encoder.named_modules() if name]
    if layer not in names:
        raise UserError(unknown_name(f"layer of {type(encoder).__name__}", layer, names))
    declared, prepare = cast("Input", encoder.input), cast("Prepare", encoder.prepare)
    raw = blank(declared, 2).to(next(encoder.parameters()).device)
    tapped = LayerOutput(encoder, layer).eval()
    try:
        found = tapped(prepare(raw))
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"layer {layer!r} of {type(encoder).__name__} gives no tensor once per clip; choose another"
        ) from error
    if found.dim() != 2 or len(found) != 2:
        raise UserError(
            f"layer {layer!r} of {type(encoder).__name__} gives {tuple(found.shape)} for two clips; choose another"
        )
    return ExternalEncoder(tapped, declared, features=found.shape[1], prepare=prepare).to(raw.device)
