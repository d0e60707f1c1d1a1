"""Linear classifiers on top of an encoder, one per label source."""

from torch import Tensor, nn


class Heads(nn.Module):
    """One linear classifier per label source, W ~ N(0, 0.01), b = 0 (DeepCluster's).

    The classifiers are the row blocks of one linear layer, in the order of ``sizes``: one product serves
    them all, and a source may have any name.
    """

    def __init__(self, features: int, sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.linear = nn.Linear(features, sum(sizes.values()))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map features, (B, F), to the logits of each source, (B, its classes)."""
        logits = self.linear(x).split(list(self.sizes.values()), dim=1)
        return dict(zip(self.sizes, logits, strict=True))
