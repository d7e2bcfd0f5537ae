"""Verdict: which stages to keep, in a few sentences that follow from the effects and their intervals."""

from dataclasses import dataclass

import pandas as pd

from transferability.analysis.conditions import conditions_of, in_a_line, unreduced
from transferability.analysis.contrasts import effect_of
from transferability.analysis.judging import GAINS, KEEPS, LOSES, OPEN, estimate_text, extreme_of, judge
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import cut_name, stage_names
from transferability.analysis.treatments import for_tasks, probed_rows
from transferability.networks.notation import split_treatment
from transferability.words import counted, in_words, points

FROZEN = ("pretrained, frozen", "total", "co-adaptation")
"""The effects that answer which stages may be frozen: the first of them that a study has is its verdict's."""
TUNED = ("pretrained, fine-tuned", "fine-tuned transfer", "fine-tuned selffer")
"""The effects that answer what fine-tuning is worth."""
TOLERANCE = 0.02
"""The loss up to which stages count as kept, where drops.csv names no other size."""
COARSE = 0.01
"""The share of one image from which on the verdict says it."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on: the rows of effects.csv of one condition and read-out, by effect.

    `image` is what one test image makes the accuracy of a network differ by, 0 where it is not known; `images` the
    number of them; `tolerance` the loss up to which stages count as kept; `stages` their names, by n, if they tell
    more.
    """

    effects: pd.DataFrame
    image: float
    images: int
    tolerance: float
    stages: dict[int, str]

    def layers(self, names: tuple[str, ...]) -> pd.DataFrame:
        """The rows by layer, with a mean, of the first of some effects that has any, in the order of n."""
        for name in names:
            rows = self.effects[(self.effects["effect"] == name) & self.effects["mean"].notna()]
            if rows["n"].notna().any():
                return rows[rows["n"].notna()].sort_values("n")
        return self.effects[:0]

    def over_all(self, names: tuple[str, ...]) -> dict | None:
        """The row over all layers of the first of some effects that has one, or its only row; None if none has."""
        layers = self.layers(names)
        if layers.empty:
            return None
        rows = self.effects[(self.effects["effect"] == layers["effect"].iloc[0]) & self.effects["n"].isna()]
        rows = rows[rows["mean"].notna()]
        return rows.iloc[0].to_dict() if len(rows) else layers.iloc[0].to_dict() if len(layers) == 1 else None

    def judged(self, row: dict) -> str:
        """What a row shows."""
        return judge(row, self.image, self.tolerance)

    def at(self, row: dict) -> str:
        """A row's estimate and its place: −3.0 points (95 %: −4.1 to −1.9) at n = 5."""
        return f"{estimate_text(row)} at {cut_name(int(row['n']), self.stages)}"

    def stretch(self, last: int) -> str:
        """The stages up to a cut: stages 1–3, or, where they have names, stages 1–3 (stem to layer2.0)."""
        if last == 1:
            return "stage 1" + (f" ({self.stages[1]})" if 1 in self.stages else "")
        named = f" (up to {self.stages[last]})" if last in self.stages else ""
        return f"stages 1–{last}{named}"


def frozen_sentences(evidence: Evidence) -> list[str]:
    """Which stages may be frozen, and from where on freezing loses."""
    layers = evidence.layers(FROZEN)
    if layers.empty:
        return []
    rows = layers.to_dict("records")
    judged = [evidence.judged(row) for row in rows]
    leading = next((index for index, word in enumerate(judged) if word not in (KEEPS, GAINS)), len(rows))
    return [
        keep_sentence(evidence, rows[:leading], judged[:leading]) or open_sentence(evidence, rows[0], judged[0])
    ] + [sentence for sentence in [lose_sentence(evidence, rows, judged)] if sentence]


def keep_sentence(evidence: Evidence, kept: list[dict], judged: list[str]) -> str | None:
    """The stages that may be frozen: up to the best of the cuts that gain, or up to the last that keeps."""
    if not kept:
        return None
    gaining = [row for row, word in zip(kept, judged, strict=True) if word == GAINS]
    row = max(gaining, key=lambda row: row["mean"]) if gaining else kept[-1]
    return f"Freeze {evidence.stretch(int(row['n']))}: {estimate_text(row)} against training from scratch."


