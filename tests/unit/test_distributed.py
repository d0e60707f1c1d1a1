"""What two processes exchange."""

from tests.unit.together import said, together


def test_sums_and_gradients_of_each_type() -> None:
    code = """
assert total(1.5 + rank()) == 4.0
one, two, lacking = (nn.Parameter(torch.zeros(3, dtype=t)) for t in (torch.float32, torch.float64, torch.float32))
one.grad = torch.full((3,), 1.0 + rank())
two.grad = torch.full((3,), 1e-12 * (1 + rank()), dtype=torch.float64)
if rank():
    lacking.grad = torch.ones(3)
sum_gradients([one, two, lacking])
assert one.grad.tolist() == [3.0] * 3 and lacking.grad.tolist() == [1.0] * 3
assert two.grad.dtype == torch.float64 and torch.allclose(two.grad, torch.full((3,), 3e-12).double(), atol=0)
barrier()
stop()
print("ended")
"""
    for out, error in said(together(code), seconds=60):
        assert out == "ended\n", error
