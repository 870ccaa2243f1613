"""What a model is trained to make small: `loss(model, key) -> scalar`, sampled or exact.

Each is the mean over samples of `sum_i importance_i (t_i - x'_i)^2`, for a target `t` that is `x` or `|x|`;
`Sampled` may add a penalty on the hidden layer. What is no model or no law of features raises TypeError.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial, wraps
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import exact
from superpose.draws import AnyKey, one_key, stream
from superpose.features import Scaled, check_law, check_sampled, weighs
from superpose.inputs import ArrayLike, array, check_each, whole
from superpose.jit import program
from superpose.models import Network, activation_name, check_features
from superpose.values import MEMBERS, double

__all__ = ["Active", "Population", "SameSamples", "Sampled", "mean_activation", "mean_error"]

targets: dict[str, Callable] = {"x": lambda x: x, "abs": jnp.abs}
"""What a model can be asked for: the features, or their magnitudes."""


def _promoting(method):
    """The method with JAX's standard type promotion, whatever the caller set: it mixes real and complex."""

    @wraps(method)
    def promoting(*args, **settings):
        with jax.numpy_dtype_promotion("standard"):
            return method(*args, **settings)

    return promoting


def mean_error(
    model: Network,
    x: ArrayLike,
    importance: ArrayLike = 1.0,
    weight: ArrayLike | None = None,
    target: str = "x",
) -> Float[Array, ""]:
    """`sum_i importance_i (x_i - x'_i)^2`, averaged over the samples `x`.

    `importance` is one number, or one for each feature. With `weight`, sample `s` counts `weight[s] / sum(weight)`. With the target "abs" the model is
    to give `|x_i|`. Raises ValueError for shapes that do not fit, no samples, an importance that is negative or not
    finite, and an unknown target.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup".

    >>> from superpose.models import ReluOutput
    >>> pair = ReluOutput([[1, -1]], [0, 0])
    >>> float(mean_error(pair, [[1.0, 0.0], [0.0, 0.5]])), float(mean_error(pair, [[1.0, 0.5]]))
    (0.0, 0.5)
    """
    _known_target(target)
    x, weight = _samples(model, x, weight)
    importance = array(importance, "importance")
    if importance.ndim > 1 or (importance.ndim and len(importance) != x.shape[1]):
        raise ValueError(f"importance must be a number or {x.shape[1]} numbers, got shape {importance.shape}")
    check_each(importance, weighs, "importance must be finite and not negative")
    return _mean_error(model, x, importance, weight, target)


@program
def _mean_error(model, x, importance, weight, target):
    # The sample is the last, contiguous axis throughout: on a CPU the work is then three times
    # faster than with the sample first. Biases are spread over the samples: otherwise `vmap` transposes the
    # matrices that they are added to.
    x = x.T
    error = (targets[target](x) - _of_samples(lambda model, x: model(x), model, x)) ** 2
    mean = error.mean(axis=1) if weight is None else error @ (weight / weight.sum())
    return jnp.broadcast_to(jnp.asarray(importance, error.dtype), mean.shape) @ mean


def mean_activation(
    model: Network,
    x: ArrayLike,
    weight: ArrayLike | None = None,
) -> Float[Array, ""]:
    """`|h|_1`, the sum of the magnitudes of the hidden layer, averaged over the samples `x`.

    With `weight`, sample `s` counts `weight[s] / sum(weight)`. Raises ValueError for shapes that do not fit, and no samples.

    Elhage et al. (2022), "Toy Models of Superposition", "The Strategic Picture of Superposition".

    >>> from superpose.models import ReluOutput
    >>> pair = ReluOutput.init(2, 1, key=jax.random.key(0))
    >>> pair = eqx.tree_at(lambda m: m.W, pair, jnp.array([[1.0, -1.0]]))
    >>> float(mean_activation(pair, jnp.array([[1.0, 0.0], [0.0, 0.5]])))
    0.75
    """
    x, weight = _samples(model, x, weight)
    return _mean_activation(model, x, weight)


@program
def _mean_activation(model, x, weight):
    size = jnp.abs(_of_samples(lambda model, x: model.encode(x), model, x.T)).sum(axis=0)
    return size.mean() if weight is None else size @ (weight / weight.sum())