def open_sentence(evidence: Evidence, first: dict, judged: str) -> str:
    """What is said where not even the first cut keeps what training from scratch gives."""
    if judged == LOSES:
        return "Freeze no stage: the first cut already loses."
    return (
        f"Whether stages may be frozen is open: {evidence.at(first)}, so a loss of "
        f"{points(evidence.tolerance, signed=False)} points is not excluded."
    )


def lose_sentence(evidence: Evidence, rows: list[dict], judged: list[str]) -> str | None:
    """From which stage on frozen features lose, and the most that they do; None where there is no cut to tell of."""
    losing = [row for row, word in zip(rows, judged, strict=True) if word == LOSES]
    if not losing:
        lowest = min(rows, key=lambda row: row["mean"])
        small = abs(lowest["mean"]) <= evidence.image
        return (
            None if small or lowest["mean"] >= 0 else f"No cut is shown to lose; the lowest is {evidence.at(lowest)}."
        )
    most = min(losing, key=lambda row: row["mean"])
    lasting = judged[rows.index(losing[0]) :]
    if set(lasting) == {LOSES}:
        where = f"From n = {losing[0]['n']} on" if len(losing) > 1 else f"At n = {losing[0]['n']}"
    else:
        where = f"At n = {in_words([row['n'] for row in losing])}"
    if len(losing) == 1:
        return f"{where} frozen features lose: {estimate_text(most)}."
    return f"{where} frozen features lose, most with {evidence.at(most)}."


def tuned_sentence(evidence: Evidence) -> str | None:
    """What fine-tuning the copied stages is worth, over all cuts."""
    row = evidence.over_all(TUNED)
    if row is None:
        return None
    where = f"at n = {row['n']}" if pd.notna(row["n"]) else "over all cuts"
    verb = {
        GAINS: "Fine-tune what is copied: it gains",
        LOSES: "Fine-tuning what is copied loses:",
        KEEPS: "Fine-tuning what is copied keeps what training from scratch gives:",
        OPEN: "Whether fine-tuning gains is open:",
    }[evidence.judged(row)]
    runs = f", in {counted(int(row['units']), 'run')}, without an interval" if pd.isna(row["low"]) else ""
    return f"{verb} {estimate_text(row)} {where}{runs}."


def cutting_sentence(evidence: Evidence) -> str | None:
    """Where cutting alone loses most, though no task changes; None where that is not shown."""
    rows = evidence.layers(("co-adaptation",))
    losing = [row for row in rows.to_dict("records") if evidence.judged(row) == LOSES]
    if not losing or evidence.layers(FROZEN)["effect"].iloc[0] == "co-adaptation":
        return None
    most = min(losing, key=lambda row: row["mean"])
    return f"Cutting alone, on one's own task, loses most with {evidence.at(most)} (fragile co-adaptation)."


def doubt_sentence(evidence: Evidence) -> str | None:
    """Why there is no conclusion, where not one effect has an interval or none shows anything; else None."""
    rows = pd.concat([evidence.layers(FROZEN), evidence.layers(TUNED)])
    if rows.empty:
        return None
    sure = rows[rows["low"].notna()]
    images = f"{counted(evidence.images, 'test image')} a task, " if evidence.images else ""
    if sure.empty:
        most = int(rows["units"].max())
        why = "one run" if most == 1 else f"{most} runs that are not independent or do not differ"
        return f"No conclusion: {images}{why}; add splits or seeds (study.split, study.seed), or images."
    if all(evidence.judged(row) == OPEN for row in rows.to_dict("records")):
        runs = counted(int(rows["units"].max()), "run")
        return f"No conclusion: {images}{runs} leave every interval too wide to tell; add splits or seeds, or images."
    return None


def seen_sentence(evidence: Evidence) -> str | None:
    """What was seen where there is no conclusion: the largest difference, if it is more than one image."""
    rows = evidence.layers(FROZEN)
    rows = rows if len(rows) else evidence.layers(TUNED)
    largest = extreme_of(rows)
    if abs(largest["mean"]) <= evidence.image:
        return f"No difference is larger than one test image, {points(evidence.image, signed=False)} points."
    effect = effect_of(largest["effect"])
    return (
        f"Seen here, not more: {effect.label.lower()}, {for_tasks(effect.notation, rows)}, is {evidence.at(largest)}."
    )


