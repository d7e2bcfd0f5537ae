"""Choice: what a score predicts of each of several sources for a target; what each way to choose loses and costs."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from transferability.analysis.tables import CANDIDATE_COLUMNS, CHOICE_COLUMNS, read_table
from transferability.evaluation.scores import LEFT_OUT
from transferability.figures.axes import as_percent, panel_grid, series_handle
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish, looks_of
from transferability.words import counted, duration, points

TARGET = ["dataset", "split", "target"]
SOURCE = ["architecture", "treatment"]
TRUTHS = ("fine-tuned", "retrained")
"""What is drawn of what tells what candidates give, in this order; else what the first probe reads."""
MOST = 6
"""Targets that the figure has room for."""
COLOURS = {"score": "#0072B2", "probe": "#009E73", "training": "#D55E00", "at random": "#777777"}
"""The colours of the kinds of ways to choose."""


@dataclass(frozen=True)
class Shown:
    """Of one target the rows of choice.csv, a way each, and those of candidates.csv of one score: means over seeds."""

    name: str
    truth: str
    ways: pd.DataFrame
    candidates: pd.DataFrame

    @property
    def predictor(self) -> str:
        """The score whose predictions are drawn."""
        return self.candidates["way"].iloc[0]

    @property
    def rows(self) -> list[dict]:
        """The ways as records, each with its `label`: a probe may have the name of a score."""
        rows = self.ways.to_dict("records")
        return [row | {"label": f"{'probe ' * (row['kind'] == 'probe')}{row['way']}"} for row in rows]

    @property
    def tau(self) -> float:
        """How well the drawn score ranks the candidates."""
        ways = self.ways.set_index(["kind", "way"])
        return float(ways.loc[("score", self.predictor), "weighted_tau"])

    @property
    def sources(self) -> list[tuple]:
        return list(dict.fromkeys(self.candidates[SOURCE].itertuples(index=False, name=None)))


def drawn_truth(rows: pd.DataFrame) -> str:
    """What is drawn of what tells what the candidates of one target give."""
    return min(rows["truth"], key=lambda name: (TRUTHS.index(name) if name in TRUTHS else len(TRUTHS), name))


def truth_label(name: str) -> str:
    """What tells what candidates give, in words: a probe may have the name of a score."""
    return name if name in TRUTHS else f"probe {name}"


def drawn_score(candidates: pd.DataFrame) -> str:
    """The first accuracy on images left out that speaks of as many candidates as any score does, else a score."""
    counts = candidates.groupby("way", sort=False).size()
    widest = counts.index[counts == counts.max()]
    return next((name for name in LEFT_OUT if name in widest), widest[0])


def one_name(names: pd.Series) -> str:
    """What is chosen for all seeds."""
    return names.iloc[0] if names.nunique() < 2 else "a cut that differs between seeds"


def mean_ways(choice: pd.DataFrame) -> pd.DataFrame:
    """The rows of one target in choice.csv, a way each: means over seeds, and what it has chosen."""
    numbers = ["gives", "rank", "regret", "weighted_tau", "candidates", "seconds"]
    rules = dict.fromkeys(numbers, "mean") | dict.fromkeys(["chosen", "best"], one_name)
    return choice.astype(dict.fromkeys(numbers, float)).groupby(["kind", "way"], sort=False).agg(rules).reset_index()


def mean_candidates(candidates: pd.DataFrame) -> pd.DataFrame:
    """What one score says of each candidate of one target, and what that gives: means over seeds."""
    scored = candidates[candidates["kind"] == "score"]
    rows = scored[scored["way"] == drawn_score(scored)]
    return rows.groupby(["way", *SOURCE, "n"], sort=False)[["value", "gives"]].mean().reset_index()


def read_summary(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """choice.csv and candidates.csv, of targets of which some score speaks, and of one truth of each."""
    folder: Path | None = study.summary
    if folder is None or not (folder / "choice.csv").exists():
        raise NothingToDrawError("there are no several sources to choose among; score those of several architectures")
    choice = read_table(folder / "choice.csv", CHOICE_COLUMNS)
    candidates = read_table(folder / "candidates.csv", CANDIDATE_COLUMNS)
    scored = candidates[candidates["kind"] == "score"]
    if scored.empty:
        raise NothingToDrawError(
            "of no target two scored cuts are retrained, fine-tuned or read by a probe too, to choose among"
        )
    keys = [dict(zip(TARGET, key, strict=True)) | {"truth": drawn_truth(rows)} for key, rows in scored.groupby(TARGET)]
    drawn = pd.DataFrame(keys)
    return choice.merge(drawn), candidates.merge(drawn)


def read_choice(study: Study) -> list[Shown]:
    """The targets of a study, those of the data set whose page it is first."""
    choice, candidates = read_summary(study)
    ways = dict(iter(choice.groupby(TARGET, sort=False)))
    alone = len(choice[TARGET[1:]].drop_duplicates()) == 1
    here = study.networks["dataset"].iloc[0]
    targets = sorted(candidates.groupby(TARGET, sort=False), key=lambda item: item[0][0] != here)
    return [
        Shown(
            key[0] if alone else ", ".join(key),
            truth_label(rows["truth"].iloc[0]),
            mean_ways(ways[key]),
            mean_candidates(rows),
        )
        for key, rows in targets
    ]


def draw_predicted(panel: Axes, shown: Shown, looks: dict[tuple, tuple]) -> None:
    """What candidates give against what the score predicts, a marker a source, with n beside it."""
    for source, rows in shown.candidates.groupby(SOURCE, sort=False):
        colour, marker, _ = looks[source]
        panel.plot(rows["value"], rows["gives"], linestyle="", marker=marker, color=colour, markersize=5)
        for row in rows.itertuples():
            panel.annotate(
                str(row.n), (row.value, row.gives), xytext=(4, 2), textcoords="offset points", fontsize=6.5, color="0.3"
            )
    tau = f"{shown.tau:+.2f}".replace("-", "−") if pd.notna(shown.tau) else "none"
    panel.set_title(f"{shown.name}: {shown.truth} against {shown.predictor}\nweighted τ {tau}", fontsize=8)
    panel.margins(0.12)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    as_percent(panel)
    if shown.predictor in LEFT_OUT:
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def place_text(way: dict) -> str:
    """The rank of what a way has chosen, and the time that choosing so takes."""
    if pd.isna(way["rank"]):
        return f"mean of {way['candidates']:.0f}"
    taken = duration(way["seconds"]) if pd.notna(way["seconds"]) else "time not measured"
    return f"rank {way['rank']:.3g} of {way['candidates']:.0f}, {taken}"


def draw_regret(panel: Axes, shown: Shown) -> None:
    """What each way loses against the best candidate: a bar a way, its rank and time beside the name."""
    names = []
    for place, way in enumerate(shown.rows):
        colour = COLOURS[way["kind"]]
        panel.hlines(place, 0, way["regret"], color=colour, linewidth=2)
        panel.plot(way["regret"], place, marker="o", markersize=4.5, color=colour, clip_on=False)
        names.append(f"{way['label']}: {place_text(way)}")
    panel.set_yticks(range(len(names)), names, fontsize=7)
    panel.invert_yaxis()
    panel.grid(visible=False)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value, signed=False)))
    panel.set_title("Points below the best\n(rank of the chosen, time)", fontsize=8)


def way_phrase(way: dict) -> str:
    """A way in words: ridge takes lite0, pretrained, n = 9 (rank 1 of 8, 12 s) and loses 0.0 points."""
    lost = points(way["regret"], signed=False)
    return f"{way['label']} takes {way['chosen']} ({place_text(way)}) and loses {lost} points"


def target_sentence(shown: Shown) -> str:
    """The best candidate of a target, and what a score, each probe and training all would take."""
    ways = shown.rows
    best = ways[0]["gives"] + ways[0]["regret"]
    told = [way for way in ways if way["label"] == shown.predictor or way["kind"] in ("probe", "training")]
    phrases = "; ".join(way_phrase(way) for way in told)
    return f"{shown.name}: best {ways[0]['best']} with {100 * best:.1f} %; {phrases}."


def legend_handles(looks: dict[tuple, tuple], kinds: list[str]) -> list[Line2D]:
    """The sources by their markers, and the kinds of ways by their colours."""
    sources = [
        series_handle((colour, marker, ""), f"{architecture}, {treatment}")
        for (architecture, treatment), (colour, marker, _) in looks.items()
    ]
    return sources + [Line2D([], [], color=COLOURS[kind], linewidth=2, label=kind) for kind in kinds]


def draw(study: Study, options: Options) -> Drawing:
    """Two panels a target: what its candidates give against what a score predicts, and what each way loses."""
    every = read_choice(study)
    targets = every[:MOST]
    sources = list(dict.fromkeys(source for shown in targets for source in shown.sources))
    looks = looks_of(sources, SERIES)
    most = max(len(shown.ways) for shown in targets)
    height = (0.75 + 0.16 * most) / options.width
    grid = panel_grid(2 * len(targets), 2, options.width, (height, 0.16))
    for shown, left, right in zip(targets, grid.panels[::2], grid.panels[1::2], strict=True):
        draw_predicted(left, shown, looks)
        draw_regret(right, shown)
        left.set_ylabel(f"{shown.truth}, test")
    grid.panels[-2].set_xlabel(f"{targets[-1].predictor}, above its null")
    kinds = [kind for kind in COLOURS if any(kind in set(shown.ways["kind"]) for shown in targets)]
    left_out = f" {counted(len(every) - MOST, 'target')} more: choice.csv" if len(every) > MOST else ""
    seeds = "Numbers beside markers: the cut, n." + left_out
    finish(grid.figure, seeds, legend_handles(looks, kinds), ncols=2)
    caption = (
        "What each candidate gives on test images against what a score says of it before anything is trained; and, for "
        "each way to choose, how far what it takes stays below the best candidate, its rank among them, and the time "
        f"that it takes to look at all. {' '.join(map(target_sentence, targets))}"
    )
    return Drawing(grid.figure, "Which source to take", caption)