def _samples(model, x, weight):
    """Samples for a model, and how much each of them counts."""
    x = jnp.asarray(array(x, "x", "sample", "feature"))
    check_features(model, x.shape[1])
    if not len(x):
        raise ValueError("x must have at least one sample, got none")
    if weight is not None:
        weight = jnp.asarray(array(weight, "weight", "sample"))
        if len(weight) != len(x):
            raise ValueError(
                f"weight must have one number for each of the {len(x)} samples, got {len(weight)}"
            )
    return x, weight


def _of_samples(what, model, x):
    # `what` of each column of `x`.
    spread = jax.tree.map(lambda leaf: _over_samples(leaf, x.shape[1]) if leaf.ndim == 1 else leaf, model)
    axes = jax.tree.map(lambda leaf: 1 if leaf.ndim == 1 else None, model)
    return jax.vmap(what, in_axes=(axes, 1), out_axes=1)(spread, x)


def _over_samples(vector, n):
    return jnp.broadcast_to(vector[:, None], (len(vector), n))


def _as_penalty(value) -> Float[Array, "..."] | None:
    return None if value is None else double(array(value, "penalty"))


class Sampled(eqx.Module):
    """The loss on `batch` samples of `features`, drawn afresh with each key.

    `weight`, a function of one sample, makes a sample count in proportion to it. `target` is "x", or
    "abs" for models that are to compute `|x|`. Raises ValueError for any other target and a batch below 1, and TypeError
    for a `weight` that is no function.

    With `stratified`, some feature is active in every sample of the batch. The contribution of all
    other samples is exact, since they are all the same: no work is done for them. The
    expectation is the same, and `batch * features.any_active` samples have no more variance than
    `batch` samples have without it. Raises ValueError for features without sets, and with a `weight`.

    `penalty` adds `penalty * |h|_1`, the sum of the magnitudes of the hidden layer, which makes the model
    pay for every unit that it uses. Raises ValueError for a negative one.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup"; the penalty is that of "The Strategic Picture
    of Superposition".

    >>> from superpose.features import Independent
    >>> from superpose.models import ReluOutput
    >>> model = ReluOutput.init(5, 2, key=jax.random.key(0))
    >>> Sampled(Independent(0.1, n_features=5))(model, jax.random.key(1)).shape
    ()
    """

    features: Any
    batch: int = eqx.field(static=True, default=1024)
    weight: Callable[[Array], Array] | None = eqx.field(static=True, default=None)
    target: str = eqx.field(static=True, default="x")
    stratified: bool = eqx.field(static=True, default=False)
    penalty: Float[Array, ""] | None = eqx.field(converter=_as_penalty, default=None)

    def __check_init__(self):
        _known_target(self.target)
        check_sampled(self.features, self.batch)
        penalty = self.penalty
        known = penalty is not None and not isinstance(penalty, jax.core.Tracer)
        if penalty is not None and known and not (np.asarray(penalty) >= 0).all():
            raise ValueError(f"penalty must be 0 or more, got {penalty}")
        if self.weight is not None and not callable(self.weight):
            raise TypeError(f"weight must be a function of one sample, got {type(self.weight).__name__}")
        if self.stratified and (not hasattr(self.features, "sample_active") or self.weight is not None):
            raise ValueError(
                "stratified needs features with densities of sets, such as Independent, and no weight, "
                f"got {type(self.features).__name__}"
            )

    def __call__(self, model: Network, key: AnyKey) -> Float[Array, ""]:
        """The loss of `model` on samples drawn with `key`."""
        check_features(model, self.features.n_features)
        key = one_key(key)
        if self.stratified:
            x = self.features.sample_active(key, self.batch)
            importance = self.features.importance.astype(x.dtype)
            chance = self.features.any_active.astype(x.dtype)
            silent = self._of(model, jnp.zeros_like(x[:1]), importance)
            return chance * self._of(model, x, importance) + (1 - chance) * silent
        x = self.features.sample(key, self.batch)
        importance = self.features.importance.astype(x.dtype)
        weight = None if self.weight is None else jax.vmap(self.weight)(x)
        return self._of(model, x, importance, weight)

    def _of(self, model, x, importance, weight=None):
        error = mean_error(model, x, importance, weight, self.target)
        if self.penalty is None:
            return error
        return error + self.penalty.astype(x.dtype) * mean_activation(model, x, weight)


