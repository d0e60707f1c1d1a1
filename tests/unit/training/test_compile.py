"""What --compile does: the same numbers under the same names, or a clear refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.exc import InvalidCxxCompiler

from tests.unit.training.toy import Killed, epoch_of, loss_with, same, toy, trainer
from xdcbench.data.clip_dataset import Batch
from xdcbench.errors import UserError


class Own(nn.Sequential):
    """An encoder is no container of torch's, and those are never compiled by themselves."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


@pytest.mark.parametrize("fails_in", ["forward", "backward"])
def test_what_cannot_be_compiled_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_in: str
) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        def broken(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
            raise InvalidCxxCompiler

        def fine(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
            return make_boxed_func(graph.forward)

        first, second = (broken, fine) if fails_in == "forward" else (fine, broken)
        return aot_autograd(fw_compiler=first, bw_compiler=second)(graph, inputs)

    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compile_(module, backend=backend))
    model = Own(*toy())
    with pytest.raises(
        UserError, match=r"--compile: torch cannot compile .*No working C\+\+ compiler .*; run without it"
    ):
        trainer(model, tmp_path, compile=True).fit(epoch_of, loss_with(model))


def test_compiled_modules_keep_their_names_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backend that needs no compiler: it runs the graphs that it is given, and counts them."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compile_(module, backend=backend))
    plain, whole, first, second = (Own(*toy()) for _ in range(4))
    for name in ("plain", "whole"):
        (tmp_path / name).mkdir()
    trainer(plain, tmp_path / "plain").fit(epoch_of, loss_with(plain))
    trainer(whole, tmp_path / "whole", compile=True).fit(epoch_of, loss_with(whole))
    steps = iter(range(9))

    def dying(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if next(steps, None) is None:
            raise Killed
        return loss_with(first)(batch)

    with pytest.raises(Killed):
        trainer(first, tmp_path, compile=True).fit(epoch_of, dying)
    trainer(second, tmp_path, compile=True).fit(epoch_of, loss_with(second))
    assert list(second.state_dict()) == list(plain.state_dict())
    assert same(second, whole)
    for mine, its in zip(second.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, its)
    assert graphs, "it was compiled"
