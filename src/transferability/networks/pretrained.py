"""Pretrained weights, from a library or from a file of anybody's, brought into the form of a study's networks.

Files are read without running code. Every entry of the network must be there, and no other: all that do not fit are
counted in one sentence. Weights with another head than the library's are taken with it.
"""

import argparse
import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from transferability import files, provenance
from transferability.errors import InputError, exit_plainly
from transferability.networks.building import build_network, library_of
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.description import meta_network
from transferability.networks.norms import folded_norms
from transferability.networks.stages import AlexNet, Architecture, LibraryModel, architecture_of
from transferability.networks.staging import as_staged, from_library, to_library
from transferability.words import in_words

NESTED = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher", "student", "net", "network", "module")
"""The keys under which training codes keep a network in their files, in the order in which they are tried."""

KEYS = ("mean", "std", "size", "crop", "interpolation", "channels")

ASSUMED = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "size": 224,
    "crop": 0.875,
    "interpolation": "bilinear",
    "channels": "rgb",
}
"""What is taken to be true of the weights of a file where nothing is said: ImageNet's usual."""


@dataclass(frozen=True)
class Weights:
    """Pretrained weights under the library's names.

    `classes` are the names of the head's classes, None where there is no head; `source` says where the weights are
    from, `sha256` is that of the file, or of the state of a library's; `preprocessing` has KEYS, of which `assumed`
    lists those that nobody has said; `notes` are what else a reader of run.json should know.
    """

    state: dict[str, Tensor]
    classes: list[str] | None
    source: str
    sha256: str
    preprocessing: dict
    assumed: list[str] = field(default_factory=list)
    notes: dict = field(default_factory=dict)


