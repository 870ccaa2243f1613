"""The networks: small pytrees of weights that take one sample and give one sample back.

The classes differ in their activations, in whether the output weights are tied to the input
weights, and in whether all hidden units work on every sample; everything else is in `Network`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpose import draws
from superpose.draws import AnyKey, stream
from superpose.inputs import ArrayLike, array, number, whole


class _Activations(dict[Any, Callable]):
    def __missing__(self, activation):
        """A function is its own activation."""
        if callable(activation):
            return activation
        raise KeyError(activation)


activations = _Activations(
    {
        "identity": lambda z: z,
        "relu": jax.nn.relu,
        "gelu": jax.nn.gelu,
        "silu": jax.nn.silu,
        "elu": jax.nn.elu,
        "softplus": jax.nn.softplus,
        "sigmoid": jax.nn.sigmoid,
        "tanh": jnp.tanh,
        "abs": jnp.abs,
    }
)
"""The activations that a model can name. Any function that acts on an array entry by entry will do too."""
Preactivation = tuple[Float[Array | np.ndarray, "feature feature"], Float[Array | np.ndarray, " feature"]]
"""`A` and `c` of a model `x' = activation(A x + c)`."""
Activation = str | Callable[[Array], Array]
"""A name in `activations`, or a function that acts on an array entry by entry."""


def _known(activation: Activation) -> Activation:
    if not callable(activation) and (not isinstance(activation, str) or activation not in activations):
        raise ValueError(
            f"unknown activation {activation!r}; known are {', '.join(activations)}, and any function"
        )
    if not isinstance(activation, str):
        try:
            jax.eval_shape(activation, jax.ShapeDtypeStruct((2,), jnp.float32))
        except Exception as error:
            why = str(error).partition("\n")[0]
            raise TypeError(
                "activation must be a function of JAX's arrays, such as jnp.sin where np.sin will not do; "
                f"{activation_name(activation)} raises {type(error).__name__}: {why}"
            ) from None
    return name_in_activations(activation) or activation


def _std(scale, n_features, n_hidden):
    """The standard deviation of Xavier-normal weights, times `scale`."""
    if not isinstance(scale, jax.core.Tracer) and not math.isfinite(number(scale, "scale")):
        raise ValueError(f"scale must be finite, got {scale}")
    return scale * math.sqrt(2 / (n_features + n_hidden))


def check_features(model: Any, n: int) -> None:
    """Raise TypeError or ValueError unless `model` is one network with `n` features.

    >>> check_features(ReluOutput([[1, -1]], [0, 0]), 3)
    Traceback (most recent call last):
    ...
    ValueError: the model has 2 features and the data 3; they must be equal
    """
    if not hasattr(model, "W"):
        raise TypeError(f"model must be a network, such as ReluOutput(W, ...), got {type(model).__name__}")
    if model.W.ndim != 2:
        raise ValueError(
            f"model must be one model: jax.vmap the loss of many, got W of shape {model.W.shape}"
        )
    if model.W.shape[1] != n:
        raise ValueError(f"the model has {model.W.shape[1]} features and the data {n}; they must be equal")


def activation_name(activation: Activation) -> str:
    """What an activation is called.

    >>> activation_name("relu"), activation_name(jax.nn.relu)
    ('relu', 'relu')
    """
    return activation if isinstance(activation, str) else getattr(activation, "__name__", repr(activation))


def name_in_activations(activation: Activation) -> str | None:
    """The name of an activation in `activations`; None for a function that is not there.

    >>> name_in_activations(jax.nn.relu), name_in_activations(jnp.sin)
    ('relu', None)
    """
    if isinstance(activation, str):
        return activation
    return next((name for name, each in activations.items() if each is activation), None)


def _activation(usual: str) -> Any:
    """A field for an activation, which is the usual one unless another is given."""
    return eqx.field(static=True, converter=_known, default=usual)


def _usual(cls, name) -> str:
    return cls.__dataclass_fields__[name].default


def _weights(name, optional=False) -> Callable:
    # Arrays of one model or of many side by side, of any shape.
    return lambda value: None if optional and value is None else array(value, name)


class Network(eqx.Module):
    """`h = hidden_activation(W x + hidden_bias)`, then `x' = activation(readout h + b)`.

    Column `W[:, i]` is the direction of feature `i`. `readout` is the transpose of `W`, or
    `W_out` in a model that has one. `hidden_bias` is None in a model without one. An activation is a
    name in `activations`, or a function. Many models side by side have leading axes in all their arrays.

    Raises ValueError for shapes that do not fit and for an unknown activation, and TypeError for weights that are no
    numbers and for an activation that is not for JAX's arrays.

    >>> model = ReluOutput([[1, -1]], [0, 0], activation=lambda z: z.clip(-0.5, 0.5))
    >>> model([2, 1]).tolist()
    [0.5, -0.5]
    """

    W: Float[Array | np.ndarray, "hidden feature"] = eqx.field(converter=_weights("W"))
    b: Float[Array | np.ndarray, " feature"] = eqx.field(converter=_weights("b"))
    W_out: Float[Array | np.ndarray, "feature hidden"] | None = eqx.field(
        converter=_weights("W_out", optional=True), default=None
    )
    hidden_bias: Float[Array | np.ndarray, " hidden"] | None = eqx.field(
        converter=_weights("hidden_bias", optional=True), default=None
    )
    activation: Activation = _activation("relu")
    hidden_activation: Activation = _activation("identity")

    tied: ClassVar[bool] = True
    """Whether models of this class have no output weights of their own."""

    def __check_init__(self):
        if self.W.ndim < 2:
            raise ValueError(f"W must have the shape (hidden, feature), got {self.W.shape}")
        *lead, m, n = self.W.shape
        for name, shape in (("b", (n,)), ("W_out", (n, m)), ("hidden_bias", (m,))):
            value = getattr(self, name)
            if value is not None and value.shape != (*lead, *shape):
                hint = "; transpose it" if name == "W_out" and value.shape == (*lead, m, n) else ""
                raise ValueError(
                    f"{name} must have the shape {(*lead, *shape)} where W has {self.W.shape}, got {value.shape}{hint}"
                )

    @classmethod
    def init(
        cls,
        n_features: int,
        n_hidden: int,
        *,
        key: AnyKey,
        hidden_bias: bool = False,
        activation: Activation | None = None,
        hidden_activation: Activation | None = None,
        scale: float = 1.0,
    ) -> "Network":
        """A model with Xavier-normal weights times `scale`, and biases of 0.

        The standard deviation is `scale * sqrt(2 / (n_features + n_hidden))`, whatever is
        trained alongside the model. Raises ValueError for sizes below 1, for more hidden
        dimensions than features where the hidden layer is linear, and for an unknown
        activation, and TypeError as `Network` does.
        """
        activation = _known(activation or _usual(cls, "activation"))
        hidden_activation = _known(hidden_activation or _usual(cls, "hidden_activation"))
        n_features, n_hidden = whole(n_features, "n_features"), whole(n_hidden, "n_hidden")
        if n_features < 1 or n_hidden < 1:
            raise ValueError(
                "a model needs at least one feature and one hidden dimension, "
                f"got n_features={n_features}, n_hidden={n_hidden}"
            )
        if hidden_activation == "identity" and n_hidden > n_features:
            raise ValueError(
                f"{n_hidden} linear hidden dimensions for {n_features} features leave nothing to "
                "superpose; give n_hidden <= n_features, or a hidden_activation"
            )
        std = _std(scale, n_features, n_hidden)
        return cls(
            W=std * draws.normal(stream(key, "W"), (n_hidden, n_features)),
            b=jnp.zeros(n_features, jnp.float32),
            W_out=None if cls.tied else std * draws.normal(stream(key, "W_out"), (n_features, n_hidden)),
            hidden_bias=jnp.zeros(n_hidden, jnp.float32) if hidden_bias else None,
            activation=activation,
            hidden_activation=hidden_activation,
        )

    def __repr__(self) -> str:
        """Sizes, and what differs from the defaults of its class; for an ensemble also the number of models.

        >>> ReluOutput.init(5, 2, key=jax.random.key(0), activation="gelu")
        ReluOutput(5 features, 2 hidden, activation=gelu)
        """
        shape: tuple[int, ...] = getattr(self.W, "shape", ())
        if len(shape) < 2:  # no weights but, say, axes to map over
            return super().__repr__()
        *lead, hidden, feature = shape
        parts = [f"{feature} features", f"{hidden} hidden"] + ["hidden bias"] * (self.hidden_bias is not None)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            usual = field.default if field.name.endswith("activation") else None
            if field.metadata.get("static") and value != usual:
                parts.append(f"{field.name}={getattr(value, '__name__', value)}")
        return f"{''.join(f'{size} × ' for size in lead)}{type(self).__name__}({', '.join(parts)})"

    @property
    def readout(self) -> Float[Array | np.ndarray, "feature hidden"]:
        """The output weights: the transpose of `W` where they are tied to it."""
        return self.W.T if self.W_out is None else self.W_out

    def encode(self, x: ArrayLike) -> Float[Array, " hidden"]:
        """The hidden layer `h` for one sample `x`. Raises ValueError unless it has the model's features."""
        h = self.W @ self._sample(x)
        if self.hidden_bias is not None:
            h = h + self.hidden_bias
        return activations[self.hidden_activation](h)

    def _sample(self, x) -> Float[Array, " feature"]:
        x, n = jnp.asarray(array(x, "x", "feature")), self.W.shape[-1]
        if x.shape != (n,):
            raise ValueError(f"x must have the {n} features that W has in its columns, got {len(x)}")
        return x

    def decode(self, h: Float[Array, " hidden"]) -> Float[Array, " feature"]:
        """The output `x'` for a hidden layer `h`."""
        return activations[self.activation](self.readout @ h + self.b)

    def __call__(self, x: ArrayLike) -> Float[Array, " feature"]:
        """The output `x'` for one sample `x`."""
        return self.decode(self.encode(x))

    def preactivation(self) -> Preactivation:
        """`A` and `c` such that the model is `x' = activation(A x + c)`.

        In the paper's models `A = W^T W` and `c = b`. Raises ValueError where the hidden layer
        is not linear, so that there are no such `A` and `c`.
        """
        if self.hidden_activation != "identity":
            raise ValueError(
                f"exact losses need a linear hidden layer, and this model's is {activation_name(self.hidden_activation)}; "
                "use losses.Sampled"
            )
        c = self.b if self.hidden_bias is None else self.b + self.readout @ self.hidden_bias
        return self.readout @ self.W, c


