"""Retrieval: mean average precision of what the features of each cut find."""

from transferability.analysis.published import RETRIEVED, read_published
from transferability.analysis.tables import RETRIEVAL_COLUMNS, read_table
from transferability.figures.axes import STAR, panel_grid, published_handle, series_handle
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish, looks_of
from transferability.networks.notation import parse_network
from transferability.words import in_words

WAYS = {
    "plain": "by direction",
    "whitened": "whitened by principal components of training images",
    "spatial": "whitened, patch by patch",
}


def draw(study: Study, options: Options) -> Drawing:
    """A line a curve and way of finding, over the stages at which features are read."""
    path = study.tables and study.tables / "retrieval.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("nothing was retrieved; name some cuts in retrieval of the params")
    table = read_table(path, RETRIEVAL_COLUMNS)
    table["series"] = [
        f"{parse_network(cut).curve}, {way}" for cut, way in zip(table["cut"], table["way"], strict=True)
    ]
    shown = looks_of(list(dict.fromkeys(table["series"])), SERIES)
    grid = panel_grid(1, 1, options.width, (0.55, 0.16))
    (panel,) = grid.panels
    for series, rows in table.groupby("series", sort=False):
        colour, marker, dashes = shown[series]
        panel.plot(rows["n"], 100 * rows["map"], color=colour, marker=marker, markersize=4, linestyle=dashes)
    published = read_published(study.tables, RETRIEVED)
    published = published[published["network"].isin(table["cut"])]
    places = [parse_network(name).n for name in published["network"]]
    panel.plot(places, 100 * published["published"], zorder=4, **STAR)
    chance = 100 * table["chance"].iloc[0]
    panel.axhline(chance, color="0.5", linewidth=0.8, linestyle=":")
    stages = table.drop_duplicates("n").sort_values("n")
    panel.set_xticks(stages["n"], [f"{n}\n{stage}" for n, stage in zip(stages["n"], stages["stage"], strict=True)])
    panel.set_xlabel("Stage whose features are read, n")
    panel.set_ylabel("Mean average precision, %")
    panel.set_ylim(bottom=0)
    words = (
        f"Dotted: an order at random, {chance:.1f} %. {table['queries'].iloc[0]:,} queries, {table['pooling'].iloc[0]}"
    )
    handles = [series_handle(look, series) for series, look in shown.items()]
    finish(grid.figure, words, handles + published_handle(published), ncols=3)
    best = table.loc[table.groupby("series", sort=False)["map"].idxmax()]
    extremes = in_words([f"{row.cut} {100 * row.map:.1f} % ({row.way})" for row in best.itertuples()])
    ways = "; ".join(f"{way}: {WAYS[way]}" for way in dict.fromkeys(table["way"]))
    caption = (
        f"Each of {table['queries'].iloc[0]:,} test images is a query among all others, and finds those first whose "
        f"features point the same way ({ways}). What should be found are the images of its class; no label was learnt "
        f"from. Mean average precision, best: {extremes}."
    )
    return Drawing(grid.figure, "What features find", caption)
