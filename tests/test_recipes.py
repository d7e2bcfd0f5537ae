"""Recipes: other ways to train are the plain one where they say nothing, and what they say is what happens."""

from pathlib import Path

import pytest
import torch
import yaml
from making import NETWORKS, SCHEDULE, maker, weights
from torch import Tensor

from transferability import files
from transferability.data.augmentation import Augmentation
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.networks.building import draw_network
from transferability.networks.checkpoints import load_network, read_checkpoint
from transferability.networks.notation import parse_network
from transferability.networks.recipes import parts_of, recipe_of, stage_rates, stages_learning
from transferability.networks.stages import architecture_of
from transferability.networks.treatments import freeze
from transferability.study.grid import study_networks
from transferability.study.jobs import Job
from transferability.study.params import check_networks, check_params
from transferability.study.recipes import matched_steps, recipe_schedule, recipe_section
from transferability.study.targets import check_target
from transferability.study.work import job_recipe, job_schedule, job_stages, training_work
from transferability.training.history import read_history
from transferability.training.optimizers import Schedule
from transferability.training.randomness import Draws
from transferability.training.resuming import Keeper
from transferability.training.setup import Setup
from transferability.training.surgery import relative_gradient, relative_gradients

torch.set_num_threads(1)

SCHEMA = Path(__file__).parent.parent / "src/transferability/study/params.schema.yaml"
STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@pytest.fixture(scope="module")
def make(packed_digits, digits_split, tmp_path_factory):
    """Trains networks of some names by a recipe, into a folder, or one of its own; gives that."""
    augmentation = {"padding": 1, "flip": False}
    images = {"split": digits_split, "packed": packed_digits}
    return maker(tmp_path_factory.mktemp, SCHEDULE, **images, architecture=NETWORKS, augmentation=augmentation)


@pytest.fixture(scope="module")
def source(make) -> dict[str, Tensor]:
    """The state of the network that stages are copied from."""
    return read_checkpoint(make(["baseA"]) / "baseA/model.safetensors")[1]


@pytest.fixture(scope="module")
def plain(make) -> Path:
    """The folder of plain networks."""
    return make(["A2B", "A2B+", "A5B", "A5B+"])


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two states are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def learnt(folder: Path, name: str, start: dict[str, Tensor]) -> list[str]:
    """The stages of a network that are no longer what they were at the start."""
    state = weights(folder, name)
    changed = {key.split(".")[0] for key in start if key in state and not torch.equal(state[key], start[key])}
    return [stage for stage in STAGES if stage in changed]


@pytest.mark.parametrize(
    ("recipe", "equal"),
    [
        ({"rates": {"top": 0}}, "A5B"),
        ({"rates": {"conv1": 0, "conv2": 0, "conv3": 0, "conv4": 0, "conv5": 0}}, "A5B"),
        ({"hidden": []}, "A5B+"),
        ({"only": "all"}, "A5B+"),
        ({"unfreeze": 0}, "A5B+"),
        ({"rates": {"new": 1, "top": 1}}, "A5B+"),
        ({"rates": {"decay": 1}}, "A5B+"),
        ({"batch_norm": "trained"}, "A5B+"),
        ({"dropout": 0.5}, "A5B+"),
    ],
)
def test_a_recipe_that_says_what_the_plain_network_does_gives_its_bits(make, plain, recipe, equal):
    folder = make(["A5B+-same"], recipe)
    assert same(weights(folder, "A5B+-same"), weights(plain, equal))
    assert read_history(folder / "A5B+-same/history.csv") == read_history(plain / equal / "history.csv")


