"""Linear SVMs with squared hinge, one against all, all classes and values of C on shared matrix products.

Each class k minimizes scikit-learn's ``LinearSVC`` objective (liblinear, Fan et al., JMLR 2008)

    P(w) = |w|^2 / 2 + C sum_i max(0, 1 - y_i w.x_i)^2,    y_i = 1 for points of class k, else -1,

whose last coordinate of x is 1, so that the intercept is penalized like a weight. The method is a semi-smooth
Newton method (Keerthi and DeCoste, JMLR 2005): the Hessian I + 2C sum_a x_a x_a^T runs over the active
points, those with a margin below 1, and the step along Newton's direction is exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

from xdcbench.errors import UserError

Array = NDArray[np.float64]

FEW = 2
"""Active points per dimension up to which a class's Hessian is cheaper to factor than to multiply by."""
CG_STEPS = 100
CG_RESIDUAL = 0.1
"""Steps and relative residual at which conjugate gradients stop; the line search mends what they leave."""
LINE_STEPS = 30
LINE_SLOPE = 1e-3
"""Steps and relative slope at which the line search stops."""


@dataclass(frozen=True)
class LinearSVMs:
    """Linear functions f(x) = weights x + intercepts, one per class.

    Attributes:
        c: weight of the squared hinge against the penalty.
        weights: float64 (classes, features).
        intercepts: float64 (classes,).
        gaps: float64 (classes,), duality gap over objective: no weights are better by a larger share.
        converged: all gaps are within the tolerance asked for.
    """

    c: float
    weights: Array
    intercepts: Array
    gaps: Array
    converged: bool

    def margins(self, x: np.ndarray) -> Array:
        """float64 (n, classes) of points (n, features)."""
        margins: Array = x @ self.weights.T + self.intercepts
        return margins


@dataclass(frozen=True)
class Axes:
    """Points in the basis of their principal axes, in which X^T X is diagonal.

    That makes one diagonal serve as preconditioner for every class and C. The objective depends on w only
    through |w| and w.x, so a rotation leaves it as it is, and directions without points drop out.

    Attributes:
        points: float64 (n, axes).
        rounded: the same in float32, for the products inside conjugate gradients.
        spread: float64 (axes,), diagonal of X^T X.
        basis: float64 (features + 1, axes), orthonormal columns.
    """

    points: Array
    rounded: NDArray[np.float32]
    spread: Array
    basis: Array

    @classmethod
    def of(cls, x: np.ndarray) -> "Axes":
        """Axes of points (n, features), float32 or float64, with the constant of the intercept."""
        points = np.hstack([x, np.ones((len(x), 1))], dtype=np.float64)
        spread, basis = np.linalg.eigh(points.T @ points)
        kept = spread > spread[-1] * len(spread) * np.finfo(float).eps
        points = points @ basis[:, kept]
        return cls(points, points.astype(np.float32), spread[kept], basis[:, kept])


def fit_linear_svms(
    x: np.ndarray, y: np.ndarray, *, cs: Sequence[float], max_iter: int = 5000, tolerance: float = 1e-8
) -> Iterator[LinearSVMs]:
    """One-vs-all SVMs for each C in ascending order, each started where the one before it ended.

    Deterministic for a number of threads.

    Args:
        x: float32 or float64 (n, features), finite.
        y: float64 (classes, n), 1 where a point is of the class and -1 elsewhere.
        cs: weights of the squared hinge, positive.
        max_iter: Newton steps per C.
        tolerance: duality gap over objective at which a class is done.

    Raises:
        UserError: as ``newton``.
    """
    axes = Axes.of(x)
    descent = Descent(axes, y, np.zeros((len(y), len(axes.spread))), np.zeros(y.shape))
    for c in sorted(cs):
        gaps = descent.run(c, max_iter=max_iter, tolerance=tolerance)
        full = descent.w @ axes.basis.T
        yield LinearSVMs(c, full[:, :-1], full[:, -1], gaps, bool((gaps <= tolerance).all()))


@dataclass(frozen=True)
class Descent:
    """Newton's method for all classes at once; those that are done drop out.

    Attributes:
        axes: of the n points.
        y: float64 (classes, n) of 1 and -1.
        w: float64 (classes, axes); updated in place.
        margins: float64 (classes, n), y times w.x; updated in place.
    """

    axes: Axes
    y: Array
    w: Array
    margins: Array

    def run(self, c: float, *, max_iter: int, tolerance: float) -> Array:
        """Go on from where the weights are, until all duality gaps over objectives are at most ``tolerance``.

        Returns:
            That ratio at the end, float64 (classes,). With the dual point a_i = 2C max(0, 1 - y_i w.x_i) the
            gap is half the gradient's square.
        """
        axes, y, w, margins = self.axes, self.y, self.w, self.margins
        gaps, live, left = np.full(len(y), np.inf), np.arange(len(y)), max_iter
        while True:
            slack = np.maximum(1 - margins[live], 0)
            gradient = w[live] - 2 * c * (y[live] * slack) @ axes.points
            gaps[live] = squares(gradient) / (squares(w[live]) + 2 * c * squares(slack))
            going = gaps[live] > tolerance
            live = live[going]
            if not len(live) or not left:
                return gaps
            left -= 1
            direction = newton(axes, slack[going] > 0, gradient[going], c=c)
            change = y[live] * (direction @ axes.points.T)
            t = exact_step(w[live], direction, margins[live], change, c=c)[:, None]
            w[live] += t * direction
            margins[live] += t * change


