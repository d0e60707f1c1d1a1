"""The solver of linear SVMs: against LinearSVC, its dual problem, SciPy, and rules that hold for all inputs."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.svm import LinearSVC

from xdcbench.errors import UserError
from xdcbench.evaluation import squared_hinge
from xdcbench.evaluation.squared_hinge import (
    Axes,
    LinearSVMs,
    conjugate_gradients,
    exact_step,
    fit_linear_svms,
    newton,
)

CS = (1e-4, 1e-2, 1.0, 100.0)


def problem(
    n: int, d: int, classes: int, *, seed: int = 0, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Correlated points off the origin, float32 (n, d), and their signs, float64 (classes, n)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    mix = rng.normal(size=(d, d)) * np.arange(1, d + 1) ** -0.7
    x = rng.normal(size=(classes, d))[labels] + spread * rng.normal(size=(n, d)) @ mix + 0.5
    return x.astype(np.float32), np.where(labels == np.arange(classes)[:, None], 1.0, -1.0)


def objective(x: np.ndarray, y: np.ndarray, found: LinearSVMs) -> np.ndarray:
    slack = np.maximum(1 - y * found.margins(x).T, 0)
    penalty = (found.weights**2).sum(axis=1) + found.intercepts**2
    return penalty / 2 + found.c * (slack**2).sum(axis=1)


def liblinear(x: np.ndarray, y: np.ndarray, c: float, tol: float = 1e-10) -> LinearSVMs:
    """Each class by LinearSVC on its own; by its dual where there are fewer points than features."""
    dual = x.shape[0] < x.shape[1]
    models = [
        LinearSVC(C=c, tol=tol, dual=dual, max_iter=100_000, random_state=0).fit(x, signs) for signs in y
    ]
    weights, intercepts = np.vstack([m.coef_ for m in models]), np.concatenate([m.intercept_ for m in models])
    return LinearSVMs(c, weights, intercepts, np.zeros(len(y)), True)


@pytest.mark.parametrize("c", CS)
@pytest.mark.parametrize(("n", "d", "classes"), [(900, 12, 5), (90, 30, 3), (40, 60, 4)])
def test_objective_and_margins_are_those_of_liblinear(c: float, n: int, d: int, classes: int) -> None:
    x, y = problem(n, d, classes)
    (own,), peer = fit_linear_svms(x, y, cs=(c,)), liblinear(x, y, c)
    assert own.converged
    least = objective(x, y, peer)
    np.testing.assert_allclose(objective(x, y, own), least, rtol=1e-6)
    np.testing.assert_allclose(own.margins(x), peer.margins(x), atol=2e-3)


def test_both_kinds_of_newton_step_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would leave one of them untested."""
    calls: list[int] = []

    def counting(axes: Axes, active: np.ndarray, gradient: np.ndarray, *, c: float) -> np.ndarray:
        calls.append(len(active))
        return conjugate_gradients(axes, active, gradient, c=c)

    monkeypatch.setattr(squared_hinge, "conjugate_gradients", counting)
    x, y = problem(900, 12, 5)
    assert next(fit_linear_svms(x, y, cs=(1e-2,))).converged and len(calls) > 1
    calls.clear()
    x, y = problem(90, 60, 3)
    assert next(fit_linear_svms(x, y, cs=(1.0,))).converged and not calls


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 150),
    d=st.integers(1, 20),
    classes=st.integers(2, 4),
    seed=st.integers(0, 99),
    c=st.floats(-5, 3).map(lambda power: 10**power),
)
def test_no_weights_are_better(n: int, d: int, classes: int, seed: int, c: float) -> None:
    """The gap is the distance to the dual objective, worked out here from its definition; nothing beats it."""
    x, y = problem(n, d, classes, seed=seed)
    (own,) = fit_linear_svms(x, y, cs=(c,))
    primal = objective(x, y, own)
    extended = np.hstack([x, np.ones((n, 1))], dtype=np.float64)
    a = 2 * c * np.maximum(1 - y * own.margins(x).T, 0)
    dual = a.sum(axis=1) - (((a * y) @ extended) ** 2).sum(axis=1) / 2 - (a**2).sum(axis=1) / (4 * c)
    assert own.converged and (own.gaps <= 1e-8).all()
    np.testing.assert_allclose((primal - dual) / primal, own.gaps, atol=1e-9)
    assert (primal <= objective(x, y, liblinear(x, y, c, tol=1e-4)) * (1 + 1e-8)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), n=st.sampled_from([60, 400]))
