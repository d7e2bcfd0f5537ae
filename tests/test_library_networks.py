"""Networks of any library: trained together as alone, stopped and resumed, with preprocessing of their own weights."""

import copy
import random
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import borrowing
import numpy as np
import onnx
import pytest
import residual
import torch
from test_resuming import Interrupted
from test_training import SCHEDULE, learners_of, run, setup_of, start
from torch import Tensor, nn

from transferability import files, provenance
from transferability.data.batches import normalise
from transferability.data.tasks import Task, open_task
from transferability.errors import InputError
from transferability.evaluation.export import compare, convert, form_of
from transferability.evaluation.metrics import evaluate
from transferability.networks.checkpoints import Card, load_network, read_card, save_checkpoint
from transferability.networks.norms import batch_norms, folded_norms
from transferability.networks.notation import parse_network
from transferability.networks.stages import AlexNet, LibraryModel
from transferability.training import start as starts
from transferability.training.history import read_history
from transferability.training.job import Request, make_checkpoints
from transferability.training.loop import train
from transferability.training.optimizers import Schedule, descend, learning_groups
from transferability.training.sharing import Overwriting, Taps, running_hashes, state_hash
from transferability.training.unfolding import unfold

torch.set_num_threads(1)

CPU = torch.device("cpu")
SCHEDULES = {"sgd": SCHEDULE, "adamw": replace(SCHEDULE, optimizer="adamw", learning_rate=0.003, weight_decay=0.05)}
FAMILY = residual.ARCHITECTURE
WEIGHTS = replace(FAMILY, weights="theirs")


@pytest.fixture(autouse=True)
def library(monkeypatch) -> None:
    """The library of residual networks is one of the package."""
    residual.install(monkeypatch)


@pytest.fixture(scope="module")
def tasks(packed_digits, digits_split) -> dict[str, Task]:
    """Both tasks of the digits' split random0."""
    return {side: open_task(digits_split, side, packed_digits) for side in "AB"}


@pytest.fixture
def source(tasks) -> dict[str, Tensor]:
    """The state of a short-trained baseA."""
    networks = start(["baseA"], FAMILY, tasks["A"], None)
    run(networks, tasks["A"])
    return networks["baseA"].state_dict()


def results(networks: dict, task: Task, schedule: Schedule = SCHEDULE) -> dict[str, tuple[list, str]]:
    """The history and the hash of each network after its training."""
    histories = run(networks, task, schedule)
    return {name: (histories[name], state_hash(network)) for name, network in networks.items()}


# The loop


@pytest.mark.parametrize("optimizer", SCHEDULES)
@pytest.mark.parametrize(
    "names",
    [["A1B", "A2B", "A3B", "A4B"], ["A1B+", "A4B+"], ["A1B-k2", "A2B-k2"], ["R1B", "R2B", "R4B"]],
    ids=["frozen", "fine-tuned", "preserved", "random"],
)
def test_a_curve_equals_its_networks_trained_one_by_one(names, optimizer, tasks, source):
    state, schedule = source if names[0][0] == "A" else None, SCHEDULES[optimizer]
    together = results(start(names, FAMILY, tasks["B"], state), tasks["B"], schedule)
    alone = {}
    for name in names:
        alone |= results(start([name], FAMILY, tasks["B"], state), tasks["B"], schedule)
    assert together == alone
    # After the stage without parameters a network is what it is before.
    assert len({digest for _, digest in together.values()}) == len({name.replace("4", "3") for name in names})


@pytest.mark.parametrize("optimizer", SCHEDULES)
def test_training_that_is_stopped_at_random_steps_gives_the_same_bits(optimizer, tasks, source, tmp_path):
    names, task, schedule = ["A1B", "A3B", "A2B+"], tasks["B"], replace(SCHEDULES[optimizer], steps=12, validations=4)
    expected = results(start(names, FAMILY, task, source), task, schedule)
    chance, stops = random.Random(0), 0
    while True:
        networks = start(names, FAMILY, task, source)
        keeper = Interrupted(tmp_path / "state.safetensors", {"code": 1}, 3600)
        keeper.ends = iter(lambda: chance.random() < 0.3, None)
        learners = learners_of(networks, schedule)
        try:
            train(learners, setup_of(task, schedule), lambda line: None, keeper)
            break
        except SystemExit:
            stops += 1
    assert stops > 0
    assert {one.name: (one.history, state_hash(one.network)) for one in learners} == expected