RECIPES = {
    "hidden": {"hidden": [12, 10], "dropout": 0.25},
    "slides": {"rates": {"new": 1, "top": 0.1, "middle": 0.01, "bottom": 0}},
    "decay": {"rates": {"decay": 0.5}},
    "gradual": {"unfreeze": 1},
    "surgical": {"only": ["conv2"]},
    "steepest": {"only": "steepest"},
    "source": {"batch_norm": "source"},
    "estimated": {"batch_norm": "re-estimated"},
    "moving": {"batch_norm": "trained", "only": ["conv2"]},
    "tried": {"learning_rates": [0.03, 0.003]},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_fused_is_separate_and_a_stopped_training_goes_on_to_the_same_bits(make, recipe, tmp_path, monkeypatch):
    """It is stopped after the first step of each of its trials."""
    names = [f"A2B+-{recipe}", f"A5B+-{recipe}"]
    together = make(names, RECIPES[recipe])
    saved, stopped = Keeper.save, set()

    def stop(keeper, tensors, progress):
        saved(keeper, tensors, progress)
        if keeper.path not in stopped:
            stopped.add(keeper.path)
            raise SystemExit

    monkeypatch.setattr(Keeper, "due", lambda keeper: True)
    monkeypatch.setattr(Keeper, "save", stop)
    for _ in RECIPES[recipe].get("learning_rates", [0]):
        with pytest.raises(SystemExit):
            make(names[1:], RECIPES[recipe], into=tmp_path)
    make(names[1:], RECIPES[recipe], into=tmp_path)
    assert same(weights(together, names[1]), weights(tmp_path, names[1]))
    history = f"{names[1]}/history.csv"
    assert (together / history).read_text() == (tmp_path / history).read_text()
    assert not list(tmp_path.glob("states/*.safetensors"))


# What recipes say


def test_stages_that_only_leaves_out_stay_frozen_and_are_proved(make, source):
    folder = make(["A5B+-surgical"], {"only": ["conv2"]})
    assert learnt(folder, "A5B+-surgical", source) == ["conv2", "fc6", "fc7", "fc8"]
    run = files.read_json(folder / "A5B+-surgical/run.json")
    assert run["frozen"]["layers"] == 4
    assert run["recipe"]["rates"] == {stage: 0 if stage in STAGES[:5] and stage != "conv2" else 1 for stage in STAGES}
    assert run["recipe"]["name"] == "surgical"


def test_the_stage_with_the_steepest_gradient_learns_alone(make, source):
    folder = make(["A5B+-steepest"], {"only": "steepest"})
    rates = files.read_json(folder / "A5B+-steepest/run.json")["recipe"]["rates"]
    (chosen,) = [stage for stage in STAGES[:5] if rates[stage]]
    assert learnt(folder, "A5B+-steepest", source) == [chosen, "fc6", "fc7", "fc8"]


def test_gradients_are_measured_beside_the_weights_and_leave_the_network_as_it_was(packed_digits, digits_split):
    """Batch norm undoes the scale of the weights before it: of a tenth of them the gradient's share is larger."""
    task, architecture = open_task(digits_split, "B", packed_digits), architecture_of(NETWORKS | {"dropout": 0})
    draws = Draws(0, tuple(task.classes))
    setup = Setup(task, Schedule(**SCHEDULE), Augmentation(padding=0, flip=False), draws, torch.device("cpu"))
    network = draw_network(architecture, (1, 8, 8), len(task.classes), lambda n: n)
    freeze(network[0], dropout=False)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    shares = relative_gradients(network, 5, setup)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert [stage.conv.weight.requires_grad for stage in network[:2]] == [False, True]
    assert all(parameter.grad is None for parameter in network.parameters())
    with torch.no_grad():
        network[3].conv.weight /= 10
        network[3].norm.running_mean /= 10
        network[3].norm.running_var /= 100
    again = relative_gradients(network, 5, setup)
    assert again[3] > 5 * shares[3]
    assert again[3] == max(again)
    assert again[:3] == pytest.approx(shares[:3], rel=0.02)
    line = torch.nn.Linear(2, 1, bias=False)
    line.weight.data, line.weight.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.5]])
    assert relative_gradient(line) == pytest.approx(0.1)
    assert relative_gradient(torch.nn.ReLU()) == 0