def test_a_warm_start_ends_where_a_cold_one_does(seed: int, n: int) -> None:
    x, y = problem(n, 10, 3, seed=seed)
    warm = list(fit_linear_svms(x, y, cs=CS[::-1], tolerance=1e-12))
    assert [found.c for found in warm] == sorted(CS)
    for found in warm:
        (cold,) = fit_linear_svms(x, y, cs=(found.c,), tolerance=1e-12)
        np.testing.assert_allclose(found.weights, cold.weights, atol=1e-5 * np.abs(cold.weights).max())


def test_classes_do_not_touch_each_other() -> None:
    x, y = problem(300, 15, 5)
    (own,) = fit_linear_svms(x, y, cs=(0.1,), tolerance=1e-12)
    order = np.array([3, 0, 4, 2, 1])
    (mixed,) = fit_linear_svms(x, y[order], cs=(0.1,), tolerance=1e-12)
    np.testing.assert_allclose(mixed.weights, own.weights[order], atol=1e-6)
    (alone,) = fit_linear_svms(x, y[2:3], cs=(0.1,), tolerance=1e-12)
    np.testing.assert_allclose(alone.weights[0], own.weights[2], atol=1e-6)


def test_every_point_twice_is_twice_the_c() -> None:
    x, y = problem(120, 8, 3)
    (twice,) = fit_linear_svms(np.vstack([x, x]), np.hstack([y, y]), cs=(0.05,), tolerance=1e-12)
    (double,) = fit_linear_svms(x, y, cs=(0.1,), tolerance=1e-12)
    np.testing.assert_allclose(twice.weights, double.weights, atol=1e-6)
    np.testing.assert_allclose(twice.intercepts, double.intercepts, atol=1e-6)


def test_features_that_say_nothing_get_no_weight() -> None:
    """A constant zero, and a feature given twice, whose two weights share what one would have."""
    x, y = problem(200, 6, 3)
    (own,) = fit_linear_svms(np.hstack([x, np.zeros((200, 1)), x[:, :1]]), y, cs=(0.3,))
    np.testing.assert_allclose(own.weights[:, 6], 0, atol=1e-9)
    np.testing.assert_allclose(own.weights[:, 7], own.weights[:, 0], atol=1e-9)


def test_identical_points_of_two_classes_end_at_zero() -> None:
    """Half the points pull each way: by symmetry f = 0 is best."""
    x, y = np.full((10, 3), 2.0, dtype=np.float32), np.where(np.arange(10) < 5, 1.0, -1.0)[None]
    (own,) = fit_linear_svms(x, y, cs=(1.0,))
    assert own.converged
    np.testing.assert_allclose(own.margins(x), 0, atol=1e-7)


def test_a_hand_worked_case() -> None:
    """One feature, points at 1 and -1: f = w x with 1/2 w^2 + 2C (1 - w)^2 least at w = 4C / (1 + 4C)."""
    x, y = np.array([[1.0], [-1.0]]), np.array([[1.0, -1.0]])
    for found in fit_linear_svms(x, y, cs=(0.25, 1.0)):
        assert found.weights == pytest.approx(4 * found.c / (1 + 4 * found.c), abs=1e-6)
        assert found.intercepts == pytest.approx(0, abs=1e-6)


def test_too_few_steps_are_told_and_more_steps_never_hurt() -> None:
    x, y = problem(400, 20, 4)
    runs = [next(fit_linear_svms(x, y, cs=(10.0,), max_iter=steps)) for steps in (0, 1, 2, 4, 50)]
    assert [run.converged for run in runs] == [False, False, False, False, True]
    assert (runs[0].weights == 0).all() and (runs[1].gaps > 1e-8).any()
    for fewer, more in pairwise(runs):
        assert (objective(x, y, more) <= objective(x, y, fewer)).all()