def test_networks_whose_stages_borrow_are_trained_together_as_alone_and_resumed(tasks, monkeypatch, tmp_path):
    borrowing.install(monkeypatch)
    base = start(["baseA"], borrowing.ARCHITECTURE, tasks["A"], None)
    run(base, tasks["A"])
    state, names, schedule = base["baseA"].state_dict(), ["A1B", "A2B", "A3B", "A2B+"], replace(SCHEDULE, steps=8)
    alone = {}
    for name in names:
        alone |= results(start([name], borrowing.ARCHITECTURE, tasks["B"], state), tasks["B"], schedule)
    stops = iter([False, False, True, *[False] * 20])
    for ends in (True, False):
        networks = start(names, borrowing.ARCHITECTURE, tasks["B"], state)
        keeper = Interrupted(tmp_path / "state.safetensors", {"code": 1}, 3600)
        keeper.ends, learners = stops, learners_of(networks, schedule)
        with pytest.raises(SystemExit) if ends else nullcontext():
            train(learners, setup_of(tasks["B"], schedule), lambda line: None, keeper)
    assert {one.name: (one.history, state_hash(one.network)) for one in learners} == alone
    assert networks["A2B"][1] is networks["A3B"][1]
    kept = networks["A2B"][1].position.state_dict()
    assert all(torch.equal(tensor, base["baseA"][1].position.state_dict()[name]) for name, tensor in kept.items())


@pytest.mark.parametrize(("name", "frozen"), [("A1B", 1), ("A3B", 3), ("A4B", 4), ("A3B+", 0), ("A1B-k2", 1)])
def test_frozen_stages_keep_every_bit_and_those_above_learn(name, frozen, tasks, source):
    networks = start([name], FAMILY, tasks["B"], source)
    before = {key: tensor.clone() for key, tensor in networks[name].state_dict().items()}
    run(networks, tasks["B"])
    changed = {key for key, tensor in networks[name].state_dict().items() if not torch.equal(tensor, before[key])}
    above = tuple(f"{stage}." for stage in residual.STAGES[frozen:])
    assert changed == {key for key in before if key.startswith(above)}


def test_a_stage_without_parameters_is_not_frozen_for_that(tasks, source):
    networks = start(["A3B", "A4B"], FAMILY, tasks["B"], source)
    learners = learners_of(networks)
    assert [len(learner.frozen) for learner in learners] == [3, 4]
    assert networks["A3B"][3] is not networks["A4B"][3]
    assert networks["A3B"][2] is networks["A4B"][2]


def test_the_frozen_stages_of_a_curve_compute_a_batch_once(tasks, source):
    networks = start(["A1B", "A3B", "A4B"], FAMILY, tasks["B"], source)
    learners, calls = learners_of(networks), []
    networks["A1B"][0].register_forward_pre_hook(lambda stage, inputs: calls.append(stage))
    train(learners, setup_of(tasks["B"], replace(SCHEDULE, validations=1)), lambda line: None)
    # Six steps, validation and test images.
    assert len(calls) == SCHEDULE.steps + 2


def test_what_a_tap_has_given_is_not_overwritten_by_the_stages_above(tasks, source):
    """The stages above the stem begin with a ReLU in place; the head too, on a view of what pooling gives."""
    (learner,) = learners_of(start(["A4B"], FAMILY, tasks["B"], source))
    learner.network.eval()
    taps, overwriting = [], Overwriting()
    for seed in (0, 1):
        images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        before = images.clone()
        taps.append(Taps(images, overwriting))
        learner.logits(taps[-1])
        assert torch.equal(images, before)
        features = images
        for stage in learner.frozen:
            features = stage(features.clone())
            assert torch.equal(taps[-1].given[stage], features)
            assert (features < 0).any()
    assert list(overwriting.parts.values()) == [False, True, True, False, True]


def test_a_part_that_overwrites_nothing_gets_its_input_itself_from_the_second_batch_on():
    part, seen = nn.Sequential(nn.Linear(3, 3)), []
    part.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    overwriting, inputs = Overwriting(), torch.randn(2, 3)
    for _ in range(2):
        overwriting.outputs(part, inputs)
    assert seen[0] is not inputs
    assert seen[1] is inputs


