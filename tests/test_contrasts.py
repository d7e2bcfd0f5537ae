"""Records: read-outs, effects and treatments are stated once, and all that reads them agrees."""

from pathlib import Path

import pytest
import yaml
from planted import GAINS, HALVES, PRETRAINED_GAINS, PROBE_GAINS, plant

from transferability.analysis.contrasts import EFFECTS, effect_of, effects_named, effects_of
from transferability.analysis.coverage import means_table
from transferability.analysis.effects import effects_table
from transferability.analysis.read_outs import READ_OUTS, SHARES, read_out_of
from transferability.analysis.summary import curves, summarise
from transferability.analysis.tables import NETWORK_COLUMNS, cut_name, stage_names
from transferability.analysis.treatments import copies_stages, curves_of, rank_of
from transferability.errors import InputError
from transferability.figures.experiment import words_of
from transferability.figures.figure2 import GAINS as LOWER_PANEL
from transferability.figures.styles import PRESERVED, STYLES, legend_label, style_of, styles_of
from transferability.networks.notation import TREATMENTS, split_treatment

CHECKOUT = Path(__file__).parent.parent


def test_the_params_may_ask_for_the_read_outs_that_are_shares_and_for_no_other():
    schema = yaml.safe_load((CHECKOUT / "src/transferability/study/params.schema.yaml").read_text(encoding="utf-8"))
    assert schema["properties"]["figures"]["properties"]["read_out"]["enum"] == list(SHARES)


def test_every_read_out_and_what_it_is_measured_by_is_a_column():
    for read_out in READ_OUTS:
        assert {read_out.name, read_out.chance, read_out.images} - {None} <= NETWORK_COLUMNS.keys()
    assert {read_out.unit for read_out in READ_OUTS} == {"points", "nats"}
    assert read_out_of("train_loss").chance is None


def test_every_treatment_has_a_style_and_every_copied_one_a_style_when_preserved():
    assert list(STYLES) == list(TREATMENTS)
    assert PRESERVED.keys() == {name for name in TREATMENTS if copies_stages(name) and not name.endswith("+")}


def test_effects_are_between_treatments_and_are_written_as_the_difference_of_their_curves():
    for effect in [*EFFECTS, *effects_of(["base", "selffer-k1", "pretrained-k3"]), *effects_of(PROBE_GAINS)]:
        names = ["base" if name == "base" else curves_of(name)[1] for name in (effect.treatment, effect.reference)]
        assert effect.notation == " − ".join(names), effect.name
        assert effect_of(effect.name) == effect
        assert effect.label
        assert effect.meaning
    assert len({effect.name for effect in EFFECTS}) == len({effect.label for effect in EFFECTS}) == len(EFFECTS)


def test_a_preserved_treatment_is_told_by_its_number():
    assert curves_of("transfer-k2") == ("BnA-k2", "AnB-k2")
    assert curves_of("pretrained+") == ("PnA+", "PnB+")
    assert curves_of("base") == ("baseA", "baseB")
    assert words_of(split_treatment("selffer-k1"), by_recipe=False).endswith("; the 1 above are copied too, and learn")
    assert (
        legend_label("pretrained-k12", style_of("pretrained-k12")) == "pretrained PnB-k12: frozen, 12 above preserved"
    )
    names = ["transfer", "base", "transfer-k2", "selffer", "transfer-k1"]
    assert sorted(names, key=rank_of) == ["base", "selffer", "transfer", "transfer-k1", "transfer-k2"]
    for name in ("copied", "transfer-k0", "transfer-k", "transfer-k2+"):
        with pytest.raises(InputError, match="is no treatment; treatments are base, selffer, "):
            rank_of(name)


def test_fine_tuned_networks_are_compared_with_their_base_in_the_lower_panel():
    assert LOWER_PANEL == {
        "fine-tuned selffer": "selffer+",
        "fine-tuned transfer": "transfer+",
        "pretrained, fine-tuned": "pretrained+",
    }


