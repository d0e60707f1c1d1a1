"""Device, precision and seeds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.utils import runtime
from xdcbench.utils.runtime import UniformRows, autocast, numpy_generator, pick_device, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_cuda_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("auto") == torch.device(expected)


def test_devices_are_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("cpu") == CPU
    assert pick_device("cuda:1") == torch.device("cuda", 1)


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"--device cuda:0: no CUDA device .* use --device cpu"):
        pick_device("cuda:0")


def test_a_name_that_is_no_device_is_refused() -> None:
    with pytest.raises(UserError, match="--device 'gpu' is no device; give auto, cpu, cuda"):
        pick_device("gpu")


def test_precision_that_is_named_stays() -> None:
    assert resolve_precision("fp32", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(("able", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_precision_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, able: bool, expected: str
) -> None:
    monkeypatch.setattr(runtime, "has_bf16", lambda device: able)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize(
    ("avx", "amx", "expected"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_a_processor_needs_one_of_two_units(
    monkeypatch: pytest.MonkeyPatch, avx: bool, amx: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert runtime.has_bf16(CPU) is expected


def test_autocast_changes_products_only_where_asked() -> None:
    x = torch.randn(4, 4)
    with autocast("bf16", CPU):
        assert (x @ x).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (x @ x).dtype == torch.float32


@given(parts=st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_a_generator_depends_on_its_parts_alone(parts: list[int]) -> None:
    first = numpy_generator(*parts).random(3)
    np.random.default_rng().random()
    assert np.array_equal(first, numpy_generator(*parts).random(3))
    assert not np.array_equal(first, numpy_generator(*parts[:-1], parts[-1] + 1).random(3))


def test_the_order_of_parts_counts() -> None:
    assert numpy_generator(1, 2).random() != numpy_generator(2, 1).random()


@pytest.mark.parametrize("count", [1, UniformRows.BLOCK, 3 * UniformRows.BLOCK + 7])
def test_rows_of_values_are_those_of_one_draw(count: int) -> None:
    own, referee = numpy_generator(5), numpy_generator(5)
    own.permutation(11), referee.permutation(11)
    rows, expected = UniformRows(own, count, 5), referee.random((count, 5))
    for at in [0, count - 1, *numpy_generator(1).integers(count, size=50).tolist()]:
        assert np.array_equal(rows[at], expected[at])
    assert own.random() == referee.random()
