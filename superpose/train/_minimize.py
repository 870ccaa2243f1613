"""Local minima of an exact loss."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from numbers import Real
from threading import Event, Lock, get_ident
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from superpose.inputs import whole
from superpose.progress import progress_bar
from superpose.train._ensemble import (
    Tree,
    called,
    check_own,
    count,
    in_words,
    member,
    number,
    parameters,
    shared,
)

TYPICAL = 100
"""Evaluations of the loss that a search takes, more or less: for bars only."""
OUTCOMES = (
    "converged",
    "rounding: no step lowers the loss",
    "evaluations used up",
    "not finite",
)
"""How a search can end, by its number in `Minimum.outcome`."""

# A search has one core; also, the widest vectors, of which XLA is wary, are up to 30% faster.
COMPILER = {"xla_cpu_multi_thread_eigen": False, "xla_cpu_prefer_vector_width": 512}


class Minimum(NamedTuple):
    """What `minimize` returns, as NumPy arrays: they are float64, which JAX by itself would round."""

    models: Any
    """The parameters at the minima that were reached, with a leading `member` axis."""
    loss: Float[np.ndarray, " member"]
    """The loss at each minimum."""
    gradient: Float[np.ndarray, " member"]
    """The largest remaining slope, as a share of the loss at the start."""
    outcome: Int[np.ndarray, " member"]
    """How each search ended: its place in `OUTCOMES`."""
    evaluations: Int[np.ndarray, " member"]
    """How often each search computed the loss and its gradient."""
    eigenvalues: Float[np.ndarray, "member eigenvalue"] | None
    """The smallest eigenvalues of the Hessian, in rising order, where they were asked for."""

    @property
    def converged(self) -> Bool[np.ndarray, " member"]:
        """Which searches ended with slopes within the tolerance."""
        return self.outcome == 0

    def __repr__(self) -> str:
        return f"Minimum({in_words(self.models, self.loss)}, {np.mean(self.converged):.0%} converged)"


class _Search(NamedTuple):
    # One member's state: the best point so far, and the trial that comes next, x + t * d.
    x: Array
    f: Array
    g: Array
    scale: Array
    H: Array  # the inverse Hessian, as estimated
    d: Array
    t: Array
    evaluations: Array
    fresh: Array  # H has not been updated yet
    stalled: Array  # steps in a row that lowered the loss by no more than rounding could
    outcome: Array  # a place in OUTCOMES, or -1 as long as the search goes on


def minimize(
    models: Tree,
    loss: Callable[..., Float[Array, ""]],
    *,
    own_loss: bool = False,
    tolerance: float = 1e-6,
    evaluations: int = 1000,
    eigenvalues: int = 0,
    progress: bool = True,
) -> Minimum:
    """Take each member to a local minimum of an exact `loss`, in float64.

    `models` are any parameters: a pytree of arrays with a leading `member` axis, of which `loss`
    takes one member; this may be any callable that needs no key. `own_loss` is as for `fit`. Each member is
    a search of its own, by BFGS with an Armijo line search; they are shared among `jax.devices()`, and
    the number of devices does not change a bit of any result. A member has converged where no slope exceeds
    `tolerance` times the loss of its start. `OUTCOMES` lists why others stopped.

    Raises TypeError for a loss that draws with a key: use `fit`, or the same draw each time. Raises ValueError for fewer
    than one evaluation, a negative tolerance or number of eigenvalues, and losses that are not one for each member.

    `eigenvalues=k` also computes the `k` smallest eigenvalues of the Hessian. A negative one means a
    saddle. Rotations of `m` hidden dimensions cost nothing, so `m (m - 1) / 2` are 0, up to the
    remaining gradient.

    Meant for up to about a thousand weights per model, because memory and work grow with their square.
    Use `fit` for larger models and for losses that are sampled.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Population
    >>> from superpose.models import ReluOutput
    >>> from superpose.train import ensemble
    >>> models = ensemble(lambda key: ReluOutput.init(2, 1, key=key), members=9, key=jax.random.key(0))
    >>> solved = minimize(models, Population(Independent(0.1, n_features=2)), eigenvalues=1)
    >>> best = solved.loss.argmin()
    >>> bool(solved.loss[best] <= 2 * 0.1**2 / 6)  # no worse than an antipodal pair of unit weights
    True
    >>> OUTCOMES[solved.outcome[best]], bool(solved.eigenvalues[best, 0] > 0)
    ('converged', True)
    """
    evaluations, eigenvalues = whole(evaluations, "evaluations"), whole(eigenvalues, "eigenvalues")
    if not isinstance(tolerance, Real):
        raise TypeError(f"tolerance must be a number, got {tolerance!r:.40}")
    if evaluations < 1 or eigenvalues < 0 or not tolerance >= 0:
        raise ValueError(
            "evaluations must be at least 1, eigenvalues and tolerance not negative, "
            f"got {evaluations=}, {eigenvalues=}, {tolerance=}"
        )
    called(loss, with_key=False)
    with _exactly():
        models = parameters(models, np.float64)
        members = count(models)
        if own_loss:
            loss = jax.tree.map(lambda leaf: np.asarray(leaf) if eqx.is_array(leaf) else leaf, loss)
            check_own(loss, members)
        unravel = ravel_pytree(member(models, 0))[1]
        leaves = jax.tree.leaves(models)
        starts = np.concatenate([leaf.reshape(members, -1) for leaf in leaves], axis=1)
        limits = np.float64(tolerance), np.int64(evaluations)

        common = None if own_loss else loss

        def own(at):
            return member(loss, at) if own_loss else None

        side = max(1, min(members, _side(starts.shape[1])))
        onward = partial(_rounds, unravel=unravel, limits=limits, side=side)
        ends = _search_all(starts, common, own, onward, side, progress)

        minima, curvatures = ends["x"], []
        for start in range(0, members if eigenvalues else 0, side):
            at = np.minimum(np.arange(start, start + side), members - 1)
            spectrum = _curvatures(jnp.asarray(minima[at]), own(at), common, unravel)
            curvatures.append(np.asarray(spectrum)[:, :eigenvalues])
        gradient = np.abs(ends["g"]).max(axis=1) / ends["scale"]
        return Minimum(
            jax.tree.map(np.asarray, jax.vmap(unravel)(jnp.asarray(minima))), ends["f"], gradient, ends["outcome"],
            ends["evaluations"], np.concatenate(curvatures)[:members] if eigenvalues else None,
        )  # fmt: skip


def filled(models: Tree) -> int:
    """How many members make results of `minimize` the same, bit for bit, whichever and however many others there are.

    With fewer, they may differ by rounding, as fewer go side by side.

    >>> from superpose.models import ReluOutput
    >>> filled(ReluOutput.init(2, 1, key=0))  # one model, of four numbers
    64
    """
    return max(1, _side(sum(np.size(leaf) for leaf in jax.tree.leaves(models))))


def _side(numbers: int) -> int:
    """How many members, of this many numbers, go side by side: as many as fill a cache, or a chip.

    Their H take half a gigabyte at most.
    """
    most = min(max(256 // numbers, 8), 64) if jax.default_backend() == "cpu" else 4096
    return min(most, 2**26 // numbers**2)


@contextmanager
def _exactly() -> Iterator[None]:
    """Double precision, and promotion that does not get in the way; each thread has its own settings."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def _search_all(starts, common, own, onward, side, progress) -> dict[str, np.ndarray]:
    """Where the searches from all starts end, by the fields of `_Search`.

    Workers, as many as cores or devices, take members from a queue into slots of their own, in rows
    of `side`, and advance them until they end.
    """
    members, devices = len(starts), jax.devices()
    cores = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
    workers = min(-(-members // side), max(len(devices), cores))
    slots = side * max(1, min(4096 // side, -(-members // (side * workers))))
    empty = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(_begin, starts[0]))
    kept = ("x", "f", "g", "scale", "evaluations", "outcome")
    ends = {name: np.zeros((members, *(a := getattr(empty, name)).shape), a.dtype) for name in kept}
    lock, stopped, queue, finished = Lock(), Event(), iter(range(members)), 0
    at_work: dict[int, float] = {}  # by thread, how much is done of the searches that it has, more or less

    def further(state, who, order, begins, device):
        # Past the last member, a slot is empty.
        at = np.minimum(who, members - 1)
        new = order, begins, starts[at], own(at)
        return onward(*eqx.filter_shard((state, new, common), device))

    def work(state, device):
        nonlocal finished
        who = np.full(slots, members)
        with _exactly():
            while not stopped.is_set():
                free = np.flatnonzero(who == members)
                with lock:
                    taken = list(islice(queue, len(free)))
                who[free[: len(taken)]] = taken
                # Members at work come first: a row without any costs nothing.
                order = np.argsort(who == members, kind="stable")
                who = who[order]
                if who[0] == members:
                    return
                state = further(state, who, order, np.isin(who, taken), device)
                done = np.flatnonzero((np.asarray(state.outcome) >= 0) & (who < members))
                for name, end in ends.items():
                    end[who[done]] = np.asarray(getattr(state, name))[done]
                who[done] = members
                tried = np.asarray(state.evaluations)[who < members]
                with lock:
                    finished += len(done)
                    at_work[get_ident()] = (tried / (tried + TYPICAL)).sum()
                    advanced(finished + sum(at_work.values()))

    # Compiled before the workers need it; each then runs a program for one core.
    empty = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (slots, *leaf.shape)), empty)
    nobody, no = np.full(slots, members), np.zeros(slots, bool)
    with progress_bar("compiling", None, progress), shared(common, members):
        states = [further(empty, nobody, np.arange(slots), no, device) for device in devices[:workers]]
    with ThreadPoolExecutor(workers) as pool, progress_bar("minimizing", members, progress) as advanced:
        try:
            list(pool.map(work, islice(cycle(states), workers), cycle(devices)))
        finally:
            stopped.set()
    return ends


@eqx.filter_jit(compiler_options=COMPILER)  # type: ignore[call-overload]
def _rounds(state, new, shared, unravel, limits, side) -> _Search:
    """Put the members in `order`, begin the new ones, and advance each by up to 8 evaluations."""
    order, begins, starts, own = new
    tolerance, evaluations = limits
    begun = jax.vmap(_begin)(starts)

    def arranged(old, new):
        return jnp.where(begins.reshape(-1, *[1] * (new.ndim - 1)), new, old[order])

    def row(each):
        state, own = each

        def search(state, own):
            return _search(
                jax.value_and_grad(_of_numbers(own, shared, unravel)), tolerance, evaluations, state
            )

        def advance(carry):
            done, state = carry
            return done + 1, jax.vmap(search)(state, own)

        def unfinished(carry):
            done, state = carry
            return (done < 8) & (state.outcome < 0).any()

        return jax.lax.while_loop(unfinished, advance, (0, state))[1]

    rows = jax.tree.map(
        lambda leaf: leaf.reshape(-1, side, *leaf.shape[1:]), (jax.tree.map(arranged, state, begun), own)
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.lax.map(row, rows))


def _of_numbers(own, shared, unravel) -> Callable[[Array], Array]:
    """A member's loss as a function of all its parameters as one vector."""
    loss = shared if own is None else own
    return lambda x: number(loss(unravel(x))).astype(x.dtype)


@eqx.filter_jit
def _curvatures(x, own, shared, unravel) -> Float[Array, "member eigenvalue"]:
    """All eigenvalues of the Hessian, which is computed one column at a time."""

    def spectrum(x, own):
        slope = jax.grad(_of_numbers(own, shared, unravel))
        H = jax.lax.map(lambda along: jax.jvp(slope, (x,), (along,))[1], jnp.eye(len(x)))
        return jnp.linalg.eigvalsh((H + H.T) / 2)

    return jax.vmap(spectrum)(x, own)


def _begin(x: Array) -> _Search:
    zero = jnp.zeros_like(x)
    return _Search(
        x, f=jnp.array(jnp.inf), g=zero, scale=jnp.array(1.0), H=jnp.eye(len(x)), d=zero, t=jnp.array(0.0),
        evaluations=jnp.array(0), fresh=jnp.array(True), stalled=jnp.array(0), outcome=jnp.int8(-1),
    )  # fmt: skip


def _search(value_and_gradient, tolerance, evaluations, state: _Search) -> _Search:
    """One evaluation: take the trial step or shorten it."""
    x = state.x + state.t * state.d
    f, g = value_and_gradient(x)
    first = state.evaluations == 0
    slope = state.g @ state.d
    # At the bottom, rounding may keep a step from lowering the loss by what the slope promises.
    rounding = 1e-15 * jnp.where(first, 0.0, state.f)
    good = first | (f <= state.f + 1e-4 * state.t * slope + rounding)
    scale = jnp.where(first, jnp.maximum(f, 1e-300), state.scale)

    s, y = x - state.x, g - state.g
    sy, yy = s @ y, y @ y
    curved = good & ~first & (sy > 1e-10 * jnp.sqrt((s @ s) * yy))
    H = jnp.where(curved & state.fresh, (sy / jnp.where(curved, yy, 1.0)) * jnp.eye(len(x)), state.H)
    rho = 1 / jnp.where(curved, sy, 1.0)
    Hy = H @ y
    updated = H - rho * (jnp.outer(s, Hy) + jnp.outer(Hy, s)) + rho * (rho * (y @ Hy) + 1) * jnp.outer(s, s)
    H = jnp.where(curved, updated, H)

    ahead = -H @ g
    downhill = ahead @ g < 0
    H = jnp.where(downhill, H, jnp.eye(len(x)))
    ahead = jnp.where(downhill, ahead, -g)

    # Before anything is known of the curvature, no weight moves by more than 0.1.
    full = jnp.where(state.fresh & ~curved, 0.1 / jnp.maximum(jnp.abs(g).max(), 0.1), 1.0)

    # After a rejected step, go to the lowest point of the parabola through what is known, within bounds.
    lower = f - state.f - slope * state.t
    shorter = -slope * state.t**2 / (2 * jnp.where(lower > 0, lower, 1.0))
    shorter = jnp.clip(jnp.where(jnp.isfinite(shorter), shorter, 0.0), 0.1 * state.t, 0.5 * state.t)

    new = _Search(
        x=jnp.where(good, x, state.x),
        f=jnp.where(good, f, state.f),
        g=jnp.where(good, g, state.g),
        scale=scale,
        H=jnp.where(good, H, state.H),
        d=jnp.where(good, ahead, state.d),
        t=jnp.where(good, full, shorter),
        evaluations=state.evaluations + 1,
        fresh=state.fresh & ~curved,
        stalled=jnp.where(good & (state.f - f > 10 * rounding), 0, state.stalled + good),
        outcome=state.outcome,
    )
    finite = jnp.isfinite(new.f) & jnp.isfinite(new.g).all()
    flat = jnp.abs(new.g).max() <= tolerance * scale
    stuck = (~good & (new.t < 1e-12)) | (new.stalled >= 5)
    ends = ~finite, flat, stuck, new.evaluations >= evaluations
    new = new._replace(outcome=jnp.select(ends, [jnp.int8(place) for place in (3, 0, 1, 2)], jnp.int8(-1)))
    return jax.tree.map(lambda old, new: jnp.where(state.outcome < 0, new, old), state, new)
