import jax
import jax.numpy as jnp
import numpy as np
import pytest
from node import run

from superpose import curves, measures, plot
from superpose.polytopes import POLYTOPES, TEGUMS, antiprism, corners, tegum

SIZES = [(1, 1), (2, 5), (3, 8), (5, 20), (30, 100)]


def _model(W):
    m, n = W.shape
    return {"n": n, "m": m, "W": np.ascontiguousarray(W, float).ravel()}


def _turned(shape, rng, extra=0, noise=0.0):
    """The same arrangement, turned, in another order, with other lengths and a little off."""
    d, k = shape.shape
    turn = np.linalg.qr(rng.normal(size=(d + extra, d + extra)))[0][:, :d]
    W = (turn @ shape)[:, rng.permutation(k)] + noise * rng.normal(size=(d + extra, k))
    return W * rng.uniform(0.7, 1.4, k)


def _arrangements():
    """Weights of every kind: at random, at the corners of polytopes and their products, and hardly any."""
    rng = np.random.default_rng(0)
    for m, n in SIZES:
        for _ in range(20):
            W = rng.normal(size=(m, n)) * rng.choice([0.3, 1, 3])
            yield W * rng.choice([0, 1e-7, 1], n, p=[0.1, 0.1, 0.8])
        yield np.zeros((m, n))
    for name in (*POLYTOPES, *TEGUMS):
        for noise in (0, 0.01, 0.05, 0.15):
            for extra in (0, 2):
                yield _turned(corners(name), rng, extra, noise)
    for height in (0.3, 0.4, 0.5, 0.5604, 0.75, 0.8):
        yield _turned(antiprism(4, height), rng, 1, 0.01)
    names = [*POLYTOPES, *TEGUMS]
    for _ in range(60):
        parts = [corners(name) for name in rng.choice(names, rng.integers(1, 5))]
        few = tegum(*parts, np.ones((1, 1)), np.array([[0.4]]))
        yield _turned(few, rng, 0, rng.choice([0, 0.02, 0.05]))


def _told(polytopes):
    return [(each["name"], sorted(each["features"]), each["rank"]) for each in polytopes]


def _polytopes(models):
    code = 'import { polytopes } from "./measures.js"; send(data.map((model) => polytopes(model)));'
    return run(code, [_model(W) for W in models])


def test_measures_are_the_library_s():
    rng = np.random.default_rng(1)
    models = [
        scale * rng.normal(size=size) * rng.choice([0, 1e-7, 1], size[1], p=[0.1, 0.1, 0.8])
        for size in SIZES for scale in (1e-6, 0.3, 1, 1e3) for _ in range(10)
    ]  # fmt: skip
    names = ["norms", "gram", "superposition", "dimensionality", "cosines"]
    code = f"""
    import {{ {", ".join(names)} }} from "./measures.js";
    send(data.map((model) => [{", ".join(f"{name}(model)" for name in names)}]));
    """
    found = run(code, [_model(W) for W in models])
    with jax.enable_x64(True):
        for W, values in zip(models, found, strict=True):
            for name, value in zip(names, values, strict=True):
                expected = np.asarray(getattr(measures, name)(jnp.asarray(W))).ravel()
                np.testing.assert_allclose(
                    value, expected, rtol=1e-9, atol=1e-12 * max(1, np.abs(W).max() ** 2)
                )


def test_measures_are_not_a_number_where_a_weight_is_not():
    W = np.array([[1.0, np.nan, 0.0], [0.0, 1.0, 0.0]])
    code = """
    import { dimensionality, norms, polytopes, principalAxes, superposition } from "./measures.js";
    send([norms(data), superposition(data), dimensionality(data), polytopes(data), principalAxes(data)]);
    """
    norms, superposition, dimensionality, polytopes, axes = run(code, _model(W))
    np.testing.assert_array_equal(norms, measures.norms(W))
    np.testing.assert_array_equal(np.isnan(superposition), np.isnan(measures.superposition(W)))
    np.testing.assert_array_equal(np.isnan(dimensionality), np.isnan(measures.dimensionality(W)))
    assert _told(polytopes) == [("dedicated", [0], 1)]
    assert np.isfinite(axes["axes"]).all()


