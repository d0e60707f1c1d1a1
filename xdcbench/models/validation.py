"""Checks of an encoder before hours are spent on it: each runs it on a few clips and says what it saw."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from xdcbench.config.models import AudioInput, Input, VideoInput
from xdcbench.errors import UserError
from xdcbench.models.encoders import Encoder
from xdcbench.models.pretrained.external import ExternalEncoder, check_features
from xdcbench.models.weights import load_weights, save_weights
from xdcbench.utils.format import short
from xdcbench.utils.memory import peak_memory
from xdcbench.utils.runtime import seeded

TOLERANCE = 1e-4
"""Difference that rounding explains, as a share of the largest feature."""

SECONDS = 1.0
"""Time that the speed is measured for."""


@dataclass(frozen=True)
class Finding:
    """What a check saw.

    Attributes:
        check: its name.
        ok: whether it passed.
        saw: in words.
        fix: what to do, where it did not pass.
    """

    check: str
    ok: bool
    saw: str
    fix: str = ""


@dataclass(frozen=True)
class Trial:
    """An encoder with what it is tried on.

    Attributes:
        encoder: on its device.
        rebuilt: a second one, built anew, on the same device.
        inputs: raw batches by what they hold, on the CPU; the first stands for all where one is enough.
        device: of both encoders.
        held: bytes that the process had held at most before.
        kept: features that were found, by the name of their input.
    """

    encoder: Encoder
    rebuilt: Encoder
    inputs: Mapping[str, Tensor]
    device: torch.device
    held: int = field(default_factory=peak_memory)
    kept: dict[str, Tensor] = field(default_factory=dict)

    @property
    def usual(self) -> Tensor:
        """The first of ``inputs``."""
        return next(iter(self.inputs.values()))

    @property
    def found(self) -> Tensor:
        """Its features in eval mode."""
        return self.features_of(next(iter(self.inputs)))

    def features_of(self, name: str) -> Tensor:
        """Features of one of ``inputs`` in eval mode, encoded once."""
        if name not in self.kept:
            self.kept[name] = self.features(self.inputs[name])
        return self.kept[name]

    @torch.no_grad()
    def features(self, raw: Tensor) -> Tensor:
        """Features of a raw batch in eval mode."""
        self.encoder.eval()
        return self.encoded(raw)

    def encoded(self, raw: Tensor) -> Tensor:
        """What the encoder gives in the mode that it is in."""
        found: Tensor = self.encoder(self.encoder.prepare(raw.to(self.device)))
        return found


def check_all(trial: Trial) -> Iterator[Finding]:
    """Findings in order; those after ``features`` are left out where there are none to look at."""
    for check in CHECKS:
        try:
            finding = check(trial)
        except Exception as error:  # whatever the code of others raises is a finding
            finding = Finding(check.__name__, False, " ".join(f"{type(error).__name__}: {error}".split()))
        yield finding
        if check is features and not finding.ok:
            return


def declared(trial: Trial) -> Finding:
    """What the encoder says that it takes and gives."""
    return Finding("declared", True, f"{words(trial.encoder.input)}; {trial.encoder.features} features")


def features(trial: Trial) -> Finding:
    """One feature vector per clip, as wide as declared."""
    found = trial.found
    try:
        check_shape(trial.encoder, found, len(trial.usual))
    except UserError as error:
        saw, _, fix = str(error).partition(". Try: ")
        return Finding("features", False, saw, fix)
    return Finding("features", True, f"{tuple(found.shape)} of {len(found)} clips")


def width(trial: Trial) -> Finding:
    """The same width whatever the clips hold, also of a single clip."""
    declared, fix = trial.encoder.features, "give (B, features) of every input, without squeeze() or trimming"
    found = {name: trial.features_of(name) for name in trial.inputs}
    found["a single clip"] = trial.features(trial.usual[:1])
    for name, of in found.items():
        count = len(trial.inputs.get(name, trial.usual[:1]))
        if tuple(of.shape) != (count, declared):
            saw = f"{tuple(of.shape)} of {count} clips ({name}), where {declared} features are declared"
            return Finding("width", False, saw, fix)
    return Finding("width", True, f"{declared} of {', '.join(found)}")


def batch(trial: Trial) -> Finding:
    """A clip's features do not depend on the others of its batch."""
    alone = torch.cat([trial.features(one[None]).reshape(1, -1) for one in trial.usual])
    fix = "normalize each clip by itself in eval mode"
    return _equal("batch", trial.found, alone, "from batch to single clip", fix)