def test_stages_thaw_one_after_another_from_the_top(make, source):
    """Of 4 steps the last stage that learns does so from the third on, and the lowest never."""
    folder = make(["A5B+-gradual"], {"unfreeze": 1})
    assert learnt(folder, "A5B+-gradual", source) == ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    starts = files.read_json(folder / "A5B+-gradual/run.json")["recipe"]["starts"]
    assert starts == {"conv5": 1, "conv4": 2, "conv3": 3, "conv2": 4, "conv1": 5}


def test_hidden_layers_are_part_of_the_last_stage_and_of_the_network_that_is_read_again(make, packed_digits):
    folder = make(["A2B-head"], {"hidden": [12, 10], "dropout": 0.25})
    card, network = load_network(folder / "A2B-head/model.safetensors")
    assert card.hidden == (12, 10)
    linear = [module for module in network[-1].modules() if isinstance(module, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [12, 10, len(card.classes)]
    assert [name for name, _ in network.named_children()] == list(STAGES)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, len(card.classes))


def test_statistics_of_the_source_stay_and_those_of_the_target_need_no_training(make, plain, source):
    """Re-estimated on the target's images, in frozen stages and in those that learn."""
    folder = make(["A2B-estimated"], {"batch_norm": "re-estimated"})
    state, frozen = weights(folder, "A2B-estimated"), weights(plain, "A2B")
    below = [key for key in state if key.startswith(("conv1", "conv2"))]
    moved = {key.rpartition(".")[2] for key in below if not torch.equal(state[key], source[key])}
    assert moved == {"running_mean", "running_var"}
    assert all(torch.equal(frozen[key], source[key]) for key in below)
    tuned = make(["A2B+-source"], {"batch_norm": "source"})
    state = weights(tuned, "A2B+-source")
    assert torch.equal(state["conv1.norm.running_mean"], source["conv1.norm.running_mean"])
    assert not torch.equal(state["conv1.norm.weight"], source["conv1.norm.weight"])
    assert not torch.equal(state["conv3.norm.running_mean"], source["conv3.norm.running_mean"])


def test_statistics_of_frozen_stages_may_follow_the_batches_while_their_weights_stay(make, plain, source):
    folder = make(["A2B-moving", "A5B-moving"], {"batch_norm": "trained"})
    for name, stages in (("A2B-moving", 2), ("A5B-moving", 5)):
        state = weights(folder, name)
        below = [key for key in source if key.startswith(STAGES[:stages])]
        moved = {key.rpartition(".")[2] for key in below if not torch.equal(state[key], source[key])}
        assert moved == {"running_mean", "running_var", "num_batches_tracked"}
        assert files.read_json(folder / name / "run.json")["frozen"]["layers"] == stages
    alone = make(["A5B-moving"], {"batch_norm": "trained"})
    assert same(weights(alone, "A5B-moving"), weights(folder, "A5B-moving"))


def test_validation_chooses_the_rate_of_each_network_and_all_that_was_tried_is_counted(make):
    rates = [0.03, 0.003]
    folder = make(["A2B+-tried", "A5B+-tried"], {"learning_rates": rates})
    for name in ("A2B+", "A5B+"):
        alone = [make([f"{name}-tried"], learning_rate=rate) for rate in rates]
        ends = [read_history(one / f"{name}-tried/history.csv")[-1] for one in alone]
        best = max((0, 1), key=lambda place: (ends[place]["validation_top1"], -ends[place]["validation_loss"]))
        run = files.read_json(folder / f"{name}-tried/run.json")
        assert run["recipe"]["learning_rate"] == rates[best]
        assert same(weights(folder, f"{name}-tried"), weights(alone[best], f"{name}-tried"))
        assert [tried["validation_top1"] for tried in run["recipe"]["tried"]] == [
            end["validation_top1"] for end in ends
        ]
        assert run["images_seen"] == 2 * 4 * 16
        assert read_history(folder / f"{name}-tried/history.csv")[-1]["images_seen"] == 2 * 4 * 16


def test_a_rate_that_is_too_high_is_not_chosen_and_if_all_are_a_sentence_says_so(make):
    folder = make(["A2B+-tried"], {"learning_rates": [1e30, 0.01]})
    run = files.read_json(folder / "A2B+-tried/run.json")
    assert run["recipe"]["learning_rate"] == 0.01
    assert [tried["diverged"] for tried in run["recipe"]["tried"]] == [True, False]
    with pytest.raises(InputError, match="not finite at any of the learning rates 1e\\+30, 1e\\+31; give its recipe"):
        make(["A2B+-tried"], {"learning_rates": [1e30, 1e31]})


def test_base_networks_have_recipes_too_and_other_optimizers_are_a_case(make):
    longer = make(["baseB-longer"], steps=8)
    assert files.read_json(longer / "baseB-longer/run.json")["images_seen"] == 8 * 16
    dry = make(["baseB-dry"], {"dropout": 0.0}, optimizer="adamw", learning_rate=0.001)
    assert not same(weights(longer, "baseB-longer"), weights(dry, "baseB-dry"))


# What the params say


def test_rates_are_given_by_thirds_by_name_or_by_a_decay():
    assert parts_of(5) == ["bottom", "middle", "middle", "top", "top"]
    assert parts_of(1) == ["top"]
    thirds = recipe_of({"rates": {"top": 0.1, "bottom": 0, "conv3": 0.5}})
    assert stage_rates(thirds, STAGES, 5) == [0, 0.1, 0.5, 0.1, 0.1, 1, 1, 1]
    assert stage_rates(recipe_of({"rates": {"decay": 0.5}}), STAGES, 2) == [0.25, 0.5, 1, 1, 1, 1, 1, 1]
    frozen = stages_learning(parse_network("A2B-k1"), recipe_of({}), STAGES)
    assert [stage.rate for stage in frozen] == [0, 0, 1, 1, 1, 1, 1, 1]


@pytest.fixture
def params() -> dict:
    """The default study, of one split, with recipes."""
    params = yaml.safe_load((SCHEMA.parents[3] / "params.yaml").read_text(encoding="utf-8"))
    params["study"] |= {"split": ["random0"], "n": [2, 5], "treatment": ["transfer+"]}
    params["export"] = []
    params["recipes"] = {
        "slides": {"rates": {"top": 0.1}},
        "longer": {"steps": "matched"},
        "tried": {"learning_rate": [0.1, 0.01], "steps": 50, "warmup": 5},
        "head": {"hidden": [16]},
    }
    return params


def test_recipes_are_enumerated_like_treatments_and_counted(params):
    params["study"]["treatment"] = ["transfer+-slides", "base-longer", "transfer-k1-head", "selffer+-tried"]
    check_params(params, SCHEMA)
    check_networks(params)
    names = [network.name for network in study_networks(params, "tiny", "random0")]
    assert names == [
        *("baseA", "baseB", "B2A+-slides", "B5A+-slides", "A2B+-slides", "A5B+-slides"),
        *("baseA-longer", "baseB-longer", "B2A-k1-head", "B5A-k1-head", "A2B-k1-head", "A5B-k1-head"),
        *("A2A+-tried", "A5A+-tried", "B2B+-tried", "B5B+-tried"),
    ]
    base, transferred = (params["training"][kind] for kind in ("base", "transferred"))
    assert matched_steps(params, "random0") * base["batch_size"] >= sum(
        kind["steps"] * kind["batch_size"] for kind in (base, transferred)
    )
    longer = recipe_schedule(params, "random0", "base", "longer")
    assert longer == base | {"steps": matched_steps(params, "random0")}
    assert recipe_section(params, "tried") == {"learning_rates": [0.1, 0.01]}
    assert recipe_schedule(params, "random0", "transferred", "tried")["steps"] == 50
    plain, tried, head = (
        Job("digits", "tiny", "random0", 0, (parse_network(name),)) for name in ("B2B+", "B2B+-tried", "B2B-head")
    )
    assert job_schedule(params, tried)["steps"] == 50
    per_step = [training_work(params, job).backward / job_schedule(params, job)["steps"] for job in (plain, tried)]
    assert per_step[1] == 2 * per_step[0]
    assert job_recipe(params, head).hidden == (16,)
    assert job_stages(params, head)[-1].parameters > job_stages(params, plain)[-1].parameters


@pytest.mark.parametrize(
    ("recipe", "treatment", "sentence"),
    [
        ({"rates": {"conv9": 1}}, "transfer+-new", "recipes.new: rates names the stage 'conv9', which is none of"),
        ({"only": ["conv9"]}, "transfer+-new", "recipes.new: only names the stage 'conv9', which is none of conv1"),
        ({"rates": {"new": 0}}, "transfer-new", "recipes.new: B2A-new has nothing to train"),
        ({"hidden": [512]}, "base-new", "recipes.new: baseA-new: hidden is for networks that copy stages"),
        ({"only": ["conv1"]}, "transfer-new", "those of B2A-new are frozen; use the treatment with +"),
        ({"unfreeze": 10}, "selffer-new", "A2A-new: unfreeze is of copied stages that learn"),
        ({"rates": {"top": 0.1}}, "random-new", "rates.top is of copied stages that learn"),
        ({"steps": "matched"}, "transfer-new", "steps is matched, which is for base networks"),
        ({"steps": 1}, "transfer-new", "1 steps are fewer than the"),
        ({"learning_rate": [0.1]}, "transfer-new", "recipes.new.learning_rate: [0.1] is too short"),
        ({"rates": {"decay": 0.5, "top": 1}}, "transfer+-new", "recipes.new.rates: unknown key 'top'"),
        ({"speed": 1}, "transfer-new", "recipes.new: unknown key 'speed'"),
        ({"patches": {}}, "transfer-new", "recipes.new.patches learns patches by boxes, and images of datasets.digits"),
        ({"patches": {"scales": [0.5]}}, "transfer-new", "recipes.new.patches.scales.0: 0.5 is less than the minimum"),
        ({"patches": {"dense": True}}, "transfer-new", "recipes.new.patches: unknown key 'dense'"),
        ({}, "transfer-old", "neither probes nor recipes has 'old'"),
    ],
)
def test_recipes_that_cannot_be_are_refused_in_one_sentence(params, recipe, treatment, sentence):
    params["recipes"] = {"new": recipe}
    params["study"]["treatment"] = [treatment]

    def check() -> None:
        check_params(params, SCHEMA)
        check_networks(params)

    with pytest.raises(InputError) as error:
        check()
    assert sentence in str(error.value)
    assert str(error.value).startswith("params: ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("svm", "recipes.svm is the name of a probe too; rename one of the two"),
        ("base", "recipes.base is the name of something else"),
        ("scores", "recipes.scores is the name of something else"),
        ("k2", "'k2' does not fit; A recipe's name is a letter"),
    ],
)
def test_names_of_recipes_that_mean_something_else_are_refused(params, name, sentence):
    params |= {"probes": {"svm": {"classifier": "svm", "pooling": "gap"}}, "recipes": {name: {"hidden": [8]}}}
    with pytest.raises(InputError) as error:
        check_params(params, SCHEMA)
    assert sentence in str(error.value)


def test_files_of_recipes_may_be_asked_for_by_name_and_those_that_cannot_be_are_explained(params):
    models = "models/digits/tiny/random0/seed0"
    check_target(f"{models}/A2B+-slides/model.safetensors", params)
    check_target(f"{models}/baseB-longer/run.json", params)
    for name, sentence in (("A2B-slides", "use the treatment with +"), ("baseA-head", "hidden is for networks that")):
        with pytest.raises(InputError) as error:
            check_target(f"{models}/{name}/model.safetensors", params)
        assert sentence in str(error.value)