def squares(a: np.ndarray) -> np.ndarray:
    """Sum of squares of each row."""
    sums: np.ndarray = np.einsum("ki,ki->k", a, a)
    return sums


def newton(axes: Axes, active: NDArray[np.bool_], gradient: Array, *, c: float) -> Array:
    """Newton's direction of each class, float64 (classes, axes): exact where few points are active.

    Args:
        active: (classes, n), points with a margin below 1.
        gradient: float64 (classes, axes).

    Raises:
        UserError: C is so large that rounding makes a Hessian indefinite.
    """
    direction = np.empty_like(gradient)
    few = active.sum(axis=1) <= FEW * len(axes.spread)
    for k in np.flatnonzero(few):
        # Not by numpy: its threads and those of SciPy's LAPACK would wait for each other's cores.
        hessian = dsyrk(2 * c, axes.points[active[k]].T)
        hessian[np.diag_indices_from(hessian)] += 1
        try:
            direction[k] = cho_solve(cho_factor(hessian, overwrite_a=True), -gradient[k])
        except np.linalg.LinAlgError:
            raise UserError(f"C = {c:g} is too large for float64 on these features; leave it out") from None
    if not few.all():
        direction[~few] = conjugate_gradients(axes, active[~few], gradient[~few], c=c)
    return direction


def conjugate_gradients(axes: Axes, active: NDArray[np.bool_], gradient: Array, *, c: float) -> Array:
    """Newton's direction of each class, float64 (classes, axes), to a relative residual of CG_RESIDUAL.

    In float32: the gradient, which says where the optimum lies, is not. Were a class's active points a fair
    sample of all points, its Hessian would be diagonal in these axes; that diagonal is the preconditioner.
    """
    x, live = axes.rounded, np.arange(len(gradient))
    mask = active.astype(np.float32)
    scale = (1 / (1 + 2 * c * mask.mean(axis=1, keepdims=True) * axes.spread)).astype(np.float32)
    found = np.zeros(gradient.shape)
    direction, residual = np.zeros_like(scale), -gradient.astype(np.float32)
    search = residual * scale
    norm = (residual * search).sum(axis=1)
    goal = CG_RESIDUAL**2 * norm
    for _ in range(CG_STEPS):
        product = search + np.float32(2 * c) * ((search @ x.T) * mask) @ x
        t = (norm / (search * product).sum(axis=1))[:, None]
        direction += t * search
        residual -= t * product
        scaled = residual * scale
        last, norm = norm, (residual * scaled).sum(axis=1)
        search = scaled + (norm / last)[:, None] * search
        going = norm > goal
        if not going.all():
            found[live] = direction
            live, norm, goal = live[going], norm[going], goal[going]
            direction, residual, search = direction[going], residual[going], search[going]
            mask, scale = mask[going], scale[going]
            if not len(live):
                break
    found[live] = direction
    return found


def exact_step(w: Array, direction: Array, margins: Array, change: Array, *, c: float) -> Array:
    """Length of each class's step, float64 (classes,), that minimizes the objective along its direction.

    Along a line the objective is piecewise quadratic; Newton's method finds the zero of its slope, mostly in
    two or three steps. It cannot circle: the curvature is the sum of one that only grows along the line, of
    points that become active, one that only falls, and a constant.

    Args:
        w: float64 (classes, axes).
        direction: of descent, float64 (classes, axes).
        margins: float64 (classes, n), at the start.
        change: float64 (classes, n), of the margins per unit of length.
    """
    along, curve = (w * direction).sum(axis=1), squares(direction)
    flat = LINE_SLOPE * np.abs(along - 2 * c * (np.maximum(1 - margins, 0) * change).sum(axis=1))
    t = np.ones(len(w))
    for _ in range(LINE_STEPS):
        slack = 1 - margins - t[:, None] * change
        moving = np.where(slack > 0, change, 0)
        slope = along + t * curve - 2 * c * (slack * moving).sum(axis=1)
        if (np.abs(slope) <= flat).all():
            break
        t = t - slope / (curve + 2 * c * squares(moving))
    return t
