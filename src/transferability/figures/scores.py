"""Scores: what scores say of each cut without training, beside what transfer really gave."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import SCORE_COLUMNS, read_table, stage_names
from transferability.analysis.treatments import for_tasks, rank_of
from transferability.evaluation.scores import HEAD_SCORES, SCORES
from transferability.figures.axes import as_percent, label_layers, panel_grid, series_handle
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import Style, finish, legend_label, styles_of
from transferability.networks.notation import split_treatment
from transferability.words import counted, in_words

TITLES = {
    "ridge": "Ridge regression,\nleft out",
    "logme": "LogME,\nnats an image",
    "neighbour": "Nearest image,\nleft out",
    "means": "Class means,\nleft out",
}
"""What a score is called above its panel."""


def read_scores(study: Study) -> pd.DataFrame:
    """scores.csv of a study's tables; a study without one is a NothingToDrawError."""
    path = study.tables and study.tables / "scores.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("nothing was scored; name some treatments in scores of the params")
    return read_table(path, SCORE_COLUMNS)


def measured(study: Study, treatments: list[str], read_out: str) -> pd.DataFrame:
    """The networks and probes that tell what the scored stages gave."""
    networks = study.networks
    kinds = networks["treatment"].map(lambda name: split_treatment(name).treatment.name.removesuffix("+"))
    plain = networks["treatment"].map(lambda name: not split_treatment(name).preserved)
    return networks[kinds.isin(treatments) & plain & networks["trained"] & networks[read_out].notna()]


def draw_means(panel: Axes, rows: pd.DataFrame, value: str, styles: dict[str, Style]) -> None:
    """The mean of a column at each n, a line a treatment."""
    for name, group in rows.groupby("treatment"):
        style, means = styles[name], group.groupby("n")[value].mean()
        look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.dashes}
        panel.plot(means.index, means, markersize=4 * style.size, **look)


def head_text(scores: pd.DataFrame) -> str:
    """What the scores of the sources' own classes are, in words."""
    rows = scores[scores["score"].isin(HEAD_SCORES) & scores["above"].notna()]
    means = rows.groupby(["treatment", "score"], sort=False)["above"].mean()
    values = [f"{score.upper()} of {treatment} {value:.2f}" for (treatment, score), value in means.items()]
    return f" At the head, above its null, in nats: {in_words(values)}.".replace("-", "−") if values else ""


def draw(study: Study, options: Options) -> Drawing:
    """What transfer gave in the first panel, and a panel a score: means over targets, splits and seeds against n."""
    scores = read_scores(study)
    curves = scores[scores["score"].isin(SCORES) & scores["above"].notna()]
    if curves.empty:
        raise NothingToDrawError(f"no cut has a score: {scores['reason'].dropna().iloc[0]}")
    treatments = sorted(curves["treatment"].unique(), key=rank_of)
    truth = measured(study, treatments, options.read_out)
    styles = styles_of(sorted({*treatments, *truth["treatment"]}, key=rank_of))
    shown = [name for name in SCORES if name in set(curves["score"])]
    grid = panel_grid(len(shown) + 1, 3, options.width, (0.33, 0.14), sharex=True)
    draw_means(grid.panels[0], truth, options.read_out, styles)
    grid.panels[0].set_title(read_out_of(options.read_out).label, fontsize=8)
    as_percent(grid.panels[0])
    for panel, name in zip(grid.panels[1:], shown, strict=True):
        draw_means(panel, curves[curves["score"] == name], "above", styles)
        panel.axhline(0, color="0.5", linewidth=0.8, linestyle=":")
        panel.set_title(TITLES[name], fontsize=8)
    grid.label("Cut after layer n", "")
    label_layers(grid.panels[-1], sorted(set(curves["n"])), stage_names(study.networks), grid.panel_inches)
    first = curves.iloc[0]
    how = f"{first['pooling']}, {counted(int(first['permutations']), 'permutation')} for the null"
    handles = [
        series_handle((style.colour, style.marker, style.dashes), for_tasks(legend_label(name, style), study.networks))
        for name, style in styles.items()
    ]
    finish(grid.figure, f"Scores above their null; means over targets, splits and seeds. {how}", handles, ncols=2)
    best = curves.loc[curves.groupby(["score", "treatment"], sort=False)["above"].idxmax()]
    largest = [
        f"{row.score} of {row.treatment} at n = {row.n}" for row in best.itertuples() if row.treatment != "random"
    ]
    caption = (
        "Scores of the features at each cut, computed without training on the target's training images, less what "
        "permuted labels score, beside what networks and probes made of the same stages score. Untrained stages stand "
        f"beside them. Largest: {in_words(largest)}.{head_text(scores)}"
    )
    return Drawing(grid.figure, "What scores say before anything is trained", caption)