def read_file(path: Path) -> object:
    """What a file of weights holds; one that is broken or would run code is an InputError."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise InputError(
                f"{path}: holds more than weights and would run code when it is read, so it is not; save the model's "
                "state_dict alone, best as .safetensors"
            ) from None
        raise InputError(f"{path}: is no whole file of weights; fetch it again") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError):
        raise InputError(f"{path}: is no whole file of weights; fetch it again") from None


def find_state(content: object, path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a network in what a file holds, and under which key they were."""
    key = ""
    while isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        inner = next((name for name in NESTED if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        key, content = f"{key}.{inner}".removeprefix("."), content[inner]
    state = {} if not isinstance(content, Mapping) else content
    state = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not state:
        raise InputError(f"{path}: holds no weights; they are looked for at the top and under {', '.join(NESTED)}")
    return state, key


def common_prefix(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """What most names begin with before a wanted name, such as module.; None if no wanted name is among them."""
    wanted, prefixes = set(wanted), Counter[str]()
    for name in names:
        words = name.split(".")
        for start in range(len(words)):
            if ".".join(words[start:]) in wanted:
                prefixes["".join(f"{word}." for word in words[:start])] += 1
    return max(prefixes, key=lambda prefix: (prefixes[prefix], -len(prefix))) if prefixes else None


@dataclass(frozen=True)
class Wanted:
    """The entries of a model's state in its order, by their names: their shapes, None where the classes count.

    `second_names` are those of an entry that has several, with the first; a file may have left out any but one.
    """

    shapes: dict[str, tuple[int | None, ...]]
    second_names: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> set[str]:
        """The names of the entries that depend on the number of classes."""
        return {name for name, shape in self.shapes.items() if None in shape}

    def under_all_names(self, entries: dict[str, Tensor]) -> dict[str, Tensor]:
        """Entries under each name that they have."""
        firsts = {first: entries[second] for second, first in self.second_names.items() if second in entries} | entries
        return {second: firsts[first] for second, first in self.second_names.items() if first in firsts} | firsts

    def fits(self, name: str, tensor: Tensor) -> bool:
        """Whether a tensor has the shape of an entry."""
        shape = self.shapes[name]
        return len(shape) == tensor.ndim and all(a in (None, b) for a, b in zip(shape, tensor.shape, strict=True))


def wanted_by(architecture: LibraryModel, shape: tuple[int, int, int]) -> Wanted:
    """What a library's model has as its state, for any number of classes."""
    states = []
    for classes in (7, 11):
        network = meta_network(architecture, shape, classes)
        states.append(to_library(network, network.state_dict()))
    shapes = {
        name: tuple(a if a == b else None for a, b in zip(tensor.shape, states[1][name].shape, strict=True))
        for name, tensor in states[0].items()
    }
    return Wanted(shapes, as_staged(network).second_names)


def in_order(state: Mapping[str, Tensor], wanted: Wanted) -> dict[str, Tensor] | None:
    """Entries matched with the wanted ones one after the other; None unless all shapes agree."""
    learned = [name for name in wanted.shapes if not name.endswith("num_batches_tracked")]
    for names in (list(wanted.shapes), learned):
        if len(names) == len(state) and all(map(wanted.fits, names, state.values())):
            return dict(zip(names, state.values(), strict=True))
    return None


def matched(state: Mapping[str, Tensor], wanted: Wanted, what: str) -> tuple[dict[str, Tensor], str]:
    """The state under the wanted names, and how it was found; what does not fit is an InputError about `what`."""
    prefix = common_prefix(state, wanted.shapes)
    if prefix is None:
        if (ordered := in_order(state, wanted)) is None:
            raise InputError(
                f"{what}: these are weights of another model, none of whose entries has a name of this one's"
            )
        return ordered, "in order"
    entries = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    entries = wanted.under_all_names(entries)
    problems = [f"{name} is left over" for name in state if name.removeprefix(prefix) not in wanted.shapes]
    optional = wanted.head if not wanted.head & entries.keys() else set()
    problems += [
        f"{name} is missing"
        for name in wanted.shapes
        if name not in entries and name not in optional and not name.endswith("num_batches_tracked")
    ]
    problems += [
        f"{name} is {tuple(tensor.shape)}, the model's {tuple(size or 'classes' for size in wanted.shapes[name])}"
        for name, tensor in entries.items()
        if name in wanted.shapes and not wanted.fits(name, tensor)
    ]
    if problems:
        do = "entry does" if len(problems) == 1 else "entries do"
        more = f" ... and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise InputError(
            f"{what}: {len(problems):,} {do} not fit: {'; '.join(problems[:4])}{more}; these are weights of another "
            "model, or other options or preprocessing.size are needed"
        )
    return entries, f"by name, without {prefix!r}" if prefix else "by name"


def head_classes(state: Mapping[str, Tensor], wanted: Wanted) -> int | None:
    """The number of classes of the head that a state has; None if it has none."""
    sizes = {
        size
        for name in wanted.head & state.keys()
        for size, ours in zip(state[name].shape, wanted.shapes[name], strict=True)
        if ours is None
    }
    return sizes.pop() if len(sizes) == 1 else None


def expected_preprocessing(architecture: LibraryModel, usual: Mapping) -> tuple[dict, list[str]]:
    """What weights expect of images: what the architecture says, else what is `usual`; and what was not given."""
    given = dict(architecture.preprocessing or {})
    if unknown := given.keys() - set(KEYS):
        raise InputError(f"architectures.*.preprocessing: there is no {sorted(unknown)[0]}; keys are {in_words(KEYS)}")
    if given.get("channels", "rgb") not in ("rgb", "bgr"):
        raise InputError(f'architectures.*.preprocessing.channels is "rgb" or "bgr", not {given["channels"]!r}')
    return {key: given.get(key, usual[key]) for key in KEYS}, [key for key in KEYS if key not in given]


def from_file(architecture: LibraryModel) -> Weights:
    """Weights of a file, for a library's model."""
    path = files.expanded(str(architecture.weights))
    library = library_of(architecture)
    preprocessing, assumed = expected_preprocessing(
        architecture, ASSUMED | {"size": library.usual_size(architecture.name)}
    )
    state, key = find_state(read_file(path), path)
    wanted = wanted_by(architecture, image_shape(preprocessing))
    state, how = matched(state, wanted, f"{path} for {architecture.name}")
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    count = head_classes(state, wanted)
    classes = None if count is None else [str(number) for number in range(count)]
    notes = {"matched": how} | ({"key": key} if key else {})
    return Weights(state, classes, str(architecture.weights), files.sha256(path), preprocessing, assumed, notes)


def image_shape(preprocessing: Mapping) -> tuple[int, int, int]:
    """The shape (C, H, W) of the images that weights expect."""
    return 3, int(preprocessing["size"]), int(preprocessing["size"])


def state_hash(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of a state's names and numbers."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def from_library_itself(architecture: LibraryModel) -> Weights:
    """Weights that a library names, fetched by its own code."""
    model, classes, usual, source = library_of(architecture).load(architecture)
    preprocessing, _ = expected_preprocessing(architecture, ASSUMED | usual)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    return Weights(state, classes, source, state_hash(state), preprocessing)


NO_WEIGHTS = "architectures: an architecture without weights has no pretrained network; name its weights"


def load_weights(architecture: Architecture) -> Weights:
    """The weights that an architecture names; an InputError says what is wrong with them."""
    if isinstance(architecture, AlexNet) or architecture.weights is None:
        raise InputError(NO_WEIGHTS)
    names = library_of(architecture).weight_names(architecture.name)
    if architecture.weights in names:
        return from_library_itself(architecture)
    path = files.expanded(architecture.weights)
    if not path.is_file() and not path.suffix:
        raise InputError(
            f"architectures: {architecture.library} has no weights {architecture.weights!r} of {architecture.name}; "
            f"there are {in_words(names) or 'none'}, or name a file"
        )
    return from_file(architecture)


def write_pretrained(architecture: Architecture, into: Path, source: str | None = None) -> None:
    """Write model.safetensors and run.json of an architecture's pretrained weights into a folder.

    `source` is where the weights lie, if the architecture names those of a file by their hash.
    """
    if isinstance(architecture, AlexNet):
        raise InputError(NO_WEIGHTS)
    weights = load_weights(replace(architecture, weights=source) if source else architecture)
    shape, classes = image_shape(weights.preprocessing), weights.classes or ["0"]
    network = build_network(architecture, shape, len(classes))
    state = network.state_dict()
    ours = from_library(network, {name: weights.state[name] for name in weights.state})
    with torch.no_grad():
        for name, tensor in ours.items():
            state[name].copy_(tensor)
    mean, std, channels = (weights.preprocessing[key] for key in ("mean", "std", "channels"))
    card = Card(
        "pretrained", replace(architecture, options=dict(architecture.options)), shape, classes, mean, std, channels
    )
    save_checkpoint(into / "model.safetensors", network, card)
    library = import_module(architecture.library)
    record = {
        "weights": weights.source,
        "sha256": weights.sha256,
        "head": "as it was trained" if weights.classes else "new, as the weights have none",
        "folded_norms": len(folded_norms(network)),
        **weights.notes,
        "preprocessing": weights.preprocessing,
        "assumed": weights.assumed,
        "versions": provenance.versions() | {architecture.library: library.__version__},
        "code": provenance.fingerprint("networks.pretrained", f"networks.{architecture.library}"),
    }
    files.write_json(into / "run.json", record)


def main() -> None:
    parser = argparse.ArgumentParser(description="Bring pretrained weights into the form of a study's networks.")
    parser.add_argument("--architecture", required=True, help="its section of architectures, as JSON")
    parser.add_argument("--weights", help="where the weights are, if the section names a file by its hash")
    parser.add_argument("--into", type=Path, required=True, help="folder to write model.safetensors and run.json into")
    arguments = parser.parse_args()
    write_pretrained(architecture_of(json.loads(arguments.architecture)), arguments.into, arguments.weights)


if __name__ == "__main__":
    exit_plainly(main)