def test_the_hash_of_a_prefix_is_that_of_the_network_cut_there(tasks):
    network = start(["baseA"], FAMILY, tasks["A"], None)["baseA"]
    assert list(running_hashes(network.named_children())) == [state_hash(network[:n]) for n in range(1, 6)]
    assert state_hash(network[:3]) == state_hash(network[:2]) or len(set(running_hashes(network.named_children()))) == 4
    assert state_hash(network[:4]) == state_hash(network[:3])


def test_stochastic_depth_and_dropout_are_the_same_in_all_treatments(tasks, source):
    seen = {}
    for name in ("baseB", "A2B", "A3B+", "R4B"):
        state = source if name[0] == "A" else None
        networks = start([name], FAMILY, tasks["B"], state)
        for module in (networks[name][1].dropout, networks[name][2].depth):
            keep = seen.setdefault(name, [])
            module.register_forward_pre_hook(
                lambda module, inputs, keep=keep: keep.extend([module.generator.initial_seed()] * module.training)
            )
        run(networks, tasks["B"])
    assert len(seen["baseB"]) == 2 * SCHEDULE.steps == len(set(seen["baseB"]))
    assert all(seeds == seen["baseB"] for seeds in seen.values())


# Optimizers


class Attention(nn.Module):
    """The parameters of a vision transformer that are neither a matrix nor a norm, and a block."""

    def __init__(self) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.ones(1, 1, 8))
        self.pos_embedding = nn.Parameter(torch.ones(1, 5, 8))
        self.layer_scale = nn.Parameter(torch.ones(8, 1, 1))
        self.relative_position_bias_table = nn.Parameter(torch.ones(9, 2))
        self.fixed = nn.Parameter(torch.ones(3, 3), requires_grad=False)
        self.positions = nn.Embedding(5, 8)
        self.norm = nn.LayerNorm((8, 2))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


