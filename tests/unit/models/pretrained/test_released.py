"""Released weights by name: the shipped list, and a file of the official layout, served here, from name to encoder."""

import hashlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from torchvision.models.video import r2plus1d_18

from tests.unit.models.pretrained.layouts import Payload
from tests.unit.models.pretrained.serving import Server, serving
from xdcbench.config import released
from xdcbench.config.load import load_suite
from xdcbench.config.models import PretrainedEncoders, VideoInput, VideoModel
from xdcbench.config.paths import folder
from xdcbench.config.released import registry
from xdcbench.config.stages import PretrainedStage
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.models.encoders import load_encoder_metadata, load_encoders
from xdcbench.models.pretrained.origins import find_origin
from xdcbench.models.pretrained.released import fetch
from xdcbench.pipeline.catalog import summary
from xdcbench.pipeline.graph import Stage
from xdcbench.pretraining.pretrained import run
from xdcbench.results.published import load_published
from xdcbench.utils.cache_folder import cache_folder

CPU = torch.device("cpu")
NAME = "r2plus1d_18_fixture"
OFFICIAL = {
    "r2plus1d_18_xdc_ig65m_kinetics": ("f24f6ffb", "xdc", "ig_kinetics", {"ucf101": 95.5, "hmdb51": 68.9}),
    "r2plus1d_18_xdc_ig65m_random": ("189d23f4", "xdc", "ig_random", {"ucf101": 94.6, "hmdb51": 66.5}),
    "r2plus1d_18_xdc_audioset": ("f29ffe8f", "xdc", "audioset", {"ucf101": 93.0, "hmdb51": 63.7}),
    "r2plus1d_18_fs_kinetics": ("622bdad9", "supervised", "kinetics400", {"ucf101": 94.2, "hmdb51": 65.1}),
    "r2plus1d_18_fs_imagenet": ("ff446670", "supervised", "imagenet", {"ucf101": 84.0, "hmdb51": 48.1}),
}
"""Digits, method, pretraining data and scores as the README of the XDC repository has them."""

FIXTURE = {
    "title": "A fixture",
    "method": "xdc",
    "pretrain_data": "ig_kinetics",
    "paper": "none",
    "license": {"name": "MIT", "commercial": True},
    "page": "https://example.org",
    "video": {"source": "r2plus1d"},
}
OWN_MIDPLANES = {"layer2": 288, "layer3": 576, "layer4": 1152}
"""Midplanes of the second convolution of a stage's first block, where torchvision reuses the first's."""


def official_layout() -> dict[str, Tensor]:
    """Tensors named and shaped as the released files': torchvision's, but for the midplanes of three stages."""
    with torch.device("meta"):
        shapes = {name: list(t.shape) for name, t in r2plus1d_18(num_classes=400).state_dict().items()}
    for stage, middle in OWN_MIDPLANES.items():
        block = f"{stage}.0.conv2.0"
        shapes[f"{block}.0.weight"][0] = middle
        shapes[f"{block}.3.weight"][1] = middle
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{block}.1.{tensor}"] = [middle]
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else torch.rand(shape, generator=generator) * 0.02
        for name, shape in shapes.items()
    }