def test_polytopes_are_the_library_s():
    models = list(_arrangements())
    assert len(models) > 250
    names = set()
    for W, found in zip(models, _polytopes(models), strict=True):
        expected = [each._asdict() for each in measures.polytopes(W)]
        assert _told(found) == _told(expected)
        for each, other in zip(found, expected, strict=True):
            assert (each["error"] is None) == (each["name"] == "unnamed")
            assert (np.nan if each["error"] is None else each["error"]) == pytest.approx(
                other["error"], abs=1e-9, nan_ok=True
            )
            names.add(each["name"])
    assert names >= {*POLYTOPES, "square", "dedicated", "unnamed"}


def test_features_are_in_the_order_of_the_corners():
    rng = np.random.default_rng(2)
    models = {name: _turned(corners(name), rng, noise=0.01) for name in POLYTOPES if "antiprism" not in name}
    for (name, W), (found,) in zip(models.items(), _polytopes(models.values()), strict=True):
        shape, cosine = corners(name), np.asarray(measures.cosines(W[:, found["features"]]), float)
        off = (cosine - shape.T @ shape)[np.triu_indices(len(cosine), 1)]
        assert np.sqrt((off**2).mean()) == pytest.approx(found["error"], abs=1e-6)


def test_limits_of_what_is_a_polytope_can_be_set():
    rng = np.random.default_rng(3)
    models = [_turned(corners("pentagon"), rng, noise=0.1) for _ in range(20)]
    settings = {"represented": 0.9, "link": 0.4, "error": 0.1}
    code = (
        'import { polytopes } from "./measures.js"; send(data[0].map((model) => polytopes(model, data[1])));'
    )
    found = run(code, [[_model(W) for W in models], settings])
    expected = [[each._asdict() for each in measures.polytopes(W, **settings)] for W in models]
    assert [_told(each) for each in found] == [_told(each) for each in expected]


def test_a_phrase_names_what_is_stored_largest_parts_first():
    def parts(**counts):
        sizes = {"dedicated": 1, "digon": 2, "triangle": 3, "pentagon": 5, "unnamed": 7}
        sizes |= {"octahedron": 6, "4-simplex": 5, "square antiprism": 8}
        named = {name.replace("_", " ").replace("four ", "4-"): count for name, count in counts.items()}
        return [{"name": name, "features": [0] * sizes[name]} for name in named for _ in range(named[name])]

    phrases = {
        "nothing stored": parts(),
        "pentagon": parts(pentagon=1),
        "2 digons": parts(digon=2),
        "digon + 1 dedicated": parts(dedicated=1, digon=1),
        "3 dedicated": parts(dedicated=3),
        "5 irregular groups + digon + 3 dedicated": parts(dedicated=3, digon=1, unnamed=5),
        "irregular group of 7 + 2 triangles": parts(triangle=2, unnamed=1),
        "2 square antiprisms + 3 octahedra + 2 4-simplexes": parts(
            octahedron=3, four_simplex=2, square_antiprism=2
        ),
    }
    code = 'import { nameOf } from "./measures.js"; send(data.map(nameOf));'
    assert run(code, list(phrases.values())) == list(phrases)


def test_principal_axes_are_the_eigenvectors_by_falling_eigenvalue():
    rng = np.random.default_rng(4)
    models = [rng.normal(size=size) * scale for size in SIZES for scale in (1e-3, 1, 100) for _ in range(5)]
    models += [np.zeros((3, 4)), np.outer([1, 2, -2], np.ones(4)), corners("icosahedron")]
    code = """
    import { principalAxes, project } from "./measures.js";
    send(data.map((model) => {
      const found = principalAxes(model), flipped = found.axes.map((x) => -x);
      return { ...found, position: project(model, found.axes, 3), after: principalAxes(model, flipped).axes };
    }));
    """
    for W, found in zip(models, run(code, [_model(W) for W in models]), strict=True):
        m, n = W.shape
        axes, size = found["axes"].reshape(m, m), max(1e-30, np.square(W).sum())
        np.testing.assert_allclose(axes @ axes.T, np.eye(m), atol=1e-12)
        np.testing.assert_allclose(axes @ (W @ W.T) @ axes.T, np.diag(found["values"]), atol=1e-12 * size)
        np.testing.assert_allclose(found["values"], np.linalg.eigvalsh(W @ W.T)[::-1], atol=1e-12 * size)
        assert found["share"].sum() == pytest.approx(float(W.any()))
        position = np.zeros((n, 3))
        position[:, : min(3, m)] = (axes[:3] @ W).T
        np.testing.assert_allclose(found["position"].reshape(n, 3), position, atol=1e-12 * np.sqrt(size))
        first = (np.abs(axes) > np.abs(axes).max(axis=1, keepdims=True) - 1e-9).argmax(
            axis=1
        )  # of the largest
        assert (axes[np.arange(m), first] > 0).all()
        np.testing.assert_allclose(found["after"].reshape(m, m), -axes, atol=1e-12)  # as the axes before them