class Linear(Network):
    """`x' = W^T W x + b`: the baseline, which stores the most important features and no more.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup".

    >>> Linear([[1, -1]], [0, 0])([1, 0]).tolist()
    [1.0, -1.0]
    """

    activation: Activation = _activation("identity")


class ReluOutput(Network):
    """`x' = ReLU(W^T W x + b)`: the model in which the paper finds superposition.

    Elhage et al. (2022), "Toy Models of Superposition", "Experiment Setup".

    >>> model = ReluOutput.init(5, 2, key=jax.random.key(0))
    >>> model.W.shape, model(jnp.ones(5)).shape
    ((2, 5), (5,))
    """


class ReluHidden(Network):
    """`h = ReLU(W x)`, `x' = ReLU(W^T h + b)`: hidden units that each mean something by themselves.

    Elhage et al. (2022), "Toy Models of Superposition", "Superposition in a Privileged Basis".

    >>> model = ReluHidden([[1, -1]], [0, 0])
    >>> model.encode([0, 1]).tolist(), model([1, 0]).tolist()
    ([0.0], [1.0, 0.0])
    """

    hidden_activation: Activation = _activation("relu")


class Untied(Network):
    """`x' = ReLU(W_out W x + b)`, with output weights of its own.

    With `hidden_activation="relu"` it is the paper's model of computation in superposition.

    Elhage et al. (2022), "Toy Models of Superposition", "Computation in Superposition".

    >>> Untied([[1, 1]], [0, 0], W_out=[[0.5], [-1]])([1, 1]).tolist()
    [1.0, 0.0]
    """

    tied = False


