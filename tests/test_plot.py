"""Panels of figures draw the numbers that they are given."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from superpose import measures, plot

W = np.array([[1.0, -0.8, 0.0, 0.1], [0.0, 0.0, 0.9, 0.0]])


@pytest.fixture
def ax():
    with plot.style():
        yield plot.figure(3, 3).subplots()


def test_directions_are_lines_to_each_features_weights(ax):
    plot.directions(ax, W, np.array([1.0, 0.9, 0.8, 0.7]))
    ends = [line.get_xydata()[-1].tolist() for line in ax.lines]
    assert all(weights.tolist() in ends for weights in W.T)
    assert ax.get_aspect() == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax, W: plot.directions(ax, W, np.ones(W.shape[1])),
        lambda ax, W: plot.points(ax, W, np.zeros(W.shape[1], int)),
        lambda ax, W: plot.upright(W),
        lambda ax, W: plot.aligned(W, np.zeros(W.shape[1], int)),
    ],
    ids=["directions", "points", "upright", "aligned"],
)
def test_only_two_dimensions_are_drawn_as_they_are(draw, ax):
    with pytest.raises(
        ValueError, match="W must have 2 hidden dimensions to be drawn as they are, got 3; feature_graph"
    ):
        draw(ax, np.ones((3, 8)))
    with pytest.raises(ValueError, match="got 8; feature i is the column"):
        draw(ax, np.ones((8, 2)))


def test_sets_share_a_color_and_features_at_one_place_are_rings(ax):
    plot.points(ax, np.array([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]]), [0, 0, 1])
    markers = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xydata()[0].tolist() for line in markers] == [[1, 0], [1, 0], [-1, 0]]
    assert markers[1].get_markersize() > markers[0].get_markersize()
    assert markers[1].get_markerfacecolor() == "none"
    assert markers[0].get_markerfacecolor() == plot.SETS[0] != markers[2].get_markerfacecolor()


def test_a_graph_has_a_point_a_feature_and_a_line_a_link(ax):
    pairs = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    plot.feature_graph(ax, pairs, measures.polytopes(pairs))
    assert sum(len(line.get_xydata()) for line in ax.lines) == 4
    (links,) = ax.collections
    assert len(links.get_segments()) == 2
    np.testing.assert_allclose(links.get_linewidths(), 1.6)


def test_a_small_graph_says_which_feature_is_where(ax):
    pairs = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    plot.feature_graph(ax, pairs, measures.polytopes(pairs))
    written = {text.get_text(): text.xy for text in ax.texts}
    assert sorted(written) == ["0", "1", "2", "3"]
    for i, j in ((0, 1), (2, 3)):  # pairs are drawn as pairs, apart from the others
        across = np.linalg.norm(np.subtract(written[f"{i}"], written[f"{j}"]))
        others = [
            np.linalg.norm(np.subtract(written[f"{i}"], written[f"{k}"])) for k in {0, 1, 2, 3} - {i, j}
        ]
        assert 0 < across < min(others)


def test_a_gram_matrix_without_biases_has_no_strip(ax):
    plot.gram(ax, W)
    (products,) = ax.images
    assert ax.get_xlim() == (0, W.shape[1])
    np.testing.assert_allclose(products.get_array(), W.T @ W)


def test_a_gram_matrix_is_drawn_with_its_biases(ax):
    b = np.array([0.1, -0.2, 0.0, 0.3])
    plot.gram(ax, W, b)
    products, biases = (np.asarray(image.get_array()) for image in ax.images)
    np.testing.assert_allclose(products, W.T @ W)
    np.testing.assert_allclose(biases[:, 0], b)
    assert all(image.get_clim() == (-1, 1) for image in ax.images)


def test_bars_are_as_long_as_norms_the_first_feature_on_top(ax):
    plot.norm_bars(ax, W)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], np.linalg.norm(W, axis=0))
    low, high = ax.get_ylim()
    assert low > high
    shared, dedicated = ax.patches[0].get_facecolor(), ax.patches[2].get_facecolor()
    assert shared[:3] != dedicated[:3]


def test_phases_are_gray_blue_and_red():
    colors = plot.phase_colors(np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.5, 0.0, 1.0, 3.0]))
    hexes = ["#" + "".join(f"{round(255 * part):02x}" for part in color) for color in colors]
    assert hexes == [plot.GRAY, plot.BLUE, plot.RED, plot.RED]


def test_edges_are_half_way_between_centers_on_a_log_scale():
    np.testing.assert_allclose(plot.log_edges([1.0, 10.0, 100.0]), 10.0 ** np.array([-0.5, 0.5, 1.5, 2.5]))


def test_a_log_axis_has_just_the_ticks_that_it_is_given(ax):
    plot.log_axis(ax.xaxis, [1, 2.5, 10])
    assert ax.get_xscale() == "log"
    assert ax.get_xticks().tolist() == [1, 2.5, 10]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2.5", "10"]
    assert not len(ax.get_xticks(minor=True))


def test_a_log_axis_from_zero_has_zero_at_its_left_end(ax):
    at = plot.log_axis_from_zero(ax, np.array([0.0, 0.01, 0.1]))
    np.testing.assert_allclose(at, [0.004, 0.01, 0.1])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.01", "0.03", "0.1"]


def test_a_level_is_a_line_across_with_its_name(ax):
    plot.level(ax, 0.5, "half", color="red")
    (line,), (text,) = ax.lines, ax.texts
    assert set(line.get_ydata()) == {0.5}
    assert (text.get_text(), text.get_color(), line.get_color()) == ("half", "red", "red")


def test_stacked_bars_add_up_and_name_what_occurs(ax):
    shares = xr.DataArray(
        [[0.25, 0.75, 0.0], [0.5, 0.5, 0.0]], {"x": [1.0, 10.0], "name": ["pentagon", "other", "none"]}
    )
    plot.stacked_bars(ax, shares, plot.POLYTOPE_COLORS)
    tops = [bar.get_y() + bar.get_height() for bar in ax.patches if bar.get_height()]
    assert tops == [0.25, 0.5, 1, 1]
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["pentagon", "other"]
    colors = [to_hex(handle.get_facecolor()) for handle in legend.legend_handles]
    assert colors == [plot.POLYTOPE_COLORS["pentagon"], "#8c564b"]


def test_a_colorbar_goes_from_low_to_high(ax):
    bar = plot.colorbar(ax.figure, ax, plot.weight_colors, "weight", low=-1, high=1)
    assert (bar.vmin, bar.vmax, bar.ax.get_ylabel()) == (-1, 1, "weight")


def test_words_of_others_are_written_as_they_are(ax):
    plot.write(ax, 0, 0, "$x_1$ & <b>")
    (text,) = ax.texts
    assert text.get_text() == "$x_1$ & <b>"
    assert not text.get_parse_math()


@pytest.mark.parametrize("names", [False, True])
def test_stacks_are_as_high_as_the_weights(names):
    W = np.array([[1.0, 0.5, -2.0], [0.0, -0.5, 0.01]])
    with plot.style():
        fig = plot.figure(3, 2)
        ax = fig.subplots()
        plot.stacks(ax, W, np.array(plot.SETS[:3]), names=names)
        fig.draw_without_rendering()
    (boxes,) = ax.collections
    corners = np.array([path.vertices for path in boxes.get_paths()])
    assert len(corners) == 4  # the weight of 0.01 is left out
    assert corners[..., 1].max() == pytest.approx(1.5)
    assert corners[..., 1].min() == pytest.approx(-2)
    texts = {text.get_text() for text in ax.texts}
    assert texts == ({"0", "1", "2"} if names else set())
