"""Each mistake of an encoder is found by the check that is for it, and by no other; sound encoders pass all."""

import pytest
import torch
from torch import Tensor, nn

from tests.unit.models.own_encoder import Fitful, OwnFront, Raw, Sequence, Squeezed, Tiny, Undefined
from xdcbench.models import validation
from xdcbench.models.pretrained.external import ExternalEncoder
from xdcbench.models.raw_inputs import blank, noise
from xdcbench.models.validation import CHECKS, Finding, Trial, check_all, lines

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "SECONDS", 0.0)


class Dropping(Raw):
    """Drops features in train mode, as it should."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(6), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(super().forward(x)))  # type: ignore[no-any-return]


class AlwaysDropping(Raw):
    """Drops features in eval mode, too."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5)


class BatchTaught(Raw):
    """Normalizes over the batch, whatever the mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - super().forward(x).mean(dim=0)


class Forgetful(Raw):
    """Draws a projection that its weights do not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(6, 6), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ self.projection  # type: ignore[operator]


class Tied(Raw):
    """Has one weight under two names, which the format of weights refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.conv


class Detached(Raw):
    """Encodes without a gradient."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Deaf(Raw):
    """Does not look at its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 0)


class Counting(Raw):
    """Gives whole numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return (1e6 * super().forward(x)).round().long()


class Listing(Raw):
    """Gives a list."""

    def forward(self, x: Tensor) -> Tensor:
        return [super().forward(x)]  # type: ignore[return-value]


class Raising(Raw):
    """Fails where it hears nothing."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.any():
            raise ValueError("nothing to hear")
        return super().forward(x)


def findings(kind: type[Raw] | type[Tiny]) -> dict[str, Finding]:
    encoders = [
        ExternalEncoder(net, net.input, features=net.features, prepare=getattr(net, "prepare", None))
        for net in (kind(), kind())
    ]
    declared = encoders[0].input
    inputs = {"noise": noise(declared, 4), "silence": blank(declared, 1)}
    return {found.check: found for found in check_all(Trial(encoders[0], encoders[1], inputs, CPU))}


@pytest.mark.parametrize("kind", [Raw, OwnFront, Dropping, Tiny])
def test_a_sound_encoder_passes_every_check(kind: type[Raw] | type[Tiny]) -> None:
    found = findings(kind)
    assert list(found) == [check.__name__ for check in CHECKS]
    assert all(of.ok for of in found.values()), found


@pytest.mark.parametrize(
    ("kind", "failed", "saw"),
    [
        (AlwaysDropping, {"batch", "repeat", "rebuilt"}, "from one pass in eval mode to the next"),
        (BatchTaught, {"batch"}, "from batch to single clip"),
        (Forgetful, {"rebuilt"}, "once it is built again"),
        (Tied, {"rebuilt"}, "share memory"),
        (Undefined, {"finite"}, "6 of 6 features of silence are NaN or infinite"),
        (Squeezed, {"width"}, r"(6,) of 1 clips (silence), where 6 features are declared"),
        (Deaf, {"distinct"}, "differ by up to 0.0e+00"),
        (Detached, {"gradient"}, "none reaches any of 2 parameters"),
        (Counting, {"dtype", "gradient"}, "torch.int64"),
        (Raising, {"width", "finite"}, "ValueError: nothing to hear"),
    ],
)
def test_a_mistake_is_found_by_its_check(kind: type[Raw], failed: set[str], saw: str) -> None:
    found = findings(kind)
    assert {name for name, of in found.items() if not of.ok} == failed
    assert any(saw in found[name].saw for name in failed)


@pytest.mark.parametrize(
    ("kind", "saw", "fix"),
    [
        (Sequence, "gives (4, 1197, 6) for 4 inputs, a sequence", "return its mean over time"),
        (Fitful, "declares 6 features, but gives (4, 5)", "give every input"),
        (Listing, "gives a list, no tensor", "return features, (B, 6)"),
    ],
)
def test_without_features_nothing_else_is_looked_at(kind: type[Raw], saw: str, fix: str) -> None:
    found = findings(kind)
    assert list(found) == ["declared", "features"]
    assert not found["features"].ok
    assert saw in found["features"].saw and fix in found["features"].fix


def test_train_mode_and_frozen_parameters_are_told() -> None:
    dropping = findings(Dropping)["modes"].saw
    assert dropping == (
        "features in train mode differ from those of eval mode, and from pass to pass (1 BatchNorm1d, 1 Dropout)"
    )
    assert "are those of eval mode (no BatchNorm or Dropout)" in findings(Raw)["modes"].saw


def test_a_line_says_what_to_do_only_where_a_check_failed() -> None:
    said = list(lines([Finding("one", True, "fine", "never"), Finding("two", False, "bad", "mend it")]))
    assert said == ["ok      one         fine", "FAILED  two         bad. Try: mend it"]
