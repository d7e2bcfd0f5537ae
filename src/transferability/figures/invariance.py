"""Invariance: how far the features of chosen cuts move as images are shifted, enlarged and turned."""

from transferability.analysis.tables import INVARIANCE_COLUMNS, read_table
from transferability.figures.axes import panel_grid, series_handle
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish, looks_of
from transferability.words import counted, in_words

AXES = {
    "shift": "Shifted, share of the side",
    "scale": "Enlarged, times",
    "rotation": "Turned, degrees",
}


def draw(study: Study, options: Options) -> Drawing:
    """A panel a change: for each cut the distance of its features, where 1 is that of another image."""
    path = study.tables and study.tables / "invariance.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("no cut was looked at; name some in shows of the params")
    table = read_table(path, INVARIANCE_COLUMNS)
    if table.empty:
        raise NothingToDrawError("the cuts in shows give the same for all images, so there is no distance to compare")
    cuts = list(dict.fromkeys(table["cut"]))
    shown = looks_of(cuts, SERIES)
    grid = panel_grid(len(AXES), 3, options.width, (0.3, 0.12 + 0.02 * len(cuts) / 4), sharey=True)
    for panel, (change, label) in zip(grid.panels, AXES.items(), strict=True):
        panel.axhline(1, color="0.5", linewidth=0.8, linestyle=":")
        for cut, rows in table[table["change"] == change].groupby("cut", sort=False):
            colour, marker, dashes = shown[cut]
            panel.plot(rows["amount"], rows["distance"], color=colour, marker=marker, markersize=3.5, linestyle=dashes)
        panel.set_xlabel(label)
        panel.set_ylim(bottom=0)
    grid.panels[0].set_ylabel("Distance, 1: another image")
    stages = dict(zip(table["cut"], table["stage"], strict=True))
    handles = [series_handle(look, f"{cut}, {stages[cut]}") for cut, look in shown.items()]
    images = counted(int(table["images"].iloc[0]), "test image")
    finish(grid.figure, f"Means over {images}; what comes in at an edge is the image's reflection", handles, ncols=4)
    most = table[table["change"] == "rotation"].groupby("cut", sort=False)["distance"].max()
    farthest = in_words([f"{cut} {distance:.2f}" for cut, distance in most.items()])
    caption = (
        f"How far features move as an image is shifted, enlarged or turned: the Euclidean distance of all values of a "
        f"cut, as a share of that between two different images, means over {images}. Turned, at most: {farthest}."
    )
    return Drawing(grid.figure, "How features move with an image", caption)