def group_names(network: nn.Module, groups: list) -> list[set[str]]:
    """The names of the parameters of each group."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    return [{names[parameter] for parameter in group.parameters} for group in groups]


@pytest.mark.parametrize("optimizer", SCHEDULES)
def test_matrices_decay_and_their_biases_learn_at_their_own_rate(optimizer):
    network = Attention()
    groups = learning_groups(network, replace(SCHEDULES[optimizer], weight_decay=0.1, bias_rate=2))
    weights, biases, others = group_names(network, groups)
    assert weights == {
        "block.self_attn.in_proj_weight",
        *(f"block.{name}.weight" for name in ("self_attn.out_proj", "linear1", "linear2")),
    }
    assert biases == {
        "block.self_attn.in_proj_bias",
        *(f"block.{name}.bias" for name in ("self_attn.out_proj", "linear1", "linear2")),
    }
    assert others == {
        *("class_token", "pos_embedding", "layer_scale", "relative_position_bias_table", "positions.weight"),
        *(f"{norm}.{name}" for norm in ("norm", "block.norm1", "block.norm2") for name in ("weight", "bias")),
    }
    assert [(group.weight_decay, group.rate) for group in groups] == [(0.1, 1), (0, 2), (0, 1)]


def test_stages_may_learn_at_rates_of_their_own(tasks):
    network = start(["baseA"], FAMILY, tasks["A"], None)["baseA"]
    rates = [0.5**distance for distance in (4, 3, 2, 1, 0)]
    groups = [
        group
        for stage, rate in zip(network, rates, strict=True)
        for group in learning_groups(stage, replace(SCHEDULE, bias_rate=2), rate)
    ]
    assert [group.rate for group in groups] == [0.0625, 0.0625, 0.125, 0.25, 0.125, 0.25, 0.5, 0.25, 1, 2]
    every = [parameter for group in groups for parameter in group.parameters]
    assert len(every) == len({id(parameter) for parameter in every}) == len(list(network.parameters()))


def test_adamw_is_torchs_bit_for_bit(tasks):
    schedule = replace(SCHEDULES["adamw"], bias_rate=2)
    network = start(["baseA"], FAMILY, tasks["A"], None)["baseA"].eval()
    plain = copy.deepcopy(network)
    groups = learning_groups(network, schedule)
    theirs = learning_groups(plain, schedule)
    optimizer = torch.optim.AdamW(
        [{"params": group.parameters, "weight_decay": group.weight_decay} for group in theirs],
        betas=(0.9, 0.999),
        eps=1e-8,
        fused=True,
    )
    for step in range(5):
        images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        network(images).square().mean().backward()
        descend(groups, schedule, schedule.rate(step))
        for settings, group in zip(optimizer.param_groups, theirs, strict=True):
            settings["lr"] = schedule.rate(step) * group.rate
        optimizer.zero_grad()
        plain(images).square().mean().backward()
        optimizer.step()
    assert state_hash(network) == state_hash(plain)


def test_what_has_no_gradient_stays_as_it_is():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = copy.deepcopy(network)
    groups = learning_groups(network, SCHEDULE)
    network[1](torch.ones(1, 2)).sum().backward()
    descend(groups, SCHEDULE, 0.1)
    assert torch.equal(network[0].weight, before[0].weight)
    assert not torch.equal(network[1].weight, before[1].weight)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError) as error:
        replace(SCHEDULE, optimizer="adam")
    assert str(error.value) == "training.*.optimizer is 'adam'; choose one of sgd, adamw"


# Pretrained weights


def test_bgr_images_are_turned_round_and_normalised_in_the_order_that_the_network_sees():
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 0.125]
    turned = normalise(images, mean, std, "bgr")
    for channel in range(3):
        expected = (images[:, 2 - channel].float() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(turned[:, channel], expected, atol=1e-6)
    assert torch.equal(normalise(images, mean, std), normalise(images, mean, std, "rgb"))
    assert turned.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def pretrained(tmp_path) -> Path:
    """A checkpoint of pretrained weights for images of 0.25 ± 0.5."""
    network = residual.draw(WEIGHTS, (1, 8, 8), 7, lambda n: 100 + n)
    path = tmp_path / "models/pretrained/small/model.safetensors"
    save_checkpoint(path, network, Card("pretrained", WEIGHTS, (1, 8, 8), list("0123456"), [0.25], [0.5]))
    return path


@pytest.fixture
def request_of(packed_digits, digits_split, tmp_path, monkeypatch):
    """Gives the request for networks of the library's architecture with weights."""
    # The library is no file of the package; what else is fingerprinted is tested elsewhere.
    fingerprint = provenance.fingerprint
    monkeypatch.setattr(provenance, "fingerprint", lambda *modules: fingerprint(modules[0]))

    def made(names: list[str], **options: object) -> Request:
        schedule = asdict(SCHEDULE) | {"frozen_dropout": True}
        section = {"library": "residual", "name": "small", "weights": "theirs"}
        changes = {"augmentation": {"padding": 1, "flip": False}, "schedule": schedule}
        settings = {"seed": 0, "device": "cpu", "threads": 1, "states": tmp_path / "states"}
        models = [tmp_path / name / "model.safetensors" for name in names]
        return Request(digits_split, packed_digits, section, models=models, **changes, **settings, **options)

    return made


def test_networks_of_an_architecture_with_weights_are_all_shown_images_as_these_expect(
    request_of, pretrained, tasks, tmp_path
):
    make_checkpoints(request_of(["P2B", "P4B"], source=pretrained, pretrained=pretrained))
    make_checkpoints(request_of(["baseB"], pretrained=pretrained))
    weights = load_network(pretrained)[1].state_dict()
    for name in ("P2B", "P4B", "baseB"):
        path = tmp_path / name / "model.safetensors"
        card, network = load_network(path)
        assert (card.network, card.mean, card.std, card.classes) == (name, [0.25], [0.5], tasks["B"].classes)
        run = files.read_json(tmp_path / name / "run.json")
        frozen = parse_network(name).frozen
        assert run["frozen"]["layers"] == frozen
        assert run["inputs"][str(pretrained)] == files.sha256(pretrained)
        assert run["versions"] == provenance.versions() | {"residual": "1"}
        assert len(read_history(tmp_path / name / "history.csv")) == SCHEDULE.validations
        kept = {key for key, tensor in network.state_dict().items() if key in weights and key[:4] != "head"}
        kept = {key for key in kept if torch.equal(network.state_dict()[key], weights[key])}
        assert kept == {key for key in weights if key.startswith(tuple(residual.STAGES[:frozen]))}
        metrics = evaluate(path, tasks["B"], np.bincount(tasks["B"].labels["train"]).tolist(), CPU)
        assert metrics["depth"] == 5
        assert metrics["stage"] == {"P2B": "layer1.0", "P4B": "pool", "baseB": None}[name]
        last = metrics["learning"][-1]
        assert metrics["validation"]["top1"] == last["validation_top1"]
        assert metrics["validation"]["loss"] == pytest.approx(last["validation_loss"], rel=1e-5)