def repeat(trial: Trial) -> Finding:
    """Eval mode gives the same twice."""
    first = trial.found
    with seeded(1):
        second = trial.features(trial.usual)
    fix = "draw nothing at random in eval mode: heed `self.training`, and use nn.Dropout, not functional.dropout"
    return _equal("repeat", first, second, "from one pass in eval mode to the next", fix)


def rebuilt(trial: Trial) -> Finding:
    """Its weights say all: built again and filled with them, it gives the same."""
    with TemporaryDirectory() as folder:
        save_weights(trial.encoder, Path(folder) / "w.safetensors", metadata={})
        load_weights(trial.rebuilt, Path(folder) / "w.safetensors")
    second = Trial(trial.rebuilt, trial.rebuilt, trial.inputs, trial.device).features(trial.usual)
    fix = "keep what is drawn or learned as parameters or persistent buffers, which are saved"
    return _equal("rebuilt", trial.found, second, "once it is built again from its saved weights", fix)


def finite(trial: Trial) -> Finding:
    """No NaN and no infinity."""
    for name in trial.inputs:
        if not (finite := trial.features_of(name).isfinite()).all():
            saw = f"{int((~finite).sum())} of {finite.numel()} features of {name} are NaN or infinite"
            return Finding(
                "finite", False, saw, "keep logarithms, roots and divisions from 0, as by clamp_min(1e-6)"
            )
    return Finding("finite", True, f"all features of {', '.join(trial.inputs)}")


def dtype(trial: Trial) -> Finding:
    """Floating-point features, which are kept as float32."""
    found = trial.found.dtype
    return Finding("dtype", found.is_floating_point, str(found), "return floating-point features")


def distinct(trial: Trial) -> Finding:
    """Different clips have different features."""
    found = trial.found.float()
    apart = float((found - found[:1]).abs().max())
    scale = float(found.abs().max())
    saw = f"features of different clips differ by up to {apart:.1e}, of {scale:.1e}"
    return Finding("distinct", apart > 1e-6 * scale, saw, "look whether the input reaches the features")


def speed(trial: Trial) -> Finding:
    """Clips per second in eval mode, told."""
    begun, passes = time.perf_counter(), 0
    while passes < 1 or time.perf_counter() - begun < SECONDS:
        trial.features(trial.usual).float().sum().item()  # waits for the device
        passes += 1
    rate = passes * len(trial.usual) / (time.perf_counter() - begun)
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' if count > 1 else ''}" if trial.device.type == "cpu" else ""
    return Finding(
        "speed", True, f"{rate:.3g} clips/s in batches of {len(trial.usual)} on {trial.device}{threads}"
    )


def modes(trial: Trial) -> Finding:
    """How train mode differs from eval mode, told; it changes the running statistics of BatchNorm."""
    trial.encoder.train()
    with torch.no_grad():
        first, second = trial.encoded(trial.usual), trial.encoded(trial.usual)
    kinds = Counter(
        type(m).__name__ for m in trial.encoder.modules() if isinstance(m, _BatchNorm | _DropoutNd)
    )
    held = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "no BatchNorm or Dropout"
    random = "" if _apart(first, second) <= TOLERANCE else ", and from pass to pass"
    differs = (
        f"differ from those of eval mode{random}"
        if _apart(trial.found, first) > TOLERANCE
        else "are those of eval mode"
    )
    return Finding("modes", True, f"features in train mode {differs} ({held})")


