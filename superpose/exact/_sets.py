"""Sets of features that are active independently of each other."""

import math
from functools import lru_cache, reduce
from itertools import chain, combinations, product
from operator import mul
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import stop_gradient
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from superpose.exact._terms import Supports, apart_from_zero, divided, parts, target_moments, two_slopes
from superpose.values import Binary, double


class Sets(NamedTuple):
    """Sets of features that are active independently of each other: static, but for `chance`.

    >>> from superpose.values import Uniform
    >>> sets = Sets(jnp.array([0.5, 0.1]), Uniform(), sizes=(2, 1), together=True, target="x")
    >>> sets.n_features, sets.largest_support(), sets.set_of.tolist()
    (3, 3, [0, 0, 1])
    """

    chance: Any
    """That each set is active."""
    value: Any
    """A law, as `superpose.values` describes it."""
    sizes: tuple[int, ...]
    """Those of the sets."""
    together: bool
    """Whether all members of an active set are active, or just one, each equally likely."""
    target: str
    """What outputs are to be: "x" or "abs"."""

    @property
    def set_of(self) -> Int[np.ndarray, " feature"]:
        """The set of each feature."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)

    @property
    def members(self) -> Int[np.ndarray, "set member"]:
        """The features of each set, in columns; where a set has fewer, the number of features."""
        starts = np.cumsum((0, *self.sizes))
        place = np.arange(max(self.sizes))
        return np.where(place < np.array(self.sizes)[:, None], starts[:-1, None] + place, starts[-1])

    def by_set(self, numbers, fill=0.0):
        """The last axis as (set, member), padded with `fill` where a set has fewer members than others."""
        if max(self.sizes) == 1:
            return numbers[..., None]
        rest = jnp.full_like(numbers[..., :1], fill)
        return jnp.concatenate([numbers, rest], axis=-1)[..., self.members]

    @property
    def at_once(self) -> int:
        """How many outputs are worked on side by side."""
        return 64

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return sum(self.sizes)

    def largest_support(self, count: int | None = None) -> int:
        """The most features that are active where `count` sets are."""
        count = len(self.sizes) if count is None else count
        return sum(sorted(self.sizes)[len(self.sizes) - count :]) if self.together else count

    def work(self, count: int | None = None) -> float:
        """How many numbers an enumeration takes per output: for all supports, or with `count` active sets."""
        corners = getattr(self.value, "corners", 1)
        each = [corners**size if self.together else corners * size for size in self.sizes]
        if count is None:
            return math.prod(1 + numbers for numbers in each)
        sums = [1.0] + [0.0] * count  # elementary symmetric polynomials
        for numbers in each:
            sums = [1.0] + [a + numbers * b for a, b in zip(sums[1:], sums[:-1], strict=True)]
        return sums[count]

    def supports(self, counts: tuple[int, ...] | None = None) -> tuple[Supports, Float[Array, " support"]]:
        """The supports in which as many sets are active as one of `counts` says, or any number, and their chances."""
        group, sets, share = supports(self.sizes, self.together, counts or tuple(range(len(self.sizes) + 1)))
        each = jnp.where(sets, self.chance, 1 - self.chance)
        # One by one: without x64 mode JAX cannot differentiate a product in float64.
        return group, double(share) * reduce(mul, (each[:, s] for s in range(len(self.sizes))))

    def moments(self, i, gains, c):
        """`E[t^2]`, `E[t]`, `E[t z]`, `E[z]` and `E[z^2]`."""
        mean, square = double(self.value.mean), double(self.value.square)
        t_x, t_mean = target_moments(self)
        sizes, at = double(self.sizes), jnp.asarray(self.set_of)[i]
        total, squares = (self.by_set(a).sum(-1) for a in (gains, gains**2))
        p = self.chance[at]
        if self.together:
            set_mean = self.chance * mean * total
            set_square = self.chance * ((square - mean**2) * squares + mean**2 * total**2)
            active, own = p, p * (t_x * gains[i] + t_mean * mean * (total[at] - gains[i]))
        else:
            set_mean = self.chance * mean * total / sizes
            set_square = self.chance * square * squares / sizes
            active = p / sizes[at]
            own = active * t_x * gains[i]
        z = c + set_mean.sum()
        zz = z**2 + (set_square - set_mean**2).sum()
        tz = own + active * t_mean * (z - set_mean[at])
        return active * square, active * t_mean, tz, z, zz

    def few(self, i, gains, finest, closed):
        """What is taken out of the series, and a shift of c.

        It is the weight of no active set and the odds of each; these supports; and their weights. Any weights of these supports will do, since the series takes up the difference. Sets other than i's
        count as inactive where their gains are too small for the series to tell them from 0, and the chance of
        being inactive has a floor: so little that converges slowly is left in the series. The shift is what
        the sets that do not count add to z on average. It keeps the derivative by a gain of
        0 out of the series. No set counts where more than `closed` features would be active.
        """
        one = (max(self.sizes) if self.together else 1) <= closed
        seen = -jnp.expm1(-((finest * gains) ** 2))
        seen = self.by_set(seen).max(-1)
        other = np.arange(len(self.sizes)) != jnp.asarray(self.set_of)[i]
        seen = stop_gradient(jnp.where(other | (not one), seen, 1.0))
        counted = stop_gradient(jnp.minimum(self.chance * seen, 1 - 1e-9))
        none, odds = jnp.prod(1 - counted), counted / (1 - counted) * one
        unseen = stop_gradient(self.chance) * (1 - seen) / (1 if self.together else double(self.sizes))
        shift = double(self.value.mean) * (unseen[self.set_of] @ gains)
        group, sets, share = supports(self.sizes, self.together, tuple(range(1 + one)))
        return (none, odds), group, none * double(share) * jnp.where(sets, odds, 1.0).prod(-1), shift

    def log_moment(self, gains, s):
        """`log E[exp(s z)]` without c, at real s, for each row of `s`."""
        cumulant = self.value.cumulant(s * gains[None])
        if self.together:
            active = self.by_set(cumulant).sum(-1)
        else:
            active = logsumexp(self.by_set(cumulant, -jnp.inf), axis=-1) - jnp.log(double(self.sizes))[None]
        p = jnp.minimum(stop_gradient(self.chance), 1 - 1e-16)
        return jnp.where(active < 700, jnp.log1p(p[None] * jnp.expm1(jnp.minimum(active, 700))), jnp.inf).sum(
            -1
        )

    def most(self, a, low, high):
        """The largest value of `a . x`."""
        most = self.by_set(jnp.maximum(a * low, a * high), 0.0 if self.together else -jnp.inf)
        most = most.sum(-1) if self.together else most.max(-1)
        return jnp.maximum(most, 0).sum()

    def with_slopes(self, by_chance, transform, i, points, s, weights, few, gains, c, few_c, chance):
        """The sum of a series, and its slopes by `gains`, `c`, `few_c` and, if asked for, `chance`.

        M is a product over the sets; for the gradient, each factor is divided out of it. That costs no digits,
        since what is divided out is exactly what was multiplied in. One pass for the product and another for the
        gradient store nothing.

        Numbers are complex only in here: without x64 mode, JAX cannot transpose taking the real part.
        """
        (a, b), (none, odds) = weights, few or (0.0, jnp.zeros_like(chance))
        sizes, at, one = double(self.sizes), jnp.asarray(self.set_of)[i], jnp.ones_like(s)
        other, mates = np.arange(len(sizes)) != at, np.arange(len(gains)) != i
        sets = self.by_set(gains), sizes, jnp.where(other, chance, 0.0), jnp.where(other, odds, 0.0)

        def multiply(sums, each):
            gains, size, p, odd = each
            phi, _ = _of_set(lax.complex(*transform(self.value, gains, points)), size, self.together)
            return (sums[0] * _factor(p, phi), sums[1] + odd * phi if few else sums[1]), None

        (product, some), _ = lax.scan(multiply, (one, 0 * one), sets)

        # What feature i itself, and then its set, makes of a and b.
        mine = mine_slope = 0 * one
        for share, sign, law in parts(self):
            phi, slope, curve = two_slopes(lambda g, law=law: transform(law, g, points), sign * gains[i])
            mine = mine + share * (a * phi + divided(b * slope, s))
            mine_slope = mine_slope + share * sign * (a * slope + divided(b * curve, s))
        if max(self.sizes) > 1:
            size, with_i = sizes[at], self.by_set(jnp.where(mates, gains, 0.0))[at]
            phi, slope, _ = two_slopes(lambda g: transform(self.value, g, points), with_i)
            if self.together:
                phi = apart_from_zero(phi)
                whole = reduce(mul, phi)
                mine, mine_slope, mates_slope = (
                    mine * whole,
                    mine_slope * whole,
                    divided((mine * whole)[None], phi) * slope,
                )
            else:
                mine = (mine + a * (phi.sum(0) - (len(phi) - size + 1))) / size
                mine_slope, mates_slope = mine_slope / size, a[None] * slope / size

        p, odd = chance[at], odds[at]
        # c acts as the gain of a feature that is always 1.
        turn, few_turn = (lax.complex(*transform(Binary(), gain, points)) for gain in (c, few_c))
        turn, few_turn = turn * product, -none * few_turn
        total = turn * ((1 - p) * a + p * mine)
        without = few_turn * (a * (1 + some) + odd * mine)
        by_mine = p * turn + odd * few_turn

        def slopes(_, each):
            gains, size, p, odd = each
            at, slope = jax.jvp(lambda g: transform(self.value, g, points), (gains,), (jnp.ones_like(gains),))
            phi, part = _of_set(lax.complex(*at), size, self.together)
            others = divided(total, _factor(p, phi))
            by_phi = p * others + odd * few_turn * a
            return None, (
                (by_phi[None] * part * lax.complex(*slope)).real.sum(-1),
                (others * (phi - 1)).real.sum() if by_chance else None,
            )

        _, (by_gain, by_p) = lax.scan(slopes, None, sets)
        if max(self.sizes) > 1:
            by_gain = by_gain.at[at].add((by_mine[None] * mates_slope).real.sum(-1))
        by_gain = by_gain.reshape(-1)[np.flatnonzero(self.members.reshape(-1) < len(gains))]
        by_gain = jnp.where(mates, by_gain, (by_mine * mine_slope).real.sum())
        if by_chance:
            by_p = jnp.where(other, by_p, (turn * (mine - a)).real.sum())
        by_c, by_few_c = (s * total).real.sum(), (s * without).real.sum()
        return (total + without).real.sum(), (by_gain, by_c, by_few_c, by_p)


@lru_cache(maxsize=64)
def supports(sizes, together, counts) -> tuple[Supports, np.ndarray, np.ndarray]:
    """The supports in which as many sets are active as one of `counts` says; which these are, and the share of each."""
    starts, rows = np.cumsum((0, *sizes)), []
    for sets in (sets for count in counts for sets in combinations(range(len(sizes)), count)):
        members = [range(starts[s], starts[s + 1]) for s in sets]
        choices = [tuple(chain(*members))] if together else list(product(*members))
        rows += [(features, sets, 1 / len(choices)) for features in choices]
    rows.sort(key=lambda support: -len(support[0]))
    features = np.full((len(rows), len(rows[0][0])), starts[-1], np.int32)
    active = np.zeros((len(rows), len(sizes)), bool)
    for row, (those, sets, _) in enumerate(rows):
        features[row, : len(those)] = those
        active[row, list(sets)] = True
    group = Supports(features, np.array([len(f) for f, _, _ in rows]))
    return group, active, np.array([w for _, _, w in rows])


def _of_set(phi, size, together):
    """`(phi of an active set, its derivative by each member's phi)`, from its members' `phi`.

    Where a set has fewer members than others, its padding has gains of 0: `phi = 1`.
    """
    n = len(phi)
    if not together:
        return (phi.sum(0) - (n - size)) / size, jnp.ones_like(phi) / size
    if n == 1:
        return phi[0], jnp.ones_like(phi)
    phi = apart_from_zero(phi)
    whole = reduce(mul, phi)
    return whole, divided(whole[None], phi)


def _factor(p, phi):
    return apart_from_zero(1 - p + p * phi)
