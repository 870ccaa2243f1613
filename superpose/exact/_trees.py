"""Trees of features, each of which is active only with its parent: independent of each other."""

import math
from functools import lru_cache, reduce
from itertools import chain
from itertools import product as choices
from operator import mul
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from superpose.exact._terms import Supports, divided, parts, target_moments, two_slopes
from superpose.forests import Forest, levels, product
from superpose.values import Binary, double


class Trees(NamedTuple):
    """A `Forest`, and what its features are worth: static, but for `chance`.

    >>> from superpose.values import Uniform
    >>> family = Trees(jnp.array([0.5, 0.5, 0.5]), Uniform(), (-1, 0, 0), (True, False, False), (0, 1, 2), "x")
    >>> family.n_features, family.largest_support()
    (3, 2)
    """

    chance: Any
    """That each node is active, given that its parent is."""
    value: Any
    """A law, as `superpose.values` describes it."""
    parents: tuple[int, ...]
    """As in `Forest`."""
    exclusive: tuple[bool, ...]
    """As in `Forest`."""
    features: tuple[int, ...]
    """As in `Forest`."""
    target: str
    """What outputs are to be: "x" or "abs"."""

    @property
    def forest(self) -> Forest:
        """The forest itself."""
        return Forest(self.chance, self.parents, self.exclusive, self.features)

    @property
    def n_features(self) -> int:
        """How many features there are."""
        return len(self.features)

    @property
    def at_once(self) -> int:
        """How many outputs are worked on side by side: the series keeps numbers for each node and harmonic."""
        return int(np.clip(2**11 // len(self.parents), 1, 64))

    def by_node(self, numbers):
        """Numbers of features as those of their nodes: 0 for nodes that are none."""
        return jnp.zeros(len(self.parents), numbers.dtype).at[np.array(self.features)].set(numbers)

    def own(self, i):
        """Which node feature `i` is."""
        return np.arange(len(self.parents)) == jnp.asarray(self.features)[i]

    def largest_support(self) -> int:
        """The most features that are active at once."""
        each = self.by_node_known(1)
        return self.folded(lambda node, below: each[node] + below, sum, lambda some: max(some, default=0))

    def work(self) -> float:
        """How many numbers an enumeration takes per output."""
        each = self.by_node_known(getattr(self.value, "corners", 1), 1)
        return self.folded(
            lambda node, below: float(each[node]) * below,
            lambda some: math.prod(1 + numbers for numbers in some),
            lambda some: 1 + sum(some),
        )

    def by_node_known(self, number, other=0):
        """For each node the first number if it is a feature, else the other one."""
        return np.where(np.isin(np.arange(len(self.parents)), self.features), number, other).tolist()

    def folded(self, own, beside, instead):
        """What the roots make together, from what is `own` to each node, given what its children make together."""
        children: list[list[Any]] = [[] for _ in self.parents]
        roots: list[Any] = []
        for node in reversed(range(len(self.parents))):
            made = own(node, (instead if self.exclusive[node] else beside)(children[node]))
            (children[self.parents[node]] if self.parents[node] >= 0 else roots).insert(0, made)
        return beside(roots)

    def supports(self) -> tuple[Supports, Float[Array, " support"]]:
        """All supports and their chances."""
        group, factors = _supports(self._replace(chance=None))
        above = np.array(self.parents)
        taken = jnp.zeros_like(self.chance).at[above[above >= 0]].add(self.chance[above >= 0])
        numbers = jnp.concatenate([self.chance, 1 - self.chance, jnp.maximum(1 - taken, 0.0)])
        each = jnp.where(factors, numbers, 1.0)
        # One by one: without x64 mode JAX cannot differentiate a product in float64.
        return group, reduce(mul, (each[:, f] for f in np.flatnonzero(factors.any(0))))

    def moments(self, i, gains, c):
        """`E[t^2]`, `E[t]`, `E[t z]`, `E[z]` and `E[z^2]`."""
        # What a node and those below it add to z has a mean and a mean square; both are 0 where it is inactive.
        mean, square = double(self.value.mean), double(self.value.square)
        t_x, t_mean = target_moments(self)
        gain, own = self.by_node(gains), self.own(i)

        def sums(means):
            def brings(nodes, below):
                m, below_mean, below_square = means[nodes], below[:, 0], below[:, 1]
                whole = square * gain[nodes] ** 2 + 2 * m * below_mean + below_square
                return self.chance[nodes][:, None] * jnp.stack([m + below_mean, whole], axis=1)

            def beside(each):
                total = each[..., 0].sum(1)
                variance = (each[..., 1] - each[..., 0] ** 2).sum(1)
                return jnp.stack([total, variance + total**2], axis=1)

            nothing = jnp.zeros((1, 2), gain.dtype)
            total, whole = self.forest.climb(brings, beside, lambda each: each.sum(1), nothing)
            return c + total, c**2 + 2 * c * total + whole

        # The slope of E[z^2] by the mean of an active feature is twice what the rest of z is, where it is active.
        (z, zz), (_, rest) = jax.jvp(sums, (mean * gain,), (jnp.where(own, 1.0, 0.0).astype(gain.dtype),))
        active = jnp.where(own, self.forest.density, 0.0).sum()
        return active * square, active * t_mean, active * t_x * gains[i] + t_mean * rest / 2, z, zz

    def few(self, i, gains, finest, closed):
        """What is taken out of the series, and a shift of c in each support.

        It is the weights of the supports that it has one feature of; these supports; and their weights. The supports are no
        feature, and each feature with those above it. Any weights will do, since the series takes up the
        difference. Other features than i count as inactive where their gains are too small for the series to
        tell them from 0. The shift is what the features that do not count add to z on average, given the support. It
        keeps the derivative by a gain of 0 out of the series. Branches of more than `closed` features are left in it.
        """
        forest, gain = jax.tree.map(stop_gradient, self.forest), self.by_node(gains)
        seen = stop_gradient(jnp.where(self.own(i), float(closed > 0), -jnp.expm1(-((finest * gain) ** 2))))
        unseen = 1 - seen
        slope_of = jax.grad(lambda unseen: _generated(forest, forest.chance, unseen[:, None])[0])
        none, only = _generated(forest, forest.chance, unseen[:, None])[0], slope_of(unseen)
        moved = double(self.value.mean) * gain
        # The slope of these by features that do not count: how often they are active nevertheless, times their gains.
        _, along = jax.jvp(slope_of, (unseen,), (moved * unseen,))
        shift = along / jnp.where(only > 0, only, 1.0) - self.above(moved)
        branches, order, group = _branches(self._replace(chance=None))
        weight = jnp.where(branches <= closed, seen * only, 0.0)
        shift = jnp.where(weight > 0, shift, 0.0)[order]
        nothing = (moved * unseen * only).sum() / jnp.where(none > 0, none, 1.0)
        weight = jnp.concatenate([weight[order], none[None]])
        return (weight,), group, weight, jnp.concatenate([shift, nothing[None]])

    def above(self, numbers):
        """For each node, the sum of the numbers of those above it."""
        parents, total = np.array(self.parents), jnp.zeros_like(numbers)
        for level in levels(self.parents)[1:]:
            up = parents[level.nodes]
            total = total.at[level.nodes].set(total[up] + numbers[up])
        return total

    def log_moment(self, gains, s):
        """`log E[exp(s z)]` without c, at real s, for each row of `s`."""
        cumulant = self.value.cumulant(s * self.by_node(gains)[None]).T
        chance = jnp.minimum(stop_gradient(self.chance), 1 - 1e-16)[:, None]

        def brings(nodes, below):
            active = cumulant[nodes] + below
            return jnp.where(active < 700, chance[nodes] * jnp.expm1(jnp.minimum(active, 700)), jnp.inf)

        return self.forest.climb(
            brings, lambda each: jnp.log1p(each).sum(1), lambda each: jnp.log1p(each.sum(1))
        )

    def most(self, a, low, high):
        """The largest value of `a . x`."""
        each = self.by_node(jnp.maximum(a * low, a * high))[:, None]
        return self.forest.climb(
            lambda nodes, below: jnp.maximum(each[nodes] + below, 0), lambda e: e.sum(1), lambda e: e.max(1)
        )[0]

    def with_slopes(self, by_chance, transform, i, points, s, weights, few, gains, c, few_c, chance):
        """The sum of a series, and its slopes by `gains`, `c`, `few_c` and, if asked for, `chance`.

        The terms are polynomials in what each node and c make of a point, which JAX differentiates as functions of complex
        numbers. These are only in here: without x64 mode, JAX cannot transpose taking the real part.
        """
        (a, b), gain, own = weights, self.by_node(gains), self.own(i)[:, None]
        parents, forest = np.array(self.parents), self._replace(chance=chance).forest
        _, order, _ = _branches(self)

        phi, slope, _ = two_slopes(lambda g: transform(self.value, g, points), gain)
        mine, mine_slope, t, t_slope = (jnp.zeros_like(s) for _ in range(4))
        for share, sign, law in parts(self):
            at, once, twice = two_slopes(lambda g, law=law: transform(law, g, points), sign * gains[i])
            mine, mine_slope = mine + share * at, mine_slope + share * sign * once
            t, t_slope = t + share * divided(once, s), t_slope + share * sign * divided(twice, s)
        phi = jnp.where(own, mine[None], phi)
        slope = jnp.where(own, mine_slope[None], slope)
        # c acts as the gain of a feature that is always 1.
        turn = lax.complex(*transform(Binary(), c, points))
        turns = lax.complex(*transform(Binary(), few_c, points)) if few else None

        def terms(phi, t, chance, turn, turns):
            def of(phi):
                branches = phi
                for level in levels(self.parents)[1:] if few else ():
                    whole = branches[level.nodes] * branches[parents[level.nodes]]
                    branches = branches.at[level.nodes].set(whole)
                return _generated(forest, chance, phi), branches

            only = jnp.broadcast_to(jnp.where(own, 1.0, 0.0).astype(phi.dtype), phi.shape)
            (whole, branches), (with_i, branches_i) = jax.jvp(of, (phi,), (only,))
            total = (turn * (a * whole + b * t * with_i)).sum()
            if few:
                each = a[None] * branches[order] + (b * t)[None] * branches_i[order]
                each = jnp.concatenate([each, a[None]]) * turns
                total = total - (few[0].astype(phi.dtype)[:, None] * each).sum()
            return total

        total, back = jax.vjp(terms, phi, t, chance.astype(phi.dtype), turn, turns)
        by_phi, by_t, by_p, by_turn, by_turns = back(jnp.ones_like(total))
        by_gain = (by_phi * slope).real.sum(1) + jnp.where(own[:, 0], (by_t * t_slope).real.sum(), 0.0)
        by_c = (by_turn * s * turn).real.sum()
        by_few_c = (by_turns * s[None] * turns).real.sum(1) if few else jnp.zeros_like(few_c)
        return total.real, (by_gain[np.array(self.features)], by_c, by_few_c, by_p.real)


def _generated(forest, chance, phi):
    """`E[prod of phi over the active nodes]`, for each column of phi."""
    return forest.climb(
        lambda nodes, below: chance[nodes][:, None] * (phi[nodes] * below - 1),
        lambda each: product(1 + each),
        lambda each: 1 + each.sum(1),
        leaf=1.0,
    )


@lru_cache(maxsize=64)
def _branches(trees):
    """How many features each node's branch has, up from itself, and what follows from this.

    That is the nodes of features, longest branches first; and these branches, with nothing at the end, as supports.
    """
    feature = {node: j for j, node in enumerate(trees.features)}
    branches: list[tuple[int, ...]] = []
    for node, parent in enumerate(trees.parents):
        branches.append(
            (branches[parent] if parent >= 0 else ()) + ((feature[node],) if node in feature else ())
        )
    length = np.array([len(branch) for branch in branches])
    order = np.array(sorted(trees.features, key=lambda node: -length[node]))
    return length, order, _group([*(branches[node] for node in order), ()], trees.n_features)


def _group(rows, n_features) -> Supports:
    features = np.full((len(rows), max(map(len, rows))), n_features, np.int32)
    for row, those in enumerate(rows):
        features[row, : len(those)] = those
    return Supports(features, np.array([len(those) for those in rows]))


@lru_cache(maxsize=64)
def _supports(trees):
    """All supports, and which factors their chances have.

    Of each node that is its chance, that it is not active, and that none of its children is, where these exclude each other.
    """
    n, above, exclusive = len(trees.parents), np.array(trees.parents), np.array(trees.exclusive)
    found = trees.folded(
        lambda node, below: [(node, *nodes) for nodes in below],
        lambda some: [tuple(chain(*nodes)) for nodes in choices(*([(), *each] for each in some))],
        lambda some: [(), *chain(*some)],
    )
    feature = {node: j for j, node in enumerate(trees.features)}
    rows = [tuple(feature[node] for node in nodes if node in feature) for nodes in found]
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    active = np.zeros((len(rows), n + 1), bool)  # the last column: what is above the roots
    active[:, n] = True
    for row, nodes in enumerate(found):
        active[row, list(nodes)] = True
    alone = np.append(exclusive, False)[above]
    off = active[:, above] & ~active[:, :n] & ~alone
    child = alone[:, None] & (above[:, None] == np.arange(n))  # (child, parent)
    none = active[:, :n] & exclusive & ~(active[:, :n] @ child)
    factors = np.concatenate([active[:, :n], off, none], axis=1)
    return _group([rows[row] for row in order], trees.n_features), factors[order]