class Mixture(Network):
    """`ReluOutput` with several experts, only a few of which work on each sample.

    The hidden units come in `experts` groups of equal size. `h = W x` is computed, the `active` experts
    with the longest parts of `h` keep theirs, and the other parts are set to 0; then
    `x' = ReLU(W^T h + b)`. So a sample is routed by the experts' own first layer: no router is trained,
    and no gradient says which expert to take. The price is that `W x` is needed for every expert: what
    is saved is width in the layer passed on, not the first product. One expert is `ReluOutput`;
    experts of one unit each keep the `active` largest units, as a k-sparse autoencoder does. Raises ValueError for
    units that `experts` does not divide, and unless 1 to all of them are `active`.

    Elhage et al. (2022), "Toy Models of Superposition", "The Strategic Picture of Superposition".

    >>> model = Mixture.init(20, 5, experts=4, key=jax.random.key(0))
    >>> model.W.shape, int((model.encode(jnp.ones(20)) != 0).sum())
    ((20, 20), 5)
    """

    experts: int = eqx.field(static=True, default=1)
    active: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        units = self.W.shape[-2] if self.W.ndim > 1 else 0
        if not 1 <= self.active <= self.experts or units % self.experts:
            raise ValueError(
                f"experts must have as many of the {units} hidden units each, and 1 to all of them be active, "
                f"got experts={self.experts}, active={self.active}"
            )

    @classmethod
    def init(  # type: ignore[override]
        cls,
        n_features: int,
        n_hidden: int,
        *,
        experts: int,
        active: int = 1,
        key: AnyKey,
        scale: float = 1.0,
    ) -> "Mixture":
        """A model in which `n_hidden` units work on each sample, out of `n_hidden * experts / active`.

        Weights are drawn like those of a `ReluOutput` with `n_hidden` hidden dimensions. Raises ValueError
        for sizes below 1, unless `1 <= active <= experts`, and unless `n_hidden` is a multiple of
        `active`.
        """
        n_features, n_hidden = whole(n_features, "n_features"), whole(n_hidden, "n_hidden")
        experts, active = whole(experts, "experts"), whole(active, "active")
        if min(n_features, n_hidden, experts) < 1 or not 1 <= active <= experts or n_hidden % active:
            raise ValueError(
                "a mixture needs at least one feature, hidden dimension and expert, active experts no more than "
                f"there are, and n_hidden a multiple of them, got {n_features=}, {n_hidden=}, {experts=}, {active=}"
            )
        std = _std(scale, n_features, n_hidden)
        return cls(
            W=std * draws.normal(stream(key, "W"), (n_hidden // active * experts, n_features)),
            b=jnp.zeros(n_features, jnp.float32),
            experts=experts,
            active=active,
        )

    def encode(self, x: ArrayLike) -> Float[Array, " hidden"]:
        """The hidden layer `h` for one sample `x`, with 0 for the experts that do not work on it."""
        h = super().encode(x).reshape(self.experts, -1)
        length = (h**2).sum(axis=1)
        longer = (length[:, None] > length[None]).sum(axis=0)  # how many experts are ahead of each
        return jnp.where((longer < self.active)[:, None], h, 0.0).reshape(-1)

    def preactivation(self) -> Preactivation:
        """As of any network where all experts are active. Raises ValueError where not all are."""
        if self.experts == self.active:
            return super().preactivation()
        raise ValueError(
            "exact losses need a linear hidden layer, and a mixture of experts has none; use losses.Sampled"
        )


KINDS: dict[str, type[Network]] = {
    each.__name__: each for each in (Linear, ReluOutput, ReluHidden, Untied, Mixture, Network)
}
"""The classes of this module by name: all that is needed to make a model of weights and settings again."""


def standard_kind(model: Any) -> type[Network]:
    """The class of this module that computes what `model` does, given its weights and activations.

    Raises TypeError for what is no network, and for a class of one's own that computes otherwise.

    >>> standard_kind(ReluOutput([[1, -1]], [0, 0])).__name__
    'ReluOutput'
    """
    if not isinstance(model, Network):
        raise TypeError(f"model must be a network, such as ReluOutput(W, b), got {type(model).__name__}")
    kind = next(each for each in type(model).__mro__ if each in KINDS.values())
    if any(
        getattr(type(model), name) is not getattr(kind, name)
        for name in ("encode", "decode", "__call__", "readout")
    ):
        raise TypeError(f"{type(model).__name__} computes in a way of its own, which only its own code has")
    return kind