def test_planted_effects_of_pretrained_networks_are_recovered_and_summed_up():
    layers = tuple(range(1, 13))
    networks = plant(PRETRAINED_GAINS, HALVES, layers=layers)
    effects = effects_table(networks, unbalanced=False)
    rows = effects[(effects["read_out"] == "test_top1") & effects["n"].notna()]
    gains = {"pretrained, frozen": ("pretrained", "base"), "pretrained, fine-tuned": ("pretrained+", "base")}
    gains |= {"pretrained over random": ("pretrained", "random"), "random filters": ("random", "base")}
    assert set(rows["effect"]) == gains.keys()
    for name, (treatment, reference) in gains.items():
        means = [PRETRAINED_GAINS[treatment](n) - PRETRAINED_GAINS[reference](n) for n in layers]
        assert rows[rows["effect"] == name]["mean"].tolist() == pytest.approx(means), name
    tables = {
        "accuracy": curves(means_table(networks, "test_top1", unbalanced=False), "treatment"),
        "effect": curves(rows, "effect"),
    }
    summary = summarise(networks, **tables)["digits"]["tiny"]["random"]
    assert summary["effect"]["pretrained over random"]["n=12"] == pytest.approx(0.05 - 0.12 + 0.36)
    assert summary["accuracy"]["pretrained+"].keys() == {f"n={n}" for n in layers}


def test_the_effects_of_probes_follow_from_their_names():
    """Each probe with its own; an effect whose reference the study lacks is none."""
    effects = effects_table(plant(PROBE_GAINS), unbalanced=False)
    rows = effects[(effects["read_out"] == "test_top1") & effects["n"].notna()]
    named = {effect.name for effect in EFFECTS} | {"preserved transfer-k2"}
    probed = {
        "learned over random, selffer-svm": ("selffer-svm", "random-svm"),
        "learned over random, transfer-svm": ("transfer-svm", "random-svm"),
        "learned over random, transfer+-svm": ("transfer+-svm", "random-svm"),
        "learned over random, pretrained-svm": ("pretrained-svm", "random-svm"),
        "probe minus retrained, selffer-svm": ("selffer-svm", "selffer"),
        "probe minus retrained, selffer-logreg": ("selffer-logreg", "selffer"),
        "probe minus retrained, transfer-svm": ("transfer-svm", "transfer"),
        "probe minus retrained, transfer-logreg": ("transfer-logreg", "transfer"),
        "other source minus own, transfer-svm": ("transfer-svm", "selffer-svm"),
        "other source minus own, transfer-logreg": ("transfer-logreg", "selffer-logreg"),
        "pretrained over trained here, pretrained-svm": ("pretrained-svm", "transfer-svm"),
    }
    assert set(rows["effect"]) - named == probed.keys()
    for name, (treatment, reference) in probed.items():
        means = [PROBE_GAINS[treatment](n) - PROBE_GAINS[reference](n) for n in (1, 4, 7)]
        own = rows[rows["effect"] == name]
        assert own["mean"].tolist() == pytest.approx(means), name
        assert set(zip(own["treatment"], own["reference"], strict=True)) == {(treatment, reference)}
        # Splits are the units, whatever a probe draws.
        assert set(own["units"]) == {4}
    lacking = effects[(effects["effect"].isin(probed)) & (effects["read_out"] == "train_loss")]
    assert lacking.empty


def test_a_probe_is_told_by_what_it_reads():
    assert curves_of("transfer+-svm") == ("BnA+-svm", "AnB+-svm")
    words = words_of(split_treatment("random-svm"), by_recipe=False)
    assert words == "stages 1–n untrained, as they were drawn and frozen; the probe svm reads their features"
    probe, recipe = styles_of(["pretrained-svm", "pretrained+-slides"], ["pretrained+-slides"]).values()
    assert legend_label("pretrained-svm", probe) == "PnB-svm: features of PnB read by svm"
    assert legend_label("pretrained+-slides", recipe) == "PnB+-slides: PnB+ trained by slides"
    assert words_of(split_treatment("base-longer"), by_recipe=True) == "trained from scratch; by the recipe longer"
    names = ["transfer-svm", "transfer", "random", "selffer-svm", "transfer-knn", "transfer-k2"]
    order = ["selffer-svm", "transfer", "transfer-knn", "transfer-svm", "transfer-k2", "random"]
    assert sorted(names, key=rank_of) == order


def test_stages_are_named_unless_their_names_say_no_more_than_their_number():
    gains = {name: GAINS[name] for name in ("base", "transfer")}
    named = plant(gains, layers=(1, 3), stages={1: "stem", 3: "layer1.1"})
    assert stage_names(named) == {1: "stem", 3: "layer1.1"}
    assert [cut_name(n, stage_names(named)) for n in (1, 2)] == ["n = 1, stem", "n = 2"]
    assert stage_names(plant(gains, layers=(1, 4, 7), stages={1: "conv1", 4: "conv4", 7: "fc7"})) == {}
    assert stage_names(plant(gains)) == {}
    assert stage_names(plant(gains, layers=(1, 2), stages={1: "layer1", 2: "layer3"})) == {1: "layer1", 2: "layer3"}


