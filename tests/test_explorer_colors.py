import matplotlib
import numpy as np
import pytest
from node import run

from superpose import plot


def _rgb(colors):
    return np.array([matplotlib.colors.to_rgb(color) for color in colors]) * 255


@pytest.mark.parametrize(
    ("name", "colors", "low"),
    [
        ("importanceColor", plot.importance_colors, 0),
        ("superpositionColor", plot.superposition_colors, 0),
        ("weightColor", plot.weight_colors, -1),
    ],
)
def test_color_maps_are_those_of_the_figures(name, colors, low):
    share = np.linspace(-0.1, 1.1, 2001)
    theirs = run(
        f'import {{ {name} }} from "./colors.js"; send(data.map({name}));', list(low + (1 - low) * share)
    )
    ours = np.round(255 * colors(np.clip(share, 0, 1))[:, :3])
    assert np.abs(np.round(_rgb(theirs)) - ours).max() <= 2


def test_named_colors_are_those_of_the_figures():
    sets, polytopes = run(
        'import { SETS, POLYTOPE_COLORS } from "./colors.js"; send([SETS, POLYTOPE_COLORS]);'
    )
    assert sets == list(plot.SETS)
    assert polytopes == plot.POLYTOPE_COLORS
    assert list(polytopes) == list(plot.POLYTOPE_COLORS)


def test_phase_colors_are_those_of_the_figures():
    norm, shared = np.random.default_rng(0).uniform(-0.2, 1.5, (2, 500))
    code = 'import { phaseColor } from "./colors.js"; send(data.map(([norm, shared]) => phaseColor(norm, shared)));'
    theirs = run(code, list(zip(norm, shared, strict=True)))
    assert np.abs(_rgb(theirs) - 255 * plot.phase_colors(norm, shared)).max() <= 0.51
