"""Every release loaded from a file of its published layout, and its features against a reference module."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram
from torchvision.models.video import r2plus1d_18

from tests.unit.models.pretrained.layouts import (
    Payload,
    content_of,
    ctp_name,
    file_of,
    one_value,
    r2plus1d_34,
    resnet9,
    saved,
    tclr_net,
    zipped,
)
from tests.unit.models.pretrained.serving import Server, serving
from tests.unit.models.test_peers import audio_features, random_state, video_features
from xdcbench.config import released
from xdcbench.config.models import PretrainedEncoders
from xdcbench.config.paths import folder
from xdcbench.config.released import registry, with_releases
from xdcbench.config.stages import PretrainedStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.models.encoders import build, load_encoder_metadata, load_encoders
from xdcbench.models.peers import NETWORKS
from xdcbench.models.pretrained.origins import find_origin
from xdcbench.models.pretrained.released_tensors import released_tensors
from xdcbench.pretraining.pretrained import run

PEERS = [name for name in registry() if not name.startswith(("r2plus1d_18_xdc", "r2plus1d_18_fs"))]
SMALL = {"frames": 4, "size": 32, "short_side": [32, 32]}
Serve = Callable[[str, bytes], Server]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and no proxy before this machine."""
    monkeypatch.setenv("XDCBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "weights"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve bytes as the file of a release, whose shipped entry then has another address and hash."""
    library = tmp_path / "library" / "released"
    library.mkdir(parents=True)
    shipped = folder("baselines")
    with ExitStack() as servers:

        def at(name: str, content: bytes) -> Server:
            release = registry()[name]
            state = servers.enter_context(serving(content, release.file))
            for path in (shipped / "released").glob("*.yaml"):
                text = path.read_text().replace(release.url, state.url)
                if release.sha256:
                    pinned = f"sha256: {release.sha256}"
                    text = text.replace(pinned, f"sha256: {hashlib.sha256(content).hexdigest()[:8]}")
                if release.statistics:
                    stats = servers.enter_context(serving(statistics(), "stats.npz"))
                    text = text.replace(release.statistics.url, stats.url)
                (library / path.name).write_text(text)
            monkeypatch.setattr(released, "folder", lambda _: library.parent)
            return state

        yield at


def statistics() -> bytes:
    """Means and deviations per bin, as numpy writes them."""
    buffer = io.BytesIO()
    np.savez(buffer, mean=np.linspace(-40, 0, 257), std=np.linspace(5, 20, 257))
    return buffer.getvalue()


def entry(**parts: Any) -> PretrainedEncoders:
    """An entry of a suite's `encoders`, video on small clips."""
    if "video" in parts:
        parts["video"] = {"model": {"input": SMALL}, **parts["video"]}
    return with_releases(PretrainedEncoders.model_validate(parts))


def made(given: PretrainedEncoders, work: Path, *, accepted: bool = True) -> Path:
    """Run directory of an entry."""
    work.mkdir()
    origin = find_origin("mine", given)
    assert not origin.unavailable
    stage = PretrainedStage(name="mine", encoders=given, fingerprint=origin.fingerprint)
    run(stage, {}, work, Context(suite="s", accept_license=accepted))
    return work


def features(work: Path, modality: Any, given: Tensor) -> Tensor:
    """Features of the kept encoder in eval mode; audio is given as samples."""
    encoder = load_encoders(work, (modality,), device=torch.device("cpu"))[modality].eval()
    with torch.inference_mode():
        return encoder(given if modality == "video" else encoder.prepare(given))


def random(shapes: Any) -> dict[str, Tensor]:
    return random_state({name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()})


def own(content: Any, *keys: str, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a file's content under ``keys`` whose names begin with ``prefix``, without it."""
    for key in keys:
        content = content[key]
    return {n.removeprefix(prefix): t for n, t in content.items() if n.startswith(prefix)}


def torchvision_features(state: dict[str, Tensor], clips: Tensor, net: nn.Module | None = None) -> Tensor:
    net = net or r2plus1d_18(weights=None)
    net.fc = nn.Identity()
    net.load_state_dict({n: t for n, t in state.items() if not n.startswith("fc.")})
    with torch.inference_mode():
        return net.eval()(clips)


@pytest.fixture
def clips() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------ every entry


@pytest.mark.parametrize("name", PEERS)
def test_a_file_of_the_layout_has_exactly_the_tensors_of_the_encoder(name: str, tmp_path: Path) -> None:
    release = registry()[name]
    path = tmp_path / release.file
    path.write_bytes(file_of(name, release.file, one_value))
    for modality, layout in release.by_modality.items():
        with torch.device("meta"):
            encoder: Any = (
                NETWORKS[layout.source]() if modality == "audio" else build(layout.source, layout.model)
            )
        net = getattr(encoder, "net", encoder)
        found = released_tensors(release, modality, path)
        kept = {n: t.shape for n, t in found.items() if not n.startswith("fc.")}
        assert kept == {n: t.shape for n, t in net.state_dict().items()}


def test_every_family_says_what_nobody_has_seen() -> None:
    for name in PEERS:
        release = registry()[name]
        assert release.paper and release.page
        assert release.unverified or release.sha256


# ------------------------------------------------------------------------------------------- features


@pytest.mark.parametrize("name", ["r2plus1d_34_clip8_ig65m"])
def test_ig65m_is_torchvisions_with_midplanes_of_its_own(
    name: str, serve: Serve, clips: Tensor, tmp_path: Path
) -> None:
    content: Any = content_of(name, random)
    serve(name, saved(content))
    given = entry(video={"weights": name})
    assert given.video is not None
    assert (given.video.model.blocks, given.video.model.input.frames) == ((3, 4, 6, 3), 4)
    work = made(given, tmp_path / "run")
    expected = torchvision_features(content, clips, r2plus1d_34(359))
    torch.testing.assert_close(features(work, "video", clips), expected, rtol=1e-3, atol=1e-3)
    assert load_encoder_metadata(work).released["video"].pinned == "prefix"


@pytest.mark.slow
def test_torchvisions_own_weights_by_name(serve: Serve, clips: Tensor, tmp_path: Path) -> None:
    content: Any = content_of("torchvision_r2plus1d_18", random)
    serve("torchvision_r2plus1d_18", saved(content))
    work = made(entry(video={"weights": "torchvision_r2plus1d_18"}), tmp_path / "run")
    expected = torchvision_features(content, clips)
    torch.testing.assert_close(features(work, "video", clips), expected, rtol=1e-4, atol=1e-4)


def test_gdt_gives_both_encoders_from_one_file(serve: Serve, clips: Tensor, tmp_path: Path) -> None:
    content: Any = content_of("gdt_k400", random)
    state = serve("gdt_k400", saved(content))
    work = made(entry(video={"weights": "gdt_k400"}, audio={"weights": "gdt_k400"}), tmp_path / "run")
    expected = torchvision_features(own(content, "model", prefix="video_network.base."), clips)
    torch.testing.assert_close(features(work, "video", clips), expected, rtol=1e-4, atol=1e-4)

    metadata = load_encoder_metadata(work)
    encoder = load_encoders(work, ("audio",), device=torch.device("cpu"))["audio"]
    samples = 0.1 * torch.randn(2, 24_000)
    net = resnet9().eval()
    net.load_state_dict(own(content, "model", prefix="audio_network.base."))
    with torch.inference_mode():
        spectrograms = encoder.prepare(samples)
        torch.testing.assert_close(features(work, "audio", samples), net(spectrograms), rtol=1e-4, atol=1e-4)
    assert spectrograms.shape == (2, 1, 40, 99)
    assert (metadata.pretrain_data, state.asked) == ("kinetics400", [""])
    file = metadata.released["video"]
    assert (file.name, file.pinned, file.url) == ("gdt_k400", "unpinned", state.url)
    assert file.sha256 == hashlib.sha256(state.content).hexdigest()


def test_avid_gives_both_encoders_and_the_statistics_of_its_bins(
    serve: Serve, clips: Tensor, tmp_path: Path
) -> None:
    content: Any = content_of("avid_kinetics", random)
    serve("avid_kinetics", saved(content))
    work = made(
        entry(video={"weights": "avid_kinetics"}, audio={"weights": "avid_kinetics"}), tmp_path / "run"
    )
    video = own(content, "model", prefix="module.video_model.")
    torch.testing.assert_close(
        features(work, "video", clips), video_features(clips, video, "max"), rtol=1e-3, atol=1e-3
    )
    encoder = load_encoders(work, ("audio",), device=torch.device("cpu"))["audio"]
    assert isinstance(encoder.prepare, nn.Module)
    torch.testing.assert_close(encoder.prepare.mean, torch.linspace(-40, 0, 257))
    samples = 0.1 * torch.randn(2, 48_000)
    spectrograms = encoder.prepare(samples)
    assert spectrograms.shape == (2, 1, 200, 257)
    expected = audio_features(spectrograms, own(content, "model", prefix="module.audio_model."))
    torch.testing.assert_close(features(work, "audio", samples), expected, rtol=1e-3, atol=1e-3)


def test_crisscross_comes_zipped(serve: Serve, clips: Tensor, tmp_path: Path, own_cache: Path) -> None:
    name = "vid_crisscross_kinetics_sound"
    content: Any = content_of(name, random)
    file = registry()[name].file
    serve(name, zipped(saved(content), file.removesuffix(".zip")))
    work = made(entry(video={"weights": name}), tmp_path / "run")
    torch.testing.assert_close(
        features(work, "video", clips), video_features(clips, content, "mean"), rtol=1e-3, atol=1e-3
    )
    assert [path.name for path in own_cache.glob("[!.]*")] == [file]


@pytest.mark.slow
def test_crisscross_audio_is_resnet18_on_torchaudios_log_mel(serve: Serve, tmp_path: Path) -> None:
    from torchvision.models import resnet18

    name = "aud_crisscross_audioset"
    content: Any = content_of(name, random)
    serve(name, zipped(saved(content), registry()[name].file.removesuffix(".zip")))
    work = made(entry(audio={"weights": name}), tmp_path / "run")
    samples = 0.1 * torch.randn(2, 32_000)
    mel = MelSpectrogram(16_000, n_fft=1024, hop_length=160, n_mels=80, norm="slaney", mel_scale="slaney")
    prepared = (((mel(samples) + torch.finfo().eps).log() + 5.3688107) / 4.410007)[:, None]
    net: Any = resnet18(weights=None)
    net.conv1, net.fc = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False), nn.Identity()
    stages = [net.layer1, net.layer2, net.layer3, net.layer4]
    for module, prefix in zip(
        [net.conv1, net.bn1, *stages],
        ["conv1.0.", "conv1.1.", *(f"block{n}." for n in range(1, 5))],
        strict=True,
    ):
        module.load_state_dict(own(content, prefix=prefix))
    with torch.inference_mode():
        expected = net.eval()(prepared)
    torch.testing.assert_close(features(work, "audio", samples), expected, rtol=1e-2, atol=1e-2)


def test_a_file_without_an_address_is_given_by_path(clips: Tensor, tmp_path: Path, own_cache: Path) -> None:
    content: Any = content_of("severe_ctp", random)
    path = tmp_path / "elsewhere.pth"
    given = entry(video={"weights": "severe_ctp", "file": str(path)})
    assert "no weights file" in find_origin("mine", given).unavailable
    assert (
        "no direct address. Try: get snellius_"
        in find_origin("mine", entry(video={"weights": "severe_ctp"})).unavailable
    )
    path.write_bytes(saved(content))
    work = made(given, tmp_path / "run")
    plain = {
        n: content["state_dict"][f"backbone.{ctp_name(n)}"]
        for n in r2plus1d_18(weights=None).state_dict()
        if not n.startswith("fc.")
    }
    expected = torchvision_features(plain, clips)
    torch.testing.assert_close(features(work, "video", clips), expected, rtol=1e-4, atol=1e-4)
    assert not own_cache.exists()


def test_tclr_takes_rgb_clips_and_sees_them_as_it_has_learned(clips: Tensor, tmp_path: Path) -> None:
    """Its features of a clip are those of its own network on the same clip with blue first."""
    content: Any = content_of("severe_tclr", random)
    path = tmp_path / "rpd18kin400.pth"
    path.write_bytes(saved(content))
    work = made(entry(video={"weights": "severe_tclr", "file": str(path)}), tmp_path / "run")
    expected = torchvision_features(own(content, "state_dict", prefix="module.0."), clips.flip(1), tclr_net())
    torch.testing.assert_close(features(work, "video", clips), expected, rtol=1e-4, atol=1e-4)
    encoder = load_encoders(work, ("video",), device=torch.device("cpu"))["video"]
    assert (encoder.input.mean, encoder.input.std) == ((0, 0, 0), (1, 1, 1)), "no normalization"


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("architecture", r"weights do not fit this ConvNet9|of another shape|missing: "),
        ("prefix", r"no tensor's name begins with 'module\.video_model\.'; it holds "),
        ("nesting", r"holds nothing under 'model', where avid_kinetics keeps its tensors"),
        ("class", r"it holds more than tensors: "),
        ("page", r"gave a web page in place of the file\. Try: fetch it elsewhere, and put it at "),
    ],
)
def test_a_file_that_is_not_of_the_layout_is_one_message(
    kind: str, message: str, serve: Serve, tmp_path: Path, own_cache: Path
) -> None:
    other = {"module.video_model.stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}
    content = {
        "architecture": saved({"model": other}),
        "prefix": saved({"model": {"video_model.conv1.0.weight": torch.zeros(64, 3, 3, 7, 7)}}),
        "nesting": saved({"state_dict": other}),
        "class": saved({"model": {"module.video_model.x": Payload(tmp_path / "owned")}}),
        "page": b"\n<!DOCTYPE html><html><body>Not found</body></html>",
    }[kind]
    serve("avid_kinetics", content)
    with pytest.raises(UserError, match=message):
        made(entry(video={"weights": "avid_kinetics"}), tmp_path / "run")
    assert not (tmp_path / "owned").exists()
    if kind == "page":
        assert not list(own_cache.glob("[!.]*"))


def test_settings_are_let_in_where_the_entry_says_so_and_only_there(tmp_path: Path) -> None:
    gdt, avid = registry()["gdt_k400"], registry()["avid_kinetics"]
    content: Any = content_of("gdt_k400", one_value)
    (tmp_path / "gdt.pth").write_bytes(saved(content))
    assert released_tensors(gdt, "audio", tmp_path / "gdt.pth")
    with pytest.raises(UserError, match=r"it holds more than tensors: argparse\.Namespace"):
        released_tensors(avid, "audio", tmp_path / "gdt.pth")


def test_a_changed_file_is_told(serve: Serve, tmp_path: Path) -> None:
    content = saved(content_of("torchvision_r2plus1d_18", one_value))
    state = serve("torchvision_r2plus1d_18", content)
    state.content = content[:-1] + b"x"
    with pytest.raises(UserError, match=r"gave a file with the SHA-256 [0-9a-f]{8}\.\.\., not "):
        made(entry(video={"weights": "torchvision_r2plus1d_18"}), tmp_path / "run")
    (tmp_path / "mine.pth").write_bytes(state.content)
    given = entry(video={"weights": "torchvision_r2plus1d_18", "file": str(tmp_path / "mine.pth")})
    with pytest.raises(UserError, match=r"it is cut short or another file"):
        find_origin("mine", given)


def test_a_batch_job_must_accept_the_license(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "aud_crisscross_audioset"
    state = serve(name, file_of(name, registry()[name].file, one_value))
    given = entry(audio={"weights": name})
    with pytest.raises(
        UserError, match=r"no commercial use\. Try: read https://\S+, then give --accept-license"
    ):
        made(given, tmp_path / "one", accepted=False)
    assert state.asked == []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    with caplog.at_level("WARNING", logger="xdcbench"):
        made(given, tmp_path / "two", accepted=False)
        made(given, tmp_path / "three", accepted=False)
    assert caplog.text.count("no commercial use") == 1
    assert state.asked == [""]


@pytest.mark.parametrize("inside", ["../../owned.pth.tar", "/tmp/owned", "other.pth.tar"])
def test_an_archive_writes_nothing_where_it_says(inside: str, tmp_path: Path) -> None:
    release = registry()["vid_crisscross_audioset"]
    path = tmp_path / release.file
    path.write_bytes(zipped(saved({"x": torch.zeros(1)}), inside))
    with pytest.raises(UserError):
        released_tensors(release, "video", path)
    assert {p.name for p in tmp_path.rglob("*owned*")} == set()


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        (
            "audio",
            {"weights": "vid_crisscross_audioset"},
            r"hold no audio encoder\. Try: name them below `video`",
        ),
        (
            "video",
            {"weights": "gdt_k400", "source": "r2plus1d"},
            r"are of 'torchvision:r2plus1d_18' and do not fit",
        ),
        ("video", {"weights": "gdt_k40"}, r"did you mean 'gdt_k400'"),
        ("video", {"weights": "a/b.pth", "file": "c.pth"}, r"no name of `xdcbench list weights`"),
        ("audio", {"source": "resnet9"}, r"needs `input` of kind waveform and a `front_end`"),
        ("audio", {"source": "avid_r2plus1d"}, r"is no audio encoder; name it below `video`"),
    ],
)
def test_an_entry_that_does_not_fit_is_told(part: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        given = with_releases(PretrainedEncoders.model_validate({part: settings}))
        source = given.by_modality[part]  # type: ignore[index]
        build(source.source, source.model)