def image_sentence(evidence: Evidence) -> str | None:
    """How much one test image is, where it is much."""
    if evidence.image < COARSE:
        return None
    share = points(evidence.image, signed=False)
    return f"One of {evidence.images:,} test images is {share} points; smaller differences say nothing."


def condition_verdict(evidence: Evidence) -> list[str]:
    """The verdict on one condition, as sentences; empty where it has no effect that a verdict is about."""
    doubt = doubt_sentence(evidence)
    if doubt is not None:
        sentences = [doubt, seen_sentence(evidence)]
    else:
        sentences = [*frozen_sentences(evidence), cutting_sentence(evidence), tuned_sentence(evidence)]
    said = [sentence for sentence in sentences if sentence]
    image = image_sentence(evidence) if said else None
    return [*said, image] if image else said


def image_of(networks: pd.DataFrame, read_out: str) -> tuple[float, int]:
    """What one image makes the accuracy of a network differ by at most, and how many images that is of; 0, 0 where the
    read-out counts none."""
    column = read_out_of(read_out).images
    counts = networks[column].dropna() if column else networks["test_images"][:0]
    counts = counts[counts > 0]
    return (1 / float(counts.min()), int(counts.min())) if len(counts) else (0.0, 0)


def probe_verdict(networks: pd.DataFrame, read_out: str) -> list[str]:
    """Where features are read best, for a study that reads them by probes; a tie within one image is said."""
    rows = probed_rows(networks)
    rows = rows[rows["trained"] & rows[read_out].notna()]
    rows = unreduced(rows[rows["treatment"].map(lambda name: split_treatment(name).treatment.name) != "random"])
    if rows.empty:
        return []
    image, stages = image_of(rows, read_out)[0], stage_names(networks)
    means = rows.groupby(["treatment", "n"])[read_out].mean()
    (best, n), level = means.idxmax(), means.max()
    near = [cut for cut, mean in means[best].items() if level - mean <= image and cut != n]
    tie = f"; n = {in_words(near)} {'is' if len(near) == 1 else 'are'} within one image of it" if near else ""
    runs = len(rows[["split", "seed"]].drop_duplicates())
    return [
        f"Read features at {cut_name(n, stages)}, by {split_treatment(best).option}: {points(level, signed=False)} % "
        f"on average over {counted(runs, 'run')}, the best of {counted(len(means), 'mean')}{tie}."
    ]


def verdict_of(networks: pd.DataFrame, effects: pd.DataFrame, drops: pd.DataFrame, read_out: str) -> list[str]:
    """The verdict on a study: two to four sentences on its first condition that copies stages, or on its probes.

    A study in which nothing can be compared has one that says so.
    """
    rows = unreduced(effects[effects["read_out"] == read_out])
    image, images = image_of(unreduced(networks), read_out)
    tolerance = float(drops["size"].iloc[0]) if len(drops) else TOLERANCE
    conditions = conditions_of(rows[rows["effect"].isin((*FROZEN, *TUNED))])
    for label, group in conditions:
        evidence = Evidence(group, image, images, tolerance, stage_names(networks))
        if sentences := condition_verdict(evidence):
            return [f"On {in_a_line(label)}:", *sentences] if len(conditions) > 1 else sentences
    return probe_verdict(networks, read_out) or [no_verdict(networks, read_out)]


def no_verdict(networks: pd.DataFrame, read_out: str) -> str:
    """Why there is nothing to judge, in a sentence."""
    if not networks["trained"].any():
        return "No verdict: no network trained; the coverage says why."
    if not networks[read_out].notna().any():
        return f"No verdict: no network has the read-out {read_out}; set figures.read_out to another."
    bases = networks[networks["treatment"] == "base"]
    if len(bases) and not bases["trained"].any():
        return (
            f"No verdict: of the networks trained from scratch none trained ({len(bases)} ended as guessing does); "
            "train longer, or at another rate (training.steps, training.learning_rate)."
        )
    return (
        "No verdict: nothing here is compared with a network trained from scratch; add a treatment that copies stages."
    )