def test_models_in_two_dimensions_stand_upright_as_in_figures():
    rng = np.random.default_rng(5)
    models = [rng.normal(size=(2, n)) for n in (1, 2, 5) for _ in range(20)]
    models += [
        np.zeros((2, 3)),
        np.array([[1.0, 0.05, -1.0], [0.0, 1.0, 1.0]]),
        np.array([[0.0, 0.05], [1.0, 1.0]]),
    ]
    code = 'import { upright } from "./measures.js"; send(data.map(upright));'
    for W, found in zip(models, run(code, [_model(W) for W in models]), strict=True):
        np.testing.assert_allclose(found.reshape(-1, 2), plot.upright(W).T, atol=1e-12)


def test_jumps_are_the_library_s():
    rng = np.random.default_rng(6)
    cases = []
    for steps in (np.arange(1, 120), np.unique(np.geomspace(10, 10_000, 100).astype(int)), np.array([7])):
        steps = steps.astype(float)
        for case in range(60):
            walk, level = rng.normal(size=len(steps)).cumsum(), np.round(rng.normal(size=len(steps)).cumsum())
            values = [walk, level, level * (rng.random(len(steps)) < 0.2)][
                case % 3
            ]  # with many equal changes
            cases.append({"values": values, "steps": steps, "size": rng.choice([0.0, 0.5, 1.0, 2.0])})
            cases[-1]["factor"] = rng.choice([1.05, 1.25, 2.0])
    code = """
    import { jumps } from "./measures.js";
    send(data.map(({ values, steps, size, factor }) => jumps(values, steps, size, factor)));
    """
    found = run(code, cases)
    assert sum(map(len, found)) > 500
    for case, pairs in zip(cases, found, strict=True):
        assert pairs == curves.jumps(**case).tolist()


def test_a_loss_that_is_not_finite_is_no_jump():
    code = 'import { jumps } from "./measures.js"; send(jumps(data, data.map((_, step) => 100 + step), 0.5));'
    assert run(code, np.array([1, 1, 2, np.inf, 2, np.nan, 2, 2.0])) == [[1, 2]]


def _drawn(W, found, link):
    """Where the library's figure has the features, and its links: both ends, from the lower feature, and the width."""
    ax = plot.figure(3, 3).subplots()
    plot.feature_graph(ax, W, found, link=link)
    position = np.zeros((W.shape[1], 2))
    for part, line in zip(sorted(found, key=lambda each: -len(each.features)), ax.lines, strict=True):
        position[list(part.features)] = np.array(line.get_data()).T
    (lines,) = ax.collections
    ends = [tuple(np.ravel(segment)) for segment in lines.get_segments()]
    return position, list(zip(ends, np.array(lines.get_linewidths()) / 1.6, strict=False))


def test_the_feature_graph_is_that_of_figures():
    rng = np.random.default_rng(7)
    models = [W for W in _arrangements() if W.shape[1] < 60 and measures.polytopes(W)][::3]
    models += [np.zeros((2, 3)), rng.normal(size=(3, 40))]
    found = [measures.polytopes(W) for W in models]
    data = [
        [_model(W), [{"name": part.name, "features": part.features} for part in parts]]
        for W, parts in zip(models, found, strict=True)
    ]
    code = 'import { graphLayout } from "./measures.js"; send(data.map(([model, found]) => graphLayout(model, found)));'
    sprung = []
    for W, parts, layout in zip(models, found, run(code, data), strict=True):
        position, drawn = _drawn(W, parts, link=0.2)
        off = np.abs(layout["position"].reshape(-1, 2) - position).max(axis=1)
        for part in parts:
            if part.name == "unnamed" and len(part.features) > 6:
                sprung.append(off[list(part.features)].max())
                off[list(part.features)] = 0
        assert off.max() < 1e-6
        links = [((*position[link["i"]], *position[link["j"]]), link["width"]) for link in layout["links"]]
        assert len(links) == len(drawn)
        for (ends, width), (drawn_ends, drawn_width) in zip(sorted(links), sorted(drawn), strict=True):
            np.testing.assert_allclose(ends, drawn_ends)
            assert width == pytest.approx(drawn_width)
    # The figure's cosines are float32, and 80 rounds of springs make much of that.
    assert len(sprung) > 10
    assert np.median(sprung) < 1e-3