def test_a_probe_whose_name_begins_with_another_s_is_compared_with_it():
    probes = ("svm", "svm16", "svm16max", "logreg")
    present = [f"{kind}-{probe}" for kind in ("transfer", "selffer+") for probe in probes] + ["random-svm16"]
    variants = {
        effect.name: effect for effect in effects_of(present) if "svm16" in effect.name and "minus" not in effect.name
    }
    assert [name for name in variants if not name.startswith("learned")] == [
        *(f"{name}, selffer+" for name in ("svm16 over svm", "svm16max over svm", "svm16max over svm16")),
        *(f"{name}, transfer" for name in ("svm16 over svm", "svm16max over svm", "svm16max over svm16")),
    ]
    effect = variants["svm16max over svm, transfer"]
    assert (effect.treatment, effect.reference) == ("transfer-svm16max", "transfer-svm")
    assert (effect.label, effect.notation) == ("Svm16max over svm, transfer", "AnB-svm16max − AnB-svm")
    assert effect_of(effect.name) == effect


def test_the_effects_of_recipes_are_against_the_plain_network_the_base_and_longer_bases():
    recipes = ["base-longer", "transfer+-slides", "selffer+-slides", "transfer-k2-slides"]
    present = ["base", "selffer+", "transfer+", "transfer-k2", *recipes]
    effects = effects_of(present, recipes)
    pairs = {effect.name: (effect.treatment, effect.reference) for effect in effects if effect not in EFFECTS}
    assert pairs == {
        "preserved transfer-k2": ("transfer-k2", "base"),
        "recipe minus plain, base-longer": ("base-longer", "base"),
        "recipe minus plain, selffer+-slides": ("selffer+-slides", "selffer+"),
        "recipe minus plain, transfer-k2-slides": ("transfer-k2-slides", "transfer-k2"),
        "recipe minus plain, transfer+-slides": ("transfer+-slides", "transfer+"),
        "recipe minus base, selffer+-slides": ("selffer+-slides", "base"),
        "recipe minus base, transfer-k2-slides": ("transfer-k2-slides", "base"),
        "recipe minus base, transfer+-slides": ("transfer+-slides", "base"),
        "by recipe other minus own, transfer+-slides": ("transfer+-slides", "selffer+-slides"),
        "selffer+ minus base-longer": ("selffer+", "base-longer"),
        "transfer-k2 minus base-longer": ("transfer-k2", "base-longer"),
        "transfer+ minus base-longer": ("transfer+", "base-longer"),
    }
    assert effects_named(effect.name for effect in reversed(effects)) == effects
    assert [effect_of(name).notation for name in list(pairs)[-1:]] == ["AnB+ − base-longer"]
    # Not told that they are trained, treatments with an option are read by probes.
    assert not {effect.name for effect in effects_of(present)} & {name for name in pairs if "recipe" in name}


def test_the_order_of_named_effects_is_that_of_the_effects_of_a_study():
    present = [*GAINS, *PROBE_GAINS, *PRETRAINED_GAINS, "transfer-svm16"]
    effects = effects_of(present)
    assert effects_named(effect.name for effect in reversed(effects)) == effects


def test_planted_effects_of_recipes_are_recovered():
    gains = {"base": lambda n: 0, "transfer+": lambda n: 0.01 * n, "transfer+-slides": lambda n: 0.013 * n}
    gains |= {"base-longer": lambda n: 0.02}
    networks = plant(gains, recipes=["slides", "longer"])
    rows = effects_table(networks, unbalanced=False)
    rows = rows[(rows["read_out"] == "test_top1") & rows["n"].notna()].set_index(["effect", "n"])["mean"]
    assert rows["recipe minus plain, base-longer"].to_dict() == pytest.approx({0: 0.02})
    assert rows["recipe minus plain, transfer+-slides"].to_dict() == pytest.approx({1: 0.003, 4: 0.012, 7: 0.021})
    assert rows["transfer+ minus base-longer"].to_dict() == pytest.approx({1: -0.01, 4: 0.02, 7: 0.05})
