"""Treatments: the grammar of names, and what is copied, frozen and drawn anew."""

import re

import pytest
import torch
from torch import nn

from transferability.errors import InputError
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.dropout import Dropout
from transferability.networks.notation import Network, parse_network, split_treatment
from transferability.networks.stages import AlexNet
from transferability.networks.treatments import copy_stages, freeze_stages, prepare_network

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
EVERY_NETWORK = [
    "baseA",
    "baseB",
    *(f"R{n}{target}" for n in range(1, 8) for target in "AB"),
    *(f"{source}{n}{target}{plus}" for source in "ABP" for n in range(1, 8) for target in "AB" for plus in ("", "+")),
    *(f"{source}{n}{target}-k{k}" for source in "ABP" for n in range(1, 8) for target in "AB" for k in range(1, 8 - n)),
]
EVERY_OPTION = [
    "baseB-longer",
    "A3B-k2-slides",
    *(f"R{n}{target}-svm" for n in range(1, 8) for target in "AB"),
    *(
        f"{source}{n}{target}{plus}-{probe}"
        for source in "ABP"
        for n in (1, 7)
        for target in "AB"
        for plus in ("", "+")
        for probe in ("svm", "logreg10", "k2means")
    ),
]


def draw(seed: int, norm: str = "batch", dropout: float = 0, width: float = 0.5, classes: int = 5) -> nn.Sequential:
    """A freshly drawn network in which batch norm has statistics and weights of its own, too."""
    architecture = AlexNet("tiny", width, norm, dropout)
    network = build_network(architecture, (1, 8, 8), classes)
    initialise(network, architecture, lambda n: 1000 * seed + n - 1)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.num_batches_tracked.fill_(seed)
            module.weight.data.uniform_(0.5, 2, generator=generator)
            module.bias.data.normal_(generator=generator)
    return network