def gradient(trial: Trial) -> Finding:
    """A gradient reaches the parameters, as finetuning needs."""
    trial.encoder.train().zero_grad()
    parameters = dict(trial.encoder.named_parameters())
    if not parameters:
        return Finding("gradient", True, "no parameters: finetuning trains nothing but its head")
    found = trial.encoded(trial.usual).float()
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0)).to(found.device)
    fix = "leave out torch.no_grad, inference_mode and detach, and let parameters require gradients"
    if not found.requires_grad:
        return Finding("gradient", False, f"none reaches any of {len(parameters)} parameters", fix)
    (found * weights).sum().backward()
    grads = [p.grad for p in parameters.values() if p.grad is not None]
    if not all(grad.isfinite().all() for grad in grads):
        return Finding(
            "gradient", False, "NaN or infinite", "keep roots and logarithms from 0, as by clamp_min(1e-6)"
        )
    reached = sum(bool(grad.any()) for grad in grads)
    frozen = sum(not p.requires_grad for p in parameters.values())
    rest = f"; {frozen} are frozen" if frozen else ""
    return Finding("gradient", reached > 0, f"reaches {reached} of {len(parameters)} parameters{rest}", fix)


def memory(trial: Trial) -> Finding:
    """Peak of the checks so far, told."""
    on_gpu = trial.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(trial.device) if on_gpu else peak_memory()
    parameters = sum(p.numel() for p in trial.encoder.parameters())
    whose = f"on {trial.device}" if on_gpu else f"in the process, {short(trial.held, 'B')} before the checks"
    return Finding("memory", True, f"{short(peak, 'B')} at most {whose}; {parameters:,} parameters")


CHECKS: tuple[Callable[[Trial], Finding], ...] = (
    declared,
    features,
    width,
    dtype,
    finite,
    distinct,
    batch,
    repeat,
    rebuilt,
    speed,
    modes,
    gradient,
    memory,
)
"""In this order: ``modes`` and ``gradient`` leave an encoder whose running statistics have moved."""


def check_shape(encoder: Encoder, found: object, count: int) -> None:
    """Refuse what is not (count, features), as `check_features` does.

    Raises:
        UserError: says what came, and how to make it fit.
    """
    whole = (
        encoder
        if isinstance(encoder, ExternalEncoder)
        else ExternalEncoder(encoder, encoder.input, features=encoder.features)
    )
    check_features(found, count, whole)


def words(of: Input) -> str:
    """An input in words."""
    if isinstance(of, VideoInput):
        return f"{of.frames} RGB frames of {of.size} x {of.size} at {of.fps:g} per second"
    window = f"{of.seconds:g} s of mono audio at {of.sample_rate} Hz"
    return (
        f"{window}, {of.n_mels} x {of.frames} log-mel"
        if isinstance(of, AudioInput)
        else f"{window}, {of.samples} samples"
    )


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """A line per finding."""
    for of in findings:
        fix = f". Try: {of.fix}" if of.fix and not of.ok else ""
        yield f"{'ok' if of.ok else 'FAILED':<7} {of.check:<11} {of.saw}{fix}"


def _equal(check: str, a: Tensor, b: Tensor, when: str, fix: str) -> Finding:
    if a.shape != b.shape:
        return Finding(check, False, f"{tuple(a.shape)} becomes {tuple(b.shape)} {when}", fix)
    if not (a.isfinite().all() and b.isfinite().all()):
        return Finding(check, False, "not to be told: features are NaN or infinite", "mend that first")
    apart = _apart(a, b)
    told = "the same, bit for bit," if torch.equal(a, b) else f"differ by {apart:.1e} of the largest"
    return Finding(check, apart <= TOLERANCE, f"features {told} {when}", fix)


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest difference as a share of the largest magnitude."""
    scale = float(a.abs().max().clamp_min(1e-30))
    return float((a.float() - b.float()).abs().max()) / scale