def folded_network() -> nn.Sequential:
    """One whose norms, with scales and shifts, have the statistics of new ones."""
    network = residual.draw(WEIGHTS, (1, 8, 8), 7, lambda n: 100 + n)
    for number, norm in enumerate(batch_norms(network)):
        nn.init.uniform_(norm.weight, 0.5, 2, torch.Generator().manual_seed(number))
        nn.init.normal_(norm.bias, generator=torch.Generator().manual_seed(number))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter[::2] *= 0.3
    return network


def lengths_of(network: nn.Module) -> torch.Tensor:
    """The lengths of all filters of a network's convolutions."""
    filters = [module.weight.detach().flatten(1) for module in network.modules() if isinstance(module, nn.Conv2d)]
    return torch.cat([one.norm(dim=1) for one in filters])


def test_unfolded_norms_give_what_they_gave_and_have_the_statistics_of_what_they_are_given():
    network, images = folded_network(), torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    norms = batch_norms(network)
    assert folded_norms(network) == norms
    with torch.no_grad():
        before = network.eval()(images.clone())
        unfold(network.train(), network, [(images[:40], images), (images[40:], images)])
        assert network.training
        after = network.eval()(images.clone())
    assert torch.allclose(before, after, atol=1e-4)
    assert not folded_norms(network)
    assert lengths_of(network).min() >= 2**0.5 - 1e-6
    seen = []
    norms[-1].register_forward_pre_hook(lambda norm, inputs: seen.append(inputs[0]))
    network(images.clone())
    assert torch.allclose(norms[-1].running_mean, seen[0].mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(norms[-1].running_var, seen[0].var((0, 2, 3), correction=0), rtol=1e-3)
    shifted = [parameter.clone() for parameter in network.parameters()]
    unfold(network, network, [(images, images)])
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), shifted, strict=True))