def saved(content: object) -> bytes:
    """A torch file's bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return official_layout()


@pytest.fixture(scope="module")
def weights(tensors: dict[str, Tensor]) -> bytes:
    return saved(tensors)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and no proxy before this machine."""
    monkeypatch.setenv("XDCBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "weights"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of this test's own, in a folder that also holds the published numbers."""
    (tmp_path / "library" / "released").mkdir(parents=True)
    (tmp_path / "library" / "published.csv").write_bytes((folder("baselines") / "published.csv").read_bytes())
    monkeypatch.setattr(released, "folder", lambda _: tmp_path / "library")
    return tmp_path / "library"


def enter(library: Path, url: str, published: tuple[str, ...] = ()) -> None:
    """Make ``url`` the one entry of the registry."""
    name, _, digits = url.rpartition("/")[2].removesuffix(".pth").rpartition("-")
    entry = FIXTURE | {"url": url, "sha256": digits, "published": list(published)}
    released._registry.cache_clear()
    (library / "released" / "w.yaml").write_text(yaml.safe_dump({"weights": {name: entry}}))


@pytest.fixture
def server(weights: bytes, library: Path) -> Iterator[Server]:
    """Serves a file of the official layout, under a name that the registry knows."""
    with serving(weights, f"{NAME}-{hashlib.sha256(weights).hexdigest()[:8]}.pth") as state:
        enter(library, state.url)
        yield state


def video(weights: object, **settings: object) -> PretrainedEncoders:
    """Encoders from elsewhere: the video encoder with these weights, on small clips."""
    small = VideoModel(input=VideoInput(frames=2, size=16, short_side=(16, 16)))
    return PretrainedEncoders.model_validate({"video": {"model": small, "weights": str(weights), **settings}})


def stage_of(pretrained: PretrainedEncoders) -> Stage:
    """The stage that makes these encoders, as planned."""
    origin = find_origin("ig", pretrained)
    config = PretrainedStage(name="ig", encoders=pretrained, fingerprint=origin.fingerprint)
    return Stage("pretrained", "ig", config, unavailable=origin.unavailable)


def made(pretrained: PretrainedEncoders, work: Path) -> Path:
    """Run directory of ``pretrained``."""
    work.mkdir()
    stage = stage_of(pretrained)
    assert isinstance(stage.config, PretrainedStage)
    run(stage.config, {}, work, Context(suite="s"))
    return work


# --------------------------------------------------------------------------------------- the shipped list


def test_the_five_official_encoders_are_known_by_file_and_scores() -> None:
    rows = {row.id: row for row in load_published(folder("baselines") / "published.csv")}
    assert set(OFFICIAL) <= registry().keys()
    for name, (digits, method, data, scores) in OFFICIAL.items():
        release = registry()[name]
        assert release.url == (
            f"https://github.com/HumamAlwassel/XDC/releases/download/model_weights/{name}-{digits}.pth"
        )
        assert (release.file, release.sha256) == (f"{name}-{digits}.pth", digits)
        assert (release.method, release.pretrain_data) == (method, data)
        published = [rows[id_] for id_ in release.published]
        assert {row.dataset: row.value for row in published} == scores
        for row in published:
            assert (row.method, row.pretrain_data, row.split, row.frames) == (method, data, "mean", 32)


def test_an_unverified_score_keeps_its_mark(library: Path) -> None:
    enter(library, "https://example.org/w-01234567.pth", published=("t6-127", "t6-129"))
    assert summary(registry()["w"]) == (
        "A fixture; ucf101 86.8†, ucf101 93.0; video; MIT; https://example.org/w-01234567.pth; not here"
    )


@pytest.mark.parametrize(
    ("url", "published", "message"),
    [
        (
            "https://example.org/w-0123.pth",
            (),
            r"w\.yaml: weights\.w: 'sha256' = '0123'",
        ),
        ("file:///etc/w-01234567.pth", (), r"weights\.w: 'url' = 'file:"),
        ("https://example.org/w-01234567.pth", ("t6-999",), r"'t6-999' names no row"),
    ],
)
def test_a_mistake_in_the_list_is_told(
    url: str, published: tuple[str, ...], message: str, library: Path
) -> None:
    enter(library, url, published)
    with pytest.raises(UserError, match=message):
        [summary(release) for release in registry().values()]


# ------------------------------------------------------------------------------------------- planning


def test_a_plan_needs_no_download_and_knows_the_weights(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection while planning")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    marks = {find_origin("ig", video(name)) for name in OFFICIAL}
    assert len({origin.fingerprint for origin in marks}) == len(OFFICIAL)
    assert {origin.unavailable for origin in marks} == {""}
    assert not own_cache.exists()


def test_a_suite_takes_them_by_a_setting_alone() -> None:
    suite = load_suite("smoke", overrides=["encoders.ig.video.weights=r2plus1d_18_xdc_ig65m_kinetics"])
    part = suite.encoders["ig"].video
    assert part is not None
    assert part.model == VideoModel()
    assert not find_origin("ig", suite.encoders["ig"]).unavailable


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        (
            "video",
            {"weights": "r2plus1d_18_xdc_ig65m_kinetic"},
            r"did you mean 'r2plus1d_18_xdc_ig65m_kinetics'",
        ),
        (
            "video",
            {"weights": "mine"},
            r"unknown released weights, and no file, 'mine'; known: ",
        ),
        (
            "audio",
            {"weights": "r2plus1d_18_xdc_audioset"},
            r"hold no audio encoder\. Try: name them below `video`",
        ),
    ],
)
def test_a_name_that_does_not_fit_is_told(part: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_origin("ig", PretrainedEncoders.model_validate({part: settings}))


# ------------------------------------------------------------------------------------- from name to encoder


def test_a_file_of_the_official_layout_loads_whole_by_name_and_by_path(
    server: Server, tensors: dict[str, Tensor], weights: bytes, tmp_path: Path, own_cache: Path
) -> None:
    counts = {name: t.numel() for name, t in tensors.items() if name.rpartition(".")[2] in ("weight", "bias")}
    assert sum(counts.values()) == 33_370_839
    by_name = made(video(NAME), tmp_path / "name")
    assert [p.name for p in own_cache.glob("[!.]*")] == [server.url.rpartition("/")[2]]
    encoder = load_encoders(by_name, ("video",), device=CPU)["video"].eval()
    found = encoder.state_dict()
    assert found.keys() == {name for name in tensors if not name.startswith("fc.")}
    assert all(torch.equal(found[name], tensors[name]) for name in found)
    assert sum(p.numel() for p in encoder.parameters()) == 33_165_639

    path = tmp_path / "elsewhere.pth"
    path.write_bytes(weights)
    by_path = made(video(path), tmp_path / "path")
    assert stage_of(video(path)).key == stage_of(video(NAME)).key
    assert (by_path / "video.safetensors").read_bytes() == (by_name / "video.safetensors").read_bytes()
    assert load_encoder_metadata(by_path) == load_encoder_metadata(by_name)
    assert load_encoder_metadata(by_name).pretrain_data == "ig_kinetics"

    made(video(NAME), tmp_path / "again")
    assert server.asked == [""]


def test_what_the_user_states_of_the_data_stands(server: Server, tmp_path: Path) -> None:
    pretrained = video(NAME).model_copy(update={"pretrain_data": "IG-Kinetics, 65M"})
    assert load_encoder_metadata(made(pretrained, tmp_path / "run")).pretrain_data == "IG-Kinetics, 65M"


def test_files_without_counts_of_batches_fit_and_other_gaps_do_not(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    kept = {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(kept, tmp_path / "old.pth")
    folder_ = made(video(tmp_path / "old.pth"), tmp_path / "run")
    found = load_encoders(folder_, ("video",), device=CPU)["video"].state_dict()
    assert all(torch.equal(found[name], t) for name, t in kept.items() if not name.startswith("fc."))
    del kept["layer4.1.conv2.0.1.running_var"]
    torch.save(kept, tmp_path / "gap.pth")
    with pytest.raises(UserError, match=r"missing: layer4\.1\.conv2\.0\.1\.running_var\. "):
        made(video(tmp_path / "gap.pth"), tmp_path / "two")


def test_the_official_momentum_of_batchnorm_can_be_had(server: Server, tmp_path: Path) -> None:
    pretrained = video(
        NAME, model={"bn_momentum": 0.9, "input": {"frames": 2, "size": 16, "short_side": [16, 16]}}
    )
    official, ours = (
        load_encoders(made(g, tmp_path / word), ("video",), device=CPU)["video"]
        for word, g in (("official", pretrained), ("ours", video(NAME)))
    )
    norms = [m for m in official.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.9, 1e-3)}
    clip = torch.randn(1, 3, 2, 16, 16)
    with torch.inference_mode():
        assert torch.equal(official.eval()(clip), ours.eval()(clip))


# ----------------------------------------------------------------------------------------- bad files


def test_a_failed_download_is_one_message_that_says_where_the_file_goes(
    weights: bytes, server: Server, own_cache: Path, tmp_path: Path
) -> None:
    server.content = weights[:1000]
    with pytest.raises(UserError, match=r"which was removed; fetch the right one elsewhere and put it at "):
        made(video(NAME), tmp_path / "one")
    file = own_cache / server.url.rpartition("/")[2]
    file.write_bytes(weights)
    assert fetch(registry()[NAME]) == file
    made(video(NAME), tmp_path / "two")
    assert server.asked == [""]


def test_a_path_to_a_released_file_that_is_another_is_told_when_planning(
    weights: bytes, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / server.url.rpartition("/")[2]
    path.write_bytes(weights[:-1])
    with pytest.raises(
        UserError, match=rf"^{path} has the SHA-256 .* it is cut short or another file; fetch http"
    ):
        find_origin("ig", video(path))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pickled", r"no readable weights \("),
        ("no tensors", r"holds no tensors by name"),
        (
            "torchvision's",
            r"of another shape: layer2\.0\.conv2\.0\.0\.weight \(230, 128, 1, 3, 3\) for \(288, ",
        ),
        ("cut", r"no readable weights \("),
    ],
)
def test_a_right_hash_does_not_make_bad_content_good(
    kind: str, message: str, library: Path, tmp_path: Path
) -> None:
    content = {
        "pickled": saved({"stem.0.weight": Payload(tmp_path / "owned")}),
        "no tensors": saved({"epoch": 3}),
        "torchvision's": saved(r2plus1d_18(weights=None).state_dict()) if kind == "torchvision's" else b"",
        "cut": saved({"stem.0.weight": torch.zeros(1000)})[:-500],
    }[kind]
    with serving(content, f"{NAME}-{hashlib.sha256(content).hexdigest()[:8]}.pth") as state:
        enter(library, state.url)
        with pytest.raises(UserError, match=message):
            made(video(NAME), tmp_path / "run")
    assert not (tmp_path / "owned").exists()


# --------------------------------------------------------------------------------------------- cache


def test_the_cache_is_where_the_user_says_or_where_caches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDCBENCH_CACHE", "/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder("weights") == Path("/mine/weights")
    monkeypatch.delenv("XDCBENCH_CACHE")
    assert cache_folder("weights") == Path("/caches/xdcbench/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("weights") == Path("/home/me/.cache/xdcbench/weights")
