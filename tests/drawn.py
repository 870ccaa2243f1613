"""What a figure shows: for tests of figures, which must do more than not fail."""

from superpose import plot


def drawn(figure, data, empty: int = 0) -> set[str]:
    """The words in the figure of an experiment, which must show something in all of its panels but `empty` ones."""
    with plot.style():
        fig = figure(data)
        fig.draw_without_rendering()
    panels = [ax for ax in fig.get_axes() if ax.get_visible()]
    assert panels
    blank = [ax for ax in panels if not [*ax.lines, *ax.patches, *ax.collections, *ax.images, *ax.texts]]
    assert len(blank) == empty, [(ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) for ax in blank]
    artists = fig.findobj(match=lambda artist: hasattr(artist, "get_text"))
    return {artist.get_text() for artist in artists if artist.get_text()}