def test_a_layer_that_feeds_two_norms_or_lies_in_a_frozen_stage_keeps_its_filters():
    images = torch.randn(16, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    layer = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.constant_(layer.weight, 0.1)
    twice = nn.Sequential(nn.Sequential(layer, nn.BatchNorm2d(3), layer, nn.BatchNorm2d(3)))
    frozen = nn.Sequential(layer, nn.BatchNorm2d(3))
    for network, learning in ((twice, twice), (frozen, frozen[1:])):
        with torch.no_grad():
            before = network.eval()(images.clone())
            unfold(network, learning, [(images, images)])
            assert torch.allclose(network(images.clone()), before, atol=1e-5)
        assert not folded_norms(network)
        assert torch.all(layer.weight == 0.1)


def test_folded_norms_are_unfolded_where_their_stages_are_copied_and_learn(request_of, pretrained, tmp_path):
    network = folded_network()
    save_checkpoint(pretrained, network, Card("pretrained", WEIGHTS, (1, 8, 8), list("0123456"), [0.25], [0.5]))
    make_checkpoints(request_of(["P2B", "P4B"], source=pretrained, pretrained=pretrained))
    make_checkpoints(request_of(["P4B+"], source=pretrained, pretrained=pretrained))
    for name, folded in (("P2B", 2), ("P4B", 4), ("P4B+", 0)):
        made = load_network(tmp_path / name / "model.safetensors")[1]
        copied = batch_norms(network[:folded])
        assert len(folded_norms(made)) == len(copied)
        assert all(torch.equal(*pair) for pair in zip(flat(made[:folded]), flat(network[:folded]), strict=True))


def flat(part: nn.Module) -> list[torch.Tensor]:
    """All that a part of a network keeps."""
    return list(part.state_dict().values())


@pytest.mark.parametrize("where", ["re-estimated", "trained"])
def test_folded_batch_norm_is_given_no_other_statistics(where, request_of, pretrained):
    request = request_of(["P4B-other"], source=pretrained, pretrained=pretrained, recipe={"batch_norm": where})
    with pytest.raises(
        InputError, match=r"^recipes: batch norm is folded into the convolutions .* leave out batch_norm"
    ):
        make_checkpoints(request)


def test_pretrained_networks_need_to_be_told_how_images_are_normalised(request_of, pretrained):
    with pytest.raises(InputError, match=r"^networks of pretrained weights need --pretrained,"):
        make_checkpoints(request_of(["P2B"], source=pretrained))


def test_networks_of_two_targets_are_two_jobs(request_of, pretrained):
    with pytest.raises(InputError, match=r"^a job trains networks of one target, not of A and B;"):
        make_checkpoints(request_of(["P2B", "P2A"], source=pretrained, pretrained=pretrained))


def test_the_weights_of_another_architecture_are_no_preprocessing(pretrained, tasks):
    other = LibraryModel("residual", "large", weights="theirs")
    with pytest.raises(InputError) as error:
        starts.with_preprocessing(tasks["B"], other, pretrained)
    assert str(error.value) == (
        f"{pretrained}: holds pretrained of {{'library': 'residual', 'name': 'small', 'weights': 'theirs'}}, not the "
        "pretrained weights of {'library': 'residual', 'name': 'large', 'weights': 'theirs'}; delete it and run again"
    )


def test_weights_for_colours_refuse_grey_images(pretrained, tasks):
    network = residual.draw(WEIGHTS, (3, 8, 8), 7, lambda n: n)
    save_checkpoint(pretrained, network, Card("pretrained", WEIGHTS, (3, 8, 8), list("0123456"), [0.4] * 3, [0.2] * 3))
    with pytest.raises(InputError) as error:
        starts.with_preprocessing(tasks["B"], WEIGHTS, pretrained)
    assert str(error.value) == (
        f"{pretrained}: its network takes images of 3 channels, those of the data set have 1; "
        "set datasets.*.images.channels to 3"
    )


def test_weights_for_larger_images_say_so_where_they_do_not_fit(request_of, pretrained):
    network = residual.draw(WEIGHTS, (1, 16, 16), 7, lambda n: n)
    with torch.no_grad():
        network[0][0] = nn.Conv2d(1, 8, 5)
    save_checkpoint(pretrained, network, Card("pretrained", WEIGHTS, (1, 16, 16), list("0123456"), [0.25], [0.5]))
    with pytest.raises(InputError) as error:
        make_checkpoints(request_of(["P2B"], source=pretrained, pretrained=pretrained))
    assert str(error.value).endswith(
        "; the source is for images of 1×16×16, these are 1×8×8: see datasets.*.images and augmentation.crop"
    )


def test_a_base_network_is_no_source_of_pretrained_ones(request_of, pretrained, tmp_path):
    make_checkpoints(request_of(["baseB"], pretrained=pretrained))
    base = tmp_path / "baseB/model.safetensors"
    with pytest.raises(InputError) as error:
        make_checkpoints(request_of(["P2B"], source=base, pretrained=pretrained))
    assert str(error.value) == f"{base}: holds baseB, but P2B needs pretrained"


def test_images_of_an_alexnet_are_normalised_as_the_split_says_but_for_caffenets(tasks):
    task = tasks["A"]
    plain, channels = starts.with_preprocessing(task, AlexNet("tiny", 1, "batch", 0), None)
    assert (plain.mean, plain.std, channels) == (task.mean, task.std, "rgb")
    caffenet, _ = starts.with_preprocessing(task, AlexNet("caffenet", 1, "none", 0.5), None)
    assert (caffenet.mean, caffenet.std) == (task.mean, [1 / 255])


def test_a_card_is_read_without_the_weights(pretrained):
    assert read_card(pretrained).network == "pretrained"


# Export


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_such_a_network_is_exported_with_its_preprocessing(channels):
    card = Card("P2B", WEIGHTS, (3, 8, 8), list("abcde"), [0.3, 0.4, 0.5], [0.2, 0.3, 0.4], channels)
    network = residual.draw(WEIGHTS, card.shape, 5, lambda n: n)
    network(torch.randn(32, 3, 8, 8))
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    model = convert(network.eval(), card, {"name": "P2B"})
    assert compare(model, network, card, images)["top1_agreement"] == 1
    assert form_of(model) == {"opset": model.opset_import[0].version, "input": ["batch", 3, 8, 8]}
    assert isinstance(model, onnx.ModelProto)
    with pytest.raises(RuntimeError, match="differ"):
        compare(model, network, replace(card, channels={"rgb": "bgr", "bgr": "rgb"}[channels]), images)