@pytest.mark.parametrize("c", [1e-12, 1e6])
def test_extreme_cs_converge(c: float) -> None:
    x, y = problem(900, 12, 5)
    assert next(fit_linear_svms(x, y, cs=(c,))).converged


def test_a_c_beyond_double_precision_is_told() -> None:
    x, y = problem(90, 30, 3)
    with pytest.raises(
        UserError, match=r"C = 1e\+15 is too large for float64 on these features; leave it out"
    ):
        list(fit_linear_svms(x, y, cs=(1e15,)))


def test_the_same_bits_each_time() -> None:
    x, y = problem(500, 20, 6)
    first, again = (list(fit_linear_svms(x, y, cs=CS)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_the_axes_keep_the_geometry() -> None:
    x, _ = problem(50, 80, 2)
    axes = Axes.of(x)
    assert axes.points.shape == (50, 50)
    extended = np.hstack([x, np.ones((50, 1))], dtype=np.float64)
    np.testing.assert_allclose(axes.points @ axes.points.T, extended @ extended.T, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(axes.points.T @ axes.points, np.diag(axes.spread), atol=1e-6 * axes.spread[-1])


def test_newtons_direction_is_exact_where_few_points_are_active() -> None:
    x, y = problem(600, 25, 4)
    axes, c, rng = Axes.of(x), 0.3, np.random.default_rng(0)
    active = rng.random(y.shape) < np.array([[0.01], [0.04], [0.07], [0.8]])
    gradient = rng.normal(size=(4, 26))
    found = newton(axes, active, gradient, c=c)
    for k in range(3):
        points = axes.points[active[k]]
        wanted = np.linalg.solve(np.eye(26) + 2 * c * points.T @ points, -gradient[k])
        np.testing.assert_allclose(found[k], wanted, rtol=1e-8)
    np.testing.assert_array_equal(found[3:], conjugate_gradients(axes, active[3:], gradient[3:], c=c))


def test_conjugate_gradients_solve_newtons_system() -> None:
    """To the residual promised, in the preconditioner's norm; a class whose points are all active exactly."""
    x, y = problem(600, 25, 4)
    axes, c, rng = Axes.of(x), 0.3, np.random.default_rng(0)
    active = rng.random(y.shape) < np.array([[0.1], [0.4], [0.8], [1.0]])
    gradient = rng.normal(size=(4, 26)) * np.sqrt(axes.spread)
    found = conjugate_gradients(axes, active, gradient, c=c)
    for k in range(4):
        points = axes.points[active[k]]
        hessian = np.eye(26) + 2 * c * points.T @ points
        scale = 1 / (1 + 2 * c * active[k].mean() * axes.spread)
        left = hessian @ found[k] + gradient[k]
        assert left @ (scale * left) <= 0.11**2 * (gradient[k] @ (scale * gradient[k]))
        assert found[k] @ gradient[k] < 0
    np.testing.assert_allclose(found[3], -gradient[3] / (1 + 2 * c * axes.spread), rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), c=st.floats(-4, 3).map(lambda power: 10**power), n=st.integers(1, 60))
def test_steps_along_a_line_are_the_best(seed: int, c: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    w, direction = rng.normal(size=(2, 3, 4))
    margins, change = rng.normal(size=(3, n)) * 3, rng.normal(size=(3, n)) * rng.choice([0.01, 1, 30])

    def value(t: float, k: int) -> float:
        slack = np.maximum(1 - margins[k] - t * change[k], 0)
        return float(((w[k] + t * direction[k]) ** 2).sum() / 2 + c * (slack**2).sum())

    slope = (w * direction).sum(axis=1) - 2 * c * (np.maximum(1 - margins, 0) * change).sum(axis=1)
    sign = -np.sign(slope)[:, None]  # of descent, as the solver's directions are
    direction, change = sign * direction, sign * change
    found = exact_step(w, direction, margins, change, c=c)
    for k in range(3):
        best = minimize_scalar(value, args=(k,), bounds=(0, 2 * found[k] + 10), method="bounded")
        # A convex function lies above its tangents: a slope of a thousandth of the first allows this much.
        excess = 1e-3 * abs(slope[k]) * abs(found[k] - best.x)
        assert value(found[k], k) <= best.fun + excess + 1e-12 * value(0, k)
