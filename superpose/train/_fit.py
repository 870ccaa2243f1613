"""Training on samples."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from superpose.draws import AnyKey, key_of, stream
from superpose.inputs import whole
from superpose.progress import progress_bar
from superpose.train._ensemble import (
    DRAWS,
    Tree,
    called,
    check_own,
    count,
    in_words,
    member,
    member_keys,
    number,
    parameters,
    shared,
)


def _block(models, loss) -> int:
    """How many members of this size `fit` trains side by side: always exactly this many.

    XLA adds up in another order in ensembles of another size. In blocks of one size, which share
    one program, a member has the same bits alone and in any ensemble; blocks also stay in cache.
    """
    if _follows(loss):  # larger models: the steps of several would be no quicker than one after another
        return 1
    weights = max(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(models))
    return 8 if weights < 8 else 5 if weights < 4096 else 2


def _follows(loss) -> bool:
    return hasattr(loss, "observed") and hasattr(loss, "after")


class Fit(NamedTuple):
    """What `fit` returns."""

    models: Any
    """The trained models, with a leading `member` axis."""
    history: Float[Array, "member step"]
    """The loss, averaged over windows of steps that end at `steps`."""
    steps: Int[np.ndarray, " step"]
    """The last step of each window."""
    snapshots: Any
    """The models after each of the steps asked for, leading axes `(snapshot, member)`."""

    def __repr__(self) -> str:
        return f"Fit({in_words(self.models, self.history[..., -1])}, on samples, {jnp.max(self.steps)} steps)"


def cosine_adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Adam with a learning rate that falls from `rate` to 0 along a cosine, in `steps` steps.

    >>> optimizer = cosine_adam(0.1, steps=10)
    >>> step, _ = optimizer.update(jnp.array(2.0), optimizer.init(jnp.array(0.0)))
    >>> round(float(step), 4)  # the first step is the whole rate, downhill
    -0.1
    """
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def fit(
    models: Tree,
    loss: Callable[..., Float[Array, ""]],
    *,
    steps: int,
    key: AnyKey,
    optimizer: optax.GradientTransformation | None = None,
    own_loss: bool = False,
    window: int = 100,
    snapshots: Sequence[int] = (),
    progress: bool = True,
) -> Fit:
    """Train each member on `loss` for `steps` steps, with fresh draws at each.

    `models` are any parameters: a pytree of arrays with a leading `member` axis, of which `loss` takes
    one member: `loss(model, key)`, or `loss(model)` where nothing is drawn. It may be any callable. One
    that is a pytree, like those of `superpose.losses`, is compiled once, whatever its arrays; a plain
    function is compiled once for each function.
    `optimizer` is `optax.adam(1e-3)` unless given; for a learning rate that changes, give it a schedule, as `cosine_adam`
    does. It may need the loss itself, as L-BFGS does. With `own_loss`, the leaves of `loss` have a
    leading `member` axis, one loss for each member; otherwise all share one. `key` is one key, from
    which member `i` gets `fold_in(key, i)`, or an array of the members' own keys. At step `t` a member
    draws with `fold_in(draws.stream(own_key, "draws of training"), t)` and nothing else; so `key` may
    be the one that `ensemble` had.

    A loss may follow training with numbers that have no gradient, such as running means: one with
    `observed(model, key) -> (loss, seen)` and `after(model, seen) -> model` is asked for the former at each step,
    and the latter makes, of the model that the step gave, the one that the next step starts from.

    Raises ValueError for a number of steps or a window below 1, for snapshots outside
    `0..steps`, and for arrays, keys or losses that are not one for each member; TypeError for a loss or an
    optimizer that is none.

    >>> from superpose.features import Independent
    >>> from superpose.losses import Sampled
    >>> from superpose.models import ReluOutput
    >>> from superpose.train import ensemble
    >>> key = jax.random.key(0)
    >>> models = ensemble(lambda key: ReluOutput.init(3, 1, key=key), members=2, key=key)
    >>> result = fit(models, Sampled(Independent(0.1, n_features=3)), steps=200, key=key)
    >>> result.history.shape, bool((result.history[:, 1] < result.history[:, 0]).all())
    ((2, 2), True)
    """
    steps, window = whole(steps, "steps"), whole(window, "window")
    if steps < 1 or window < 1:
        raise ValueError(f"steps and window must be at least 1, got steps={steps}, window={window}")
    if not isinstance(snapshots, Iterable):
        raise TypeError(f"snapshots must be steps, such as (0, {steps}), got {snapshots!r:.40}")
    snapshots = [whole(at, "snapshots") for at in snapshots]
    if any(not 0 <= at <= steps for at in snapshots):
        raise ValueError(f"snapshots must be within 0..{steps}, got {snapshots}")
    optimizer = _ADAM if optimizer is None else optimizer
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(
            f"optimizer must be one of optax, such as optax.adam(1e-3), got {type(optimizer).__name__}"
        )
    models = parameters(models)
    members, size, devices = count(models), _block(models, loss), jax.devices()
    called(loss, with_key=True)
    # Arrays are traced; what else the loss has, such as a function, is part of the program.
    arrays, rest = eqx.partition(loss, eqx.is_array)
    leaves, kind = jax.tree.flatten(rest)
    if own_loss:
        check_own(arrays, members)
    key = key_of(key)
    keys = member_keys(key, members) if key.ndim == 0 else key
    if keys.shape != (members,):
        raise ValueError(
            f"key must be one key, or one for each of the {members} members, got shape {keys.shape}"
        )

    program = _ON_ALL_CORES if size == 1 else _ON_ONE_CORE

    def advance(*state):
        # Optax does not comply with strict promotion, and each thread has its own setting.
        with jax.numpy_dtype_promotion("standard"):
            return program(optimizer, own_loss, kind, tuple(leaves), *state)

    with jax.numpy_dtype_promotion("standard"):
        ensemble = (models, jax.vmap(optimizer.init)(models)), keys

    def begin(block):
        at = np.minimum(np.arange(block * size, (block + 1) * size), members - 1)  # the last one repeats
        part = *_at(ensemble, at), _at(arrays, at) if own_loss else arrays  # copies, which can be donated
        state, key, own = jax.device_put(part, devices[block % len(devices)])
        none = np.int32(0)
        return advance(state, key, own, none, none)[0], key, own  # no step yet, but compiled

    def by_member(parts):
        """What was computed for each block, from wherever it was, as one array per leaf."""
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:members], *parts)

    ends = sorted({*range(window, steps, window), steps})
    stops = sorted({*ends, *snapshots} - {0})
    with progress_bar("compiling", None, progress), shared(None if own_loss else loss, members):
        blocks = [begin(block) for block in range(-(-members // size))]
    kept = {0: jax.tree.map(np.asarray, models)} if 0 in snapshots else {}
    history, total, start, since = [], 0.0, 0, 0
    # Each block is a program for one core; threads, which wait in XLA, keep all cores busy.
    workers = min(len(blocks), max(len(devices), os.cpu_count() or 1))
    with ThreadPoolExecutor(workers) as pool, progress_bar("training", steps, progress) as advanced:
        for stop in stops:
            span = (np.int32(start), np.int32(stop))
            done = list(pool.map(lambda block: jax.block_until_ready(advance(*block, *span)), blocks))  # noqa: B023
            blocks = [(part, key, own) for (part, _), (_, key, own) in zip(done, blocks, strict=True)]
            total, start = total + by_member([loss for _, loss in done]), stop
            if stop in snapshots:
                kept[stop] = by_member([model for (model, _), _, _ in blocks])
            if stop in ends:
                history.append(total / (stop - since))
                total, since = 0.0, stop
                advanced(stop)
    taken = None
    if snapshots:
        taken = jax.tree.map(lambda *leaves: np.stack(leaves), *(kept[at] for at in sorted(kept)))
    trained = jax.tree.map(jnp.asarray, by_member([model for (model, _), _, _ in blocks]))
    return Fit(trained, jnp.stack(history, axis=1), np.array(ends), taken)


_at = jax.jit(member)
_ADAM = optax.adam(1e-3)  # one object, so that a second `fit` finds the first one's program


def _advance(optimizer, own_loss, kind, leaves, ensemble, keys, arrays, start, stop):
    """The members of a block after the steps `start..stop`, and the sums of their losses."""
    update = optax.with_extra_args_support(optimizer).update
    rest = jax.tree.unflatten(kind, leaves)

    def train(model, state, key, arrays):
        whole = eqx.combine(arrays, rest)
        follows = _follows(whole)
        loss, key = called(whole, with_key=True), stream(key, DRAWS)

        def body(t, carry):
            model, state, total = carry

            def here(model):
                return number(loss(model, jax.random.fold_in(key, t)))

            def observed(model):
                if not follows:
                    return here(model), None
                value, seen = whole.observed(model, jax.random.fold_in(key, t))
                return number(value), seen

            (value, seen), gradient = jax.value_and_grad(observed, has_aux=True)(model)
            # Some optimizers need more than the gradient: the loss, or its value elsewhere on the same draw.
            updates, state = update(gradient, state, model, value=value, grad=gradient, value_fn=here)
            model = optax.apply_updates(model, updates)
            if follows:
                model = whole.after(model, seen)
            return model, state, total + value.astype(jnp.float32)

        return jax.lax.fori_loop(start, stop, body, (model, state, jnp.float32(0)))

    model, state = ensemble
    if len(keys) > 1:
        axes = (0, 0, 0, 0 if own_loss else None)
        model, state, total = jax.vmap(train, in_axes=axes)(model, state, keys, arrays)
    else:  # XLA is slower with a batch of one than with none
        given = model, state, keys, arrays if own_loss else jax.tree.map(lambda leaf: leaf[None], arrays)
        alone = train(*jax.tree.map(lambda leaf: leaf[0], given))
        model, state, total = jax.tree.map(lambda leaf: leaf[None], alone)
    return (model, state), total


def _program(cores):
    options = {"xla_cpu_multi_thread_eigen": cores}
    return jax.jit(_advance, static_argnums=(0, 1, 2, 3), donate_argnums=(4,), compiler_options=options)


# Products of large matrices may use all cores where a block is one model: their sums are in the same order.
_ON_ONE_CORE, _ON_ALL_CORES = _program(False), _program(True)