class Population(eqx.Module):
    """The exact expectation of `Sampled(features)`, in float64; `key` is not used.

    Each output sees one number `z`, a sum of independent parts, and with a ReLU its error is

        `E[(t - ReLU(z))^2] = E[t^2] - E[t z] + E[z^2] / 2 + E[z |z|] / 2 - E[t |z|]`.

    The moments are polynomials. The last two terms come from a `method`:

    - "enumeration": the sum over all supports, the sets of active features, each in closed form. Exact
      but for rounding; for few features.
    - "characteristic": a Fourier series of `|z|` and `z |z|` with `harmonics` terms, times the
      characteristic function of z, a product over features. Supports of at most one feature, on which
      the series converges slowly, are in closed form. For exponential values it is an integral over a contour
      instead, which converges geometrically.
    - "quadrature": the same for any other output activation, whose series is found numerically.

    None chooses by size. `docs/exact.md` derives the formulas and measures their errors: at most 1e-8
    of the loss for up to 10 features and 1e-6 for up to 400, densities 0.001 to 1. Activations with a
    kink, such as elu, converge more slowly: see `with_error`.

    Valid for `Independent`, `Correlated` and `Anticorrelated` features with any of their values, for a
    `Hierarchy` whose roots are independent and whose values are not scaled, and for `Sum` and `Scaled` of these, in
    models whose hidden layer is linear; and for `Empirical` features, where it is the mean over
    all rows, in any model. Other laws say why it is not known. `target` is "x", or "abs" for models that are to compute
    `|x|`.

    Raises ValueError for an unknown target or method, for a model with a hidden activation (use
    `Sampled`), and for a method that cannot do what is asked.

    >>> from superpose.features import Independent
    >>> from superpose.models import ReluOutput
    >>> pair = ReluOutput.init(2, 1, key=jax.random.key(0))
    >>> pair = eqx.tree_at(lambda m: m.W, pair, jnp.array([[1.0, -1.0]]))
    >>> loss = Population(Independent(0.5, n_features=2))(pair)
    >>> round(float(loss), 6), round(2 * 0.5**2 / 6, 6)
    (0.083333, 0.083333)
    """

    features: Any
    target: str = eqx.field(static=True, default="x")
    method: str | None = eqx.field(static=True, default=None)
    harmonics: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        _known_target(self.target)
        if self.method is not None and self.method not in exact.METHODS:
            raise ValueError(
                f"unknown method {self.method!r}; known are {', '.join(exact.METHODS)}, and None"
            )
        check_law(self.features, "n_features")
        if self.harmonics is not None and whole(self.harmonics, "harmonics") < 32:
            raise ValueError(f"harmonics must be at least 32, got {self.harmonics}")

    @_promoting
    def __call__(self, model: Network, key: AnyKey | None = None) -> Float[Array, ""]:
        """The exact loss of `model`."""
        check_features(model, self.features.n_features)
        model = jax.tree.map(double, model)
        if hasattr(self.features, "rows"):
            return _mean_over_rows(model, self.features, self.target)
        return _population(*self._outputs(model))

    @_promoting
    def with_error(self, model: Network) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The loss and an estimate of its error: rounding, and what twice as many harmonics change in each output.

        Raises ValueError as the loss itself does. For data, and by enumeration, there is only rounding. In 960 models of 8 features, with few harmonics,
        the true error was within twice the estimate for all but 3, with binary values, and for those within
        3.1 times.

        >>> from superpose.features import Independent
        >>> from superpose.models import ReluOutput
        >>> model = ReluOutput.init(20, 5, key=jax.random.key(0))
        >>> loss, error = Population(Independent(0.1, n_features=20)).with_error(model)
        >>> bool(error < 1e-7 * loss)
        True
        """
        value = self(model)
        rounding = jnp.asarray(1e-14, value.dtype) * self.features.n_features * value
        if hasattr(self.features, "rows"):
            return value, rounding
        *of, method, harmonics = self._outputs(jax.tree.map(double, model))
        rounding = rounding + _rounding(*of)
        if method == "enumeration":
            return value, rounding
        return value, rounding + _refinement(*of, method, harmonics)

    def _outputs(self, model):
        """What `_population` takes."""
        A, c = model.preactivation()
        features = self.features
        while isinstance(features, Scaled):
            features = features.features
        world, importance, scaled = _world(features, self.target), self.features.importance, self.features
        while isinstance(scaled, Scaled):
            A, c, importance = _unscaled(A, c, importance, scaled.scale, model.activation)
            scaled = scaled.features
        method = self.method or exact.method(world, model.activation)
        _can(method, world, model.activation)
        harmonics = self.harmonics or exact.harmonics(world, method)
        return A, c, features, importance, model.activation, self.target, method, harmonics


# Jitted for precision too: outside of jit, JAX rounds Python's numbers to float32.


@partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _population(A, c, features, importance, activation, target, method, harmonics):
    errors = exact.output_errors(A, c, _world(features, target), activation, method, harmonics)
    return importance @ errors


@partial(jax.jit, static_argnums=(4, 5))
def _rounding(A, c, features, importance, activation, target):
    return importance @ exact.rounding(A, c, _world(features, target), activation)


@partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _refinement(A, c, features, importance, activation, target, method, harmonics):
    # Output by output: in a sum, errors of different signs would cancel by chance.
    world = _world(features, target)
    few, many = (
        exact.output_errors(A, c, world, activation, method, count) for count in (harmonics, 2 * harmonics)
    )
    return importance @ jnp.abs(many - few)


class Active(eqx.Module):
    """The exact loss given that exactly `count` features are active: L_k, with k = `count`.

    The loss over all samples is `sum_k chance_k L_k`. As density goes to 0 the terms with
    one active feature and with none are all that is left, so `Active(features, 1)` at a small density
    is the sparse limit. For sets of features, `count` sets are active. All in closed form, for ReLU,
    linear and absolute value outputs; the number of supports is a binomial coefficient. It is 0 where
    exactly `count` active features have no chance. `target` is as in `Population`.

    Raises ValueError as `Population` does, and for a count outside 0..n.

    Elhage et al. (2022), "Toy Models of Superposition", "Mathematical Understanding".

    >>> from superpose.features import Independent
    >>> from superpose.models import ReluOutput
    >>> model = ReluOutput.init(3, 2, key=jax.random.key(0))
    >>> world = Independent(0.1, n_features=3)
    >>> terms = [Active(world, k) for k in range(4)]
    >>> total = sum(float(term.chance) * float(term(model)) for term in terms)
    >>> abs(total / float(Population(world)(model)) - 1) < 1e-12
    True
    """

    features: Any
    count: int = eqx.field(static=True)
    target: str = eqx.field(static=True, default="x")

    def __check_init__(self):
        _known_target(self.target)
        if not hasattr(self.features, "set_density"):
            raise ValueError(
                "Active needs a law that says which features are active, as set_density; "
                f"{type(self.features).__name__} features have none"
            )
        n_sets = len(self.features.sizes)
        if not 0 <= whole(self.count, "count") <= n_sets:
            raise ValueError(f"count must be within 0..{n_sets}, got {self.count}")

    @property
    def chance(self) -> Float[Array, ""]:
        """The chance that exactly `count` features are active."""
        return _chance(self.features.set_density, self.count)

    @_promoting
    def __call__(self, model: Network, key: AnyKey | None = None) -> Float[Array, ""]:
        """The exact loss of `model`, given that `count` features are active."""
        check_features(model, self.features.n_features)
        A, c = jax.tree.map(double, model).preactivation()
        world = _world(self.features, self.target)
        _can("enumeration", world, model.activation, self.count)
        return _given(A, c, self.features, model.activation, self.target, self.count)


class SameSamples(eqx.Module):
    """A loss that draws samples, such as `Sampled`, with the same ones every time: those of `seed`.

    So it is a function of the model alone, which `train.minimize` can take to a minimum where no exact loss is
    known. That minimum is good on these samples, so judge the models on others.

    >>> from superpose.features import Independent
    >>> from superpose.models import ReluHidden
    >>> model = ReluHidden.init(5, 2, key=jax.random.key(0))
    >>> loss = SameSamples(Sampled(Independent(0.1, n_features=5)), seed=0)
    >>> bool(loss(model) == loss(model))
    True
    """

    loss: Callable
    seed: int = eqx.field(static=True)

    def __call__(self, model: Network) -> Float[Array, ""]:
        """The loss of `model` on the samples of `seed`."""
        return self.loss(model, stream(self.seed, "samples to minimize on"))


@partial(jax.jit, static_argnums=1)
def _chance(density, count):
    # The chances of no, one, ..., `count` active features, taking in one feature after the other.
    def more(chances, p):
        return (1 - p) * chances + p * jnp.concatenate([jnp.zeros_like(chances[:1]), chances[:-1]]), None

    none = (jnp.arange(count + 1) == 0).astype(density.dtype)
    return jax.lax.scan(more, none, density)[0][count]


@partial(jax.jit, static_argnums=(3, 4, 5))
def _given(A, c, features, activation, target, count):
    errors = exact.errors_given(A, c, _world(features, target), activation, count)
    return features.importance @ errors


def _unscaled(A, c, importance, scale, activation):
    """`A`, `c` and importance with which features that are not scaled have the same loss: `f(s z) = s f(z)` for a scale s."""
    if activation not in ("identity", "relu", "abs"):
        raise ValueError(
            "exact losses of Scaled features need a relu, identity or abs output, "
            f"and this model's is {activation_name(activation)}; use Sampled"
        )
    return A * scale[None] / scale[:, None], c / scale, importance * scale**2


def _world(features, target):
    name = type(features).__name__
    if why := getattr(features, "inexact", ""):
        raise ValueError(f"exact losses are not known for {name} features: {why}; use losses.Sampled")
    needed = (
        ("forest", "value") if hasattr(features, "forest") else ("set_density", "sizes", "together", "value")
    )
    lacking = [member for member in needed if not hasattr(features, member)]
    if lacking:
        raise ValueError(
            f"exact losses are not known for {name} features, which have no {lacking[0]}; use losses.Sampled"
        )
    law = features.value
    lacking = [
        member for member in MEMBERS if not hasattr(law, member) and (target == "abs" or member != "halves")
    ]
    if lacking:
        raise ValueError(
            f"exact losses need a law of values with {lacking[0]}, which {type(law).__name__} lacks; "
            "add it (superpose/values.py says what it is) or use losses.Sampled"
        )
    if hasattr(features, "set_density"):
        return exact.Sets(features.set_density, law, features.sizes, features.together, target)
    forest = features.forest
    return exact.Trees(forest.chance, law, forest.parents, forest.exclusive, forest.features, target)


def _can(method, world, activation, count=None):
    smooth = activation not in ("identity", "relu", "abs")
    if smooth and method != "quadrature":
        raise ValueError(
            f"{method} needs a relu, identity or abs output, and this model's is {activation_name(activation)}; "
            "use method='quadrature', or Sampled"
        )
    if callable(activation) and not _is_entry_by_entry(activation):
        raise ValueError(
            f"exact losses need an activation that changes each entry by itself, unlike {activation_name(activation)}; use Sampled"
        )
    if method == "enumeration" and activation != "identity":
        size = world.largest_support() if count is None else world.largest_support(count)
        if size > exact.closed_size(world):
            law = type(world.value).__name__
            raise ValueError(
                f"supports of {size} active features with {law} values and target {world.target!r} have no closed form; "
                "use Population with method='characteristic'"
            )
        numbers = world.work() if count is None else world.work(count)
        if numbers > 1e6:
            raise ValueError(
                f"an enumeration takes {numbers:.1g} numbers for each output, more than 1e6; "
                "use Population with method='characteristic'"
            )


@lru_cache(maxsize=64)
def _is_entry_by_entry(activation) -> bool:
    def tried():
        z = jnp.asarray(np.array([-1.3, 0.4, 2.1], np.float32))
        whole = jnp.asarray(activation(z))
        return whole.shape == z.shape and np.allclose(
            whole, [activation(z[i : i + 1])[0] for i in range(3)], equal_nan=True
        )

    # What JAX traces is a thread's own: another one has numbers, also within `jit` and `vmap`, for any function.
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(tried).result()


def _known_target(target):
    if not isinstance(target, str) or target not in targets:
        raise ValueError(f"unknown target {target!r}; known are {', '.join(targets)}")


def _mean_over_rows(model, features, target, block=4096):
    def block_sum(start):
        rows = start + jnp.arange(block, dtype=jnp.int32)
        x = features.rows(jnp.minimum(rows, features.n_rows - 1)).astype(jnp.float64)
        here = (rows < features.n_rows).astype(jnp.float64)
        count = here.sum()
        weight = jnp.where(count > 0, here, 1.0)  # a block of nothing but padding counts 0 times
        return mean_error(model, x, features.importance, weight, target) * count

    n_rows, _ = features.size
    block = min(block, n_rows)
    starts = jnp.arange(0, n_rows, block, dtype=jnp.int32)
    total = jax.lax.map(jax.checkpoint(block_sum), starts).sum()
    return total / features.n_rows.astype(jnp.float64)