def copy_of(network: nn.Sequential) -> dict[str, torch.Tensor]:
    """A network's state, that does not change with it."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def layers_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """The layers whose every parameter and buffer is the same in both states."""
    different = {name.split(".")[0] for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    return [name for name in LAYERS if name not in different]


@pytest.mark.parametrize("name", [*EVERY_NETWORK, *EVERY_OPTION])
def test_every_name_means_one_network_whose_name_it_is(name):
    assert parse_network(name).name == name


def test_no_two_names_mean_the_same_network():
    assert len({parse_network(name) for name in EVERY_NETWORK}) == len(EVERY_NETWORK) == 2 + 14 + 84 + 126


@pytest.mark.parametrize(
    ("name", "network", "treatment", "curve"),
    [
        ("baseA", Network(None, 0, "A", False, 0), "base", "baseA"),
        ("baseB", Network(None, 0, "B", False, 0), "base", "baseB"),
        ("B3B", Network("B", 3, "B", False, 0), "selffer", "BnB"),
        ("A3A+", Network("A", 3, "A", True, 0), "selffer+", "AnA+"),
        ("A7B", Network("A", 7, "B", False, 0), "transfer", "AnB"),
        ("B1A+", Network("B", 1, "A", True, 0), "transfer+", "BnA+"),
        ("R4A", Network("R", 4, "A", False, 0), "random", "RnA"),
        ("P3B", Network("P", 3, "B", False, 0), "pretrained", "PnB"),
        ("P5A+", Network("P", 5, "A", True, 0), "pretrained+", "PnA+"),
        ("A3B-k2", Network("A", 3, "B", False, 2), "transfer-k2", "AnB-k2"),
        ("B1B-k6", Network("B", 1, "B", False, 6), "selffer-k6", "BnB-k6"),
        ("baseB-longer", Network(None, 0, "B", False, 0, "longer"), "base-longer", "baseB-longer"),
        ("A3B-k2-slides", Network("A", 3, "B", False, 2, "slides"), "transfer-k2-slides", "AnB-k2-slides"),
        ("A5B-svm", Network("A", 5, "B", False, 0, "svm"), "transfer-svm", "AnB-svm"),
        ("B5B-svm16", Network("B", 5, "B", False, 0, "svm16"), "selffer-svm16", "BnB-svm16"),
        ("R5B-svm", Network("R", 5, "B", False, 0, "svm"), "random-svm", "RnB-svm"),
        ("P12A-svm", Network("P", 12, "A", False, 0, "svm"), "pretrained-svm", "PnA-svm"),
        ("A5B+-svm", Network("A", 5, "B", True, 0, "svm"), "transfer+-svm", "AnB+-svm"),
    ],
)
def test_a_name_says_source_cut_target_and_treatment(name, network, treatment, curve):
    assert parse_network(name) == network
    assert network.treatment == treatment
    treated = split_treatment(treatment)
    assert (treated.preserved, treated.option) == (network.preserved, network.option)
    assert treated.treatment.fine_tune == network.fine_tune
    assert network.curve == curve


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        *(
            (name, f"{name!r} is no network; names are like baseA, B3B, A3B+, R3B, P3B, A3B-k2 or A3B-svm")
            for name in (
                "",
                "base",
                "baseR",
                "baseA+",
                "baseA-k1",
                "AnB",
                "a3b",
                "A3R",
                "C3B",
                "A3",
                "3B",
                "A-1B",
                "A3B++",
                "A3B-k",
                "A3B-k0",
                "A3B-k2+",
                "A3B-svm+",
                "A3B-2svm",
                "A3B-svm-",
                "A3B-s.vm",
                "A3B-svm-knn",
                "baseA-",
                "baseA-k2",
                "A3B ",
                "A3B\n",
                "A³B",
                "A3.5B",
            )
        ),
        ("A0B", "'A0B': n = 0 copies nothing; a cut is after stage 1 or a later one"),
        ("A03B", "'A03B' is no network; names are like baseA, B3B, A3B+, R3B, P3B, A3B-k2 or A3B-svm"),
        ("B8B+", "'B8B+': n = 8 is outside 1..7"),
        ("R12A", "'R12A': n = 12 is outside 1..7"),
        ("A7B-k1", "'A7B-k1': there are no 1 stages to preserve between the cut at 7 and the last"),
        ("B3B-k5", "'B3B-k5': there are no 5 stages to preserve between the cut at 3 and the last"),
        ("R3B+", "'R3B+' is no network: random stages are frozen and there is nothing to preserve"),
        ("R3B-k2", "'R3B-k2' is no network: random stages are frozen and there is nothing to preserve"),
        ("A3B+-k2", "'A3B+-k2' is no network: where copied stages learn, they need no preserved ones above"),
        ("R3B+-svm", "'R3B+-svm' is no network: random stages are frozen and there is nothing to preserve"),
        ("A8B-svm", "'A8B-svm': n = 8 is outside 1..7"),
        ("P8B", "'P8B': n = 8 is outside 1..7"),
    ],
)
def test_a_bad_name_is_refused_in_one_sentence(name, sentence):
    with pytest.raises(InputError) as error:
        parse_network(name, depth=8)
    assert str(error.value) == sentence


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("layers", range(8))
def test_copying_takes_exactly_the_first_layers(layers, norm):
    source, target = copy_of(draw(1, norm)), draw(2, norm)
    before = copy_of(target)
    copy_stages(source, target, layers)
    assert layers_equal(target.state_dict(), source) == LAYERS[:layers]
    assert layers_equal(target.state_dict(), before) == LAYERS[layers:]


def test_copied_layers_are_copies():
    source, target = draw(1), draw(2)
    before = copy_of(source)
    copy_stages(source.state_dict(), target, 7)
    with torch.no_grad():
        for tensor in target.state_dict().values():
            tensor.zero_()
    assert layers_equal(source.state_dict(), before) == LAYERS


def test_layers_above_the_cut_may_differ():
    source, target = copy_of(draw(1, classes=9)), draw(2, classes=5)
    copy_stages(source, target, 7)
    assert layers_equal({name: tensor for name, tensor in target.state_dict().items() if "fc8" not in name}, source)


def test_copying_from_another_architecture_lists_every_mismatch_and_copies_nothing():
    source, target = copy_of(draw(1, "none", width=1)), draw(2, "batch", width=0.5)
    before = copy_of(target)
    with pytest.raises(InputError) as error:
        copy_stages(source, target, 2)
    start = "the source is of another architecture: "
    assert str(error.value).startswith(start)
    assert str(error.value).removeprefix(start).split("; ") == sorted(
        [
            "conv1.conv.weight is (8, 1, 3, 3), the target's (4, 1, 3, 3)",
            "conv2.conv.weight is (16, 8, 3, 3), the target's (8, 4, 3, 3)",
            *(f"conv{n}.conv.bias is not in the target" for n in (1, 2)),
            *(
                f"conv{n}.norm.{part} is missing"
                for n in (1, 2)
                for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            ),
        ]
    )
    assert layers_equal(target.state_dict(), before) == LAYERS


def test_one_mismatch_in_the_last_copied_layer_copies_nothing():
    source, target = copy_of(draw(1)), draw(2)
    before = copy_of(target)
    del source["fc7.norm.running_var"]
    with pytest.raises(InputError, match=re.escape("architecture: fc7.norm.running_var is missing")):
        copy_stages(source, target, 7)
    assert layers_equal(target.state_dict(), before) == LAYERS
    copy_stages(source, target, 6)


@pytest.mark.parametrize("frozen", range(8))
def test_frozen_batch_norm_keeps_its_statistics(frozen):
    network = draw(1)
    before = copy_of(network)
    freeze_stages(network, frozen, dropout=True)
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {
        f"{layer}.norm.{part}"
        for layer in LAYERS[frozen:7]
        for part in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_frozen_layers_compute_as_in_evaluation():
    network, images = draw(1, dropout=0.5), torch.randn(16, 1, 8, 8)
    expected = network.eval()[:6](images)
    freeze_stages(network, 6, dropout=False)
    assert torch.equal(network[:6](images), expected)


@pytest.mark.parametrize(("dropout", "dropping"), [(True, ["fc6", "fc7"]), (False, ["fc7"])])
def test_frozen_dropout_stays_on_if_asked(dropout, dropping):
    network, images = draw(1, dropout=0.5), torch.randn(64, 1, 8, 8)
    freeze_stages(network, 6, dropout)
    drawn_anew = []
    features = network[:5](images)
    for name in ("fc6", "fc7"):
        layer = network.get_submodule(name)
        if not torch.equal(layer(features), layer(features)):
            drawn_anew.append(name)
        features = layer(features).detach()
    assert drawn_anew == dropping
    assert [name for name, module in network.named_modules() if isinstance(module, Dropout) and module.training] == [
        f"{name}.dropout" for name in dropping
    ]


@pytest.mark.parametrize("frozen", range(8))
def test_freezing_stops_the_gradient_of_the_first_layers_only(frozen):
    network = draw(1)
    freeze_stages(network, frozen, dropout=True)
    network(torch.randn(4, 1, 8, 8)).sum().backward()
    learning = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learning == set(LAYERS[frozen:])


@pytest.mark.parametrize(
    ("name", "copied", "frozen"),
    [
        ("baseA", 0, 0),
        ("B3B", 3, 3),
        ("B3B+", 3, 0),
        ("A1B", 1, 1),
        ("A3B", 3, 3),
        ("A7B", 7, 7),
        ("A3B+", 3, 0),
        ("A7B+", 7, 0),
        ("R3B", 0, 3),
        ("R7B", 0, 7),
        ("P3B", 3, 3),
        ("P3B+", 3, 0),
        ("A3B-k2", 5, 3),
        ("B1B-k6", 7, 1),
    ],
)
def test_a_treatment_copies_and_freezes_what_its_name_says(name, copied, frozen):
    identity = parse_network(name)
    source = copy_of(draw(1)) if copied else None
    network = draw(2)
    fresh = copy_of(network)

    prepare_network(identity, network, source, frozen_dropout=True)
    assert identity.frozen == frozen

    state = network.state_dict()
    if source:
        assert layers_equal(state, source) == LAYERS[:copied]
    assert layers_equal(state, fresh) == LAYERS[copied:]
    learning = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == set(LAYERS[frozen:])
    assert all(module.training for module in network[frozen:].modules())


@pytest.mark.parametrize(
    ("name", "given"), [("A3B", False), ("B3B+", False), ("P3B", False), ("A3B-k2", False), ("R3B", True)]
)
def test_a_missing_or_needless_source_is_refused(name, given):
    # Else a network would be trained as another treatment than its name says: A3B as R3B, R3B as A3B.
    source = copy_of(draw(1)) if given else None
    with pytest.raises(InputError, match=re.escape(name)):
        prepare_network(parse_network(name), draw(2), source, frozen_dropout=True)
