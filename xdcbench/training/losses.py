"""Losses of classes: one class of each item, or several."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def single_label_loss(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy.

    Args:
        logits: float32 (B, classes).
        classes: int64 (B,).

    Returns:
        The mean over clips, and whether the highest logit is that of the class, bool (B,).
    """
    return cross_entropy(logits, classes), logits.argmax(1) == classes


def multi_label_loss(logits: Tensor, sets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of a sigmoid per class, summed over classes.

    The mean over classes would have gradients of the number of classes below those of a softmax, at one learning rate.

    Args:
        logits: float32 (B, classes).
        sets: float32 (B, classes) of 0 and 1.

    Returns:
        The mean over clips, and whether the highest logit is that of a class of the item, bool (B,).
    """
    loss = binary_cross_entropy_with_logits(logits, sets, reduction="sum") / len(logits)
    right: Tensor = sets.gather(1, logits.argmax(1, keepdim=True))[:, 0] > 0
    return loss, right
