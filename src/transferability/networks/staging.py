"""Staging: a library's model as a sequence of named stages, of the model's own modules, that computes the same.

How stages are found, in any model:

1. The model's forward code is followed (`tracing`). Plain lists of modules are opened, and modules that hold a list of
   blocks of one class; a block, such as a ResNet's BasicBlock, stays whole.
2. A cut is legal where one tensor alone is alive, a row for each image, that nothing overwrites later. Only in a linked
   model may several cross, maps or tokens: a stage then gives them side by side, as a vector, and the next one takes
   them apart. Linked are models that have no other place (the two branches of CrossViT), and those that have one module
   in several places (the position encodings of CoaT): the stage of its first use has it, and later ones borrow it.
3. A stage begins at a module with a weight (a parameter of two dimensions or more). Norms, parameters that the model
   itself adds (class tokens, positions), and what follows without parameters, such as activations and local pooling,
   join the stage below; global pooling and what comes after it join the stage above. Where there is no legal cut
   between two weights, they are of one stage; so are uses of one parameter, unless its module is borrowed.
4. The first stage is the stem (embed where it gives tokens), the last the head; others are named by the module that
   they begin with.
"""

import copy
import math
import operator
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, takewhile
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from transferability.errors import InputError
from transferability.networks.dropout import random_modules
from transferability.networks.heads import draw_classifiers
from transferability.networks.stages import LibraryModel
from transferability.networks.tracing import BATCHES, PREFIX, Whole, holds_blocks, is_plain, is_torchs, record, trace
from transferability.words import in_words

GATHERING = re.compile(r"adaptive|global|mean|amax|getitem|select|squeeze", re.IGNORECASE)
"""In the name of a call: it makes one vector of a map, or takes one token of many."""

POOLING = re.compile(r"pool", re.IGNORECASE)
DROPPING = re.compile(r"drop", re.IGNORECASE)

STEM = re.compile(r"stem|conv|patch|embed", re.IGNORECASE)
"""What the name of a list of layers begins with that is a stem as a whole."""

GRANULARITIES = ("layer", "block", "stage")


class Stages(nn.Sequential):
    """A sequence whose children's names may have dots, as layer1.0 has."""

    def __init__(self, stages: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(stages)

    def _load_from_state_dict(
        self, state: dict, prefix: str, metadata: dict, strict: bool, missing: list, unexpected: list, errors: list
    ) -> None:
        # torch's own takes the first word of an entry for the name of a child.
        children = tuple(f"{prefix}{name}." for name in self._modules)
        if strict:
            unexpected += [name for name in state if name.startswith(prefix) and not name.startswith(children)]


METADATA = "_metadata"
"""Where torch keeps the versions of modules beside their state."""


class Staged(Stages):
    """A network of named stages.

    `library_names` gives the library's name of each entry of the state, by ours; `second_names` the other names that an
    entry has in the library's state, with the first; `library_metadata` the versions of the library's modules, which
    some of them ask for when they load a state. It is `linked` where several tensors cross a cut, or stages borrow.
    """

    linked: bool
    library_names: dict[str, str]
    second_names: dict[str, str]
    library_metadata: dict[str, dict]


class Borrowed(nn.Module):
    """A module that is an earlier stage's, or comes earlier in this one: without entries, and frozen with its owner."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # In a tuple torch does not see it.
        self.lent = (module,)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.lent[0](*args, **kwargs)


def lend(network: nn.Module) -> None:
    """Leave each module to where it comes first; where else it is, it is borrowed."""
    owned = set[nn.Module]()
    for parent in list(network.modules()):
        for name, child in parent._modules.items():
            if child in owned and has_state(child):
                parent._modules[name] = Borrowed(child)
            elif child is not None:
                owned.add(child)


def as_staged(network: nn.Module) -> Staged:
    """A network that is known to be of a library."""
    if not isinstance(network, Staged):
        raise TypeError(f"{type(network).__name__} is no staged network of a library")
    return network


def to_library(network: nn.Sequential, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a staged network, or of its first stages, under the names that its library's model has for it."""
    staged = as_staged(network)
    theirs = OrderedDict((staged.library_names[name], tensor) for name, tensor in state.items())
    theirs |= {name: theirs[first] for name, first in staged.second_names.items() if first in theirs}
    setattr(theirs, METADATA, staged.library_metadata)
    return theirs


def from_library(network: nn.Sequential, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a library's model under the names that the staged network has for it."""
    staged = as_staged(network)
    ours = {theirs: name for name, theirs in staged.library_names.items()}
    return {ours[name]: tensor for name, tensor in state.items() if name not in staged.second_names}


def target_of(node: fx.Node) -> str:
    """The name in the model of what a node that calls a module, or gets a parameter, refers to."""
    return str(node.target)


@dataclass(frozen=True)
class Part:
    """A stretch of the graph between two cuts: its nodes, by their index, and what it is to be called."""

    name: str
    start: int
    stop: int


@dataclass
class Flow:
    """The graph of a model as the steps that lead from images to logits, and what is known of each.

    It is `linked` where several tensors may cross a cut, maps or tokens, and modules be borrowed.
    """

    whole: Whole
    graph: fx.Graph
    linked: bool = False
    steps: list[fx.Node] = field(init=False)

    def __post_init__(self) -> None:
        carrying: set[fx.Node] = set()
        for node in self.graph.nodes:
            if node.op == "placeholder" or (
                has_tensor(node) and any(other in carrying for other in node.all_input_nodes)
            ):
                carrying.add(node)
        self.steps = [node for node in self.graph.nodes if node in carrying]

    @cached_property
    def index(self) -> dict[fx.Node, int]:
        """The position of each step in the order."""
        return {node: position for position, node in enumerate(self.steps)}

    @cached_property
    def output(self) -> fx.Node:
        """The step that gives the logits."""
        (node,) = [node for node in self.graph.nodes if node.op == "output"]
        if not isinstance(node.args[0], fx.Node):
            raise InputError("it gives more than one tensor")
        return node.args[0]

    @cached_property
    def last_use(self) -> dict[fx.Node, int]:
        """The last step that uses each step's output."""
        uses = {node: max((self.index.get(user, -1) for user in node.users), default=-1) for node in self.steps}
        return uses | {self.output: len(self.steps)}

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        return self.whole.get_submodule(target_of(node)) if node.op == "call_module" else None

    def path(self, node: fx.Node) -> str:
        """The name in the library's model of what a node refers to."""
        return target_of(node).removeprefix(PREFIX)

    def kind(self, node: fx.Node) -> str:
        """The name of the class or function of a step."""
        if (module := self.module(node)) is not None:
            return type(module).__name__
        return node.target if isinstance(node.target, str) else node.target.__name__

    def tensors(self, node: fx.Node) -> set[Tensor]:
        """The parameters and stored buffers that a step computes with."""
        if (module := self.module(node)) is not None:
            return entries_of(module)
        return set().union(*(self.constants(other) for other in node.all_input_nodes if other not in self.index))

    def constants(self, node: fx.Node) -> set[Tensor]:
        """The parameters and stored buffers that a node which is no step is computed from."""
        if node.op == "get_attr":
            parent, _, name = target_of(node).rpartition(".")
            holder = self.whole.get_submodule(parent)
            kept = isinstance(holder, Whole) or name in holder._non_persistent_buffers_set
            return set() if kept else {getattr(holder, name)}
        if (module := self.module(node)) is not None:
            return entries_of(module)
        return set().union(*(self.constants(other) for other in node.all_input_nodes if other not in self.index))

    def is_weight(self, node: fx.Node) -> bool:
        """Whether a step calls a module with a weight that is not borrowed."""
        module, position = self.module(node), self.index.get(node, -1)
        return module is not None and any(
            parameter.ndim > 1 and not (parameter in self.lent and self.uses[parameter][0] < position)
            for parameter in module.parameters()
        )

    @cached_property
    def lent(self) -> set[Tensor]:
        """The parameters and stored buffers of modules that the model has in several places."""
        return {tensor for module in repeated_modules(self.whole.model) for tensor in entries_of(module)}

    @cached_property
    def uses(self) -> dict[Tensor, list[int]]:
        """The steps that compute with each parameter and stored buffer, in their order."""
        uses: dict[Tensor, list[int]] = {}
        for position, node in enumerate(self.steps):
            for tensor in self.tensors(node):
                uses.setdefault(tensor, []).append(position)
        return uses

    @cached_property
    def cuts(self) -> dict[int, tuple[fx.Node, ...]]:
        """The legal cuts: the steps after which one tensor alone is alive, or several that may cross, and these."""
        tied = [(steps[0], steps[-1]) for tensor, steps in self.uses.items() if tensor not in self.lent]
        legal, alive = dict[int, tuple[fx.Node, ...]](), set[fx.Node]()
        for position, node in enumerate(self.steps):
            alive = {other for other in alive | {node} if self.last_use[other] > position}
            if position and self.may_cross(alive) and not any(first <= position < last for first, last in tied):
                legal[position] = tuple(sorted(alive, key=self.index.__getitem__))
        return legal

    def may_cross(self, alive: set[fx.Node]) -> bool:
        """Whether what is alive after a step may cross a cut there."""
        if len(alive) != 1 and not (self.linked and alive and self.steps[0] not in alive and all(map(is_map, alive))):
            return False
        return all(map(is_activation, alive))

    def follows(self, node: fx.Node, before_head: bool) -> bool:
        """Whether a step without parameters joins the stage below it: an activation, local pooling, dropout.

        Dropout before the head is the head's.
        """
        kind = self.kind(node)
        if DROPPING.search(kind):
            return not before_head
        (before, *_), after = node.all_input_nodes, node.meta["values"][0]
        value = before.meta["values"][0]
        kept = isinstance(value, Tensor) and isinstance(after, Tensor) and value.shape == after.shape
        return kept or bool(POOLING.search(kind))

    def boundary(self, low: int, high: int, before_head: bool) -> int | None:
        """The cut between two steps with weights: after the norms and activations of the lower one."""
        inside = range(low + 1, high)
        gathered = next((position for position in inside if GATHERING.search(self.kind(self.steps[position]))), high)
        end = max(
            position for position in range(low, gathered) if position == low or self.tensors(self.steps[position])
        )
        start = end
        while end + 1 < gathered and self.follows(self.steps[end + 1], before_head):
            end += 1
        near = [position for position in self.cuts if start <= position <= end]
        far = [position for position in self.cuts if end < position < high]
        early = [position for position in self.cuts if low <= position < start]
        return near[-1] if near else far[0] if far else early[-1] if early else None

    def parts(self) -> list[Part]:
        """The finest stages: each begins with a step that has a weight, of which it bears the name."""
        weights = [position for position, node in enumerate(self.steps) if self.is_weight(node)]
        if not weights:
            raise InputError("it has no weights")
        parts, begun, start = [], weights[0], 1
        for low, high in pairwise(weights):
            if (cut := self.boundary(low, high, high == weights[-1])) is not None:
                parts.append(Part(self.path(self.steps[begun]), start, cut + 1))
                begun, start = high, cut + 1
        return [*parts, Part(self.path(self.steps[begun]), start, len(self.steps))]


def has_tensor(node: fx.Node) -> bool:
    """Whether a node gives a tensor, or a tuple with one."""
    value = node.meta["values"][0] if "values" in node.meta else None
    return isinstance(value, Tensor) or (
        isinstance(value, tuple | list) and any(isinstance(entry, Tensor) for entry in value)
    )


def is_map(node: fx.Node) -> bool:
    """Whether a node gives maps or tokens."""
    value = node.meta["values"][0]
    return isinstance(value, Tensor) and value.ndim > 2


def is_activation(node: fx.Node) -> bool:
    """Whether a node gives a tensor with a row for each image, which nothing overwrites later."""
    values = node.meta["values"]
    if not all(isinstance(value, Tensor) and value.ndim > 1 for value in values):
        return False
    rows = all(value.shape[0] == batch for value, batch in zip(values, BATCHES, strict=True))
    return rows and values[0].shape[1:] == values[1].shape[1:] and values[0]._version == node.meta["version"]


def side_by_side(tensors: tuple[Tensor, ...]) -> Tensor:
    """Tensors with a row for each image as one: (N, all their values)."""
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def apart(values: Tensor, shapes: tuple[tuple[int, ...], ...]) -> list[Tensor]:
    """The tensors of such shapes, without that of the batch, that `side_by_side` has laid in one."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = values.split(sizes, 1)
    return [part.reshape(-1, *shape).contiguous() for part, shape in zip(parts, shapes, strict=True)]


def entries_of(module: nn.Module) -> set[Tensor]:
    """The parameters of a module, and the buffers that are entries of its state."""
    return set(module.state_dict(keep_vars=True).values())


def repeated_modules(model: nn.Module) -> set[nn.Module]:
    """The modules with a state that a model has in several places."""
    children = Counter(child for parent in model.modules() for child in parent._modules.values())
    return {child for child, places in children.items() if places > 1 and child is not None and has_state(child)}


@dataclass
class Builder:
    """Makes the module of one part: the model's own modules, and the code between them."""

    flow: Flow
    graph: fx.Graph = field(default_factory=fx.Graph)
    copies: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def build(self, part: Part, used: set[nn.Module]) -> nn.Module:
        """The module of a part.

        `used` are the modules without parameters of earlier parts: a later part has copies of them.
        """
        flow = self.flow
        crossing = flow.steps[:1] if part.start == 1 else flow.cuts[part.start - 1]
        leaving = (flow.output,) if part.stop == len(flow.steps) else flow.cuts[part.stop - 1]
        self.take(crossing)
        for node in flow.steps[part.start : part.stop]:
            if flow.last_use[node] >= 0 or node.op != "call_function":
                self.copies[node] = self.graph.node_copy(node, lambda other: self.fetch(other, crossing[0]))
        copies = tuple(self.copies[node] for node in leaving)
        self.graph.output(copies[0] if len(copies) == 1 else self.graph.call_function(side_by_side, (copies,)))
        return self.assemble(used)

    def take(self, crossing: Sequence[fx.Node]) -> None:
        """Begin with what the part below gives: one tensor, or several side by side."""
        given = self.graph.placeholder("activations")
        if len(crossing) == 1:
            self.copies[crossing[0]] = given
            return
        shapes = tuple(tuple(node.meta["values"][0].shape[1:]) for node in crossing)
        tensors = self.graph.call_function(apart, (given, shapes))
        for index, node in enumerate(crossing):
            self.copies[node] = self.graph.call_function(operator.getitem, (tensors, index))

    def fetch(self, node: fx.Node, crossing: fx.Node) -> fx.Node:
        """The copy of a node that another one uses; what is no step is computed where it is used."""
        if node in self.copies:
            return self.copies[node]
        if not has_tensor(node) and node.op == "call_function" and not self.is_near(node):
            copied = self.substitute(node, self.copies[crossing], crossing)
        else:
            copied = self.graph.node_copy(node, lambda other: self.fetch(other, crossing))
        self.copies[node] = copied
        return copied

    def is_near(self, node: fx.Node) -> bool:
        """Whether all steps that a size or the like is read from are in this part."""
        return all(
            other in self.copies or (other not in self.flow.index and self.is_near(other))
            for other in node.all_input_nodes
        )

    def substitute(self, node: fx.Node, activations: fx.Node, crossing: fx.Node) -> fx.Node:
        """A size, device or type that was read from a tensor of an earlier part, read from the crossing one."""
        values = node.meta["values"]
        if isinstance(values[0], torch.device | torch.dtype):
            name = "device" if isinstance(values[0], torch.device) else "dtype"
            return self.graph.call_function(getattr, (activations, name))
        if values == BATCHES:
            return self.graph.call_method("size", (activations, 0))
        raise InputError(f"it remembers {node.name} across a cut")

    def assemble(self, used: set[nn.Module]) -> nn.Module:
        """The finished graph as a module: the only one it calls, a sequence of those it calls, or its code."""
        whole, calls = self.flow.whole, [node for node in self.graph.nodes if node.op in ("call_module", "get_attr")]
        targets: dict[str, Any] = {target_of(node): fetch_attribute(whole, target_of(node)) for node in calls}
        for name, value in targets.items():
            if isinstance(value, nn.Module) and value in used:
                targets[name] = copy.deepcopy(value)
        used.update(value for value in targets.values() if isinstance(value, nn.Module) and not has_state(value))
        chain = [node for node in self.graph.nodes if node.op not in ("placeholder", "output")]
        if is_chain(chain) and len(chain) == 1:
            (only,) = targets.values()
            return only
        holding = [name for name, value in targets.items() if isinstance(value, nn.Parameter) or has_state(value)]
        short = shortened(holding, targets)
        for node in calls:
            node.target = short[node.target]
        held = {short[name]: value for name, value in targets.items()}
        if is_chain(chain) and len(held) == len(chain):
            return Stages({node.target: held[node.target] for node in chain})
        module = fx.GraphModule(held, self.graph, "Stage")
        hide_constants(module, whole, {short[name]: name for name in targets})
        return module


def fetch_attribute(whole: Whole, name: str) -> nn.Module | Tensor:
    """A module, parameter, buffer or constant by its name."""
    parent, _, last = name.rpartition(".")
    return getattr(whole.get_submodule(parent), last)


def has_state(value: object) -> bool:
    """Whether a module has entries in its state."""
    return isinstance(value, nn.Module) and bool(value.state_dict())


def is_chain(nodes: list[fx.Node]) -> bool:
    """Whether each node calls a module on what the one before gives, and on nothing else."""
    return all(
        node.op == "call_module" and len(node.args) == 1 and not node.kwargs and node.args[0] is node.prev
        for node in nodes
    )


def shortened(holding: list[str], names: Iterable[str]) -> dict[str, str]:
    """Names without what those that hold parameters have in common, such as layer1 of layer1.0 and layer1.1."""
    parents = [name.split(".")[:-1] for name in holding or names]
    shared = 0
    while all(len(parent) > shared and parent[shared] == parents[0][shared] for parent in parents):
        shared += 1
    prefix = "".join(f"{word}." for word in parents[0][:shared])
    return {name: name.removeprefix(prefix).removeprefix(PREFIX) for name in names}


def hide_constants(module: nn.Module, whole: Whole, names: dict[str, str]) -> None:
    """Keep what is no entry of the library's state out of a stage's: constants, and buffers that are not stored."""
    stored = whole.state_dict().keys()
    for ours, theirs in names.items():
        parent, _, last = ours.rpartition(".")
        holder = module.get_submodule(parent)
        if last in holder._buffers and (theirs not in stored or not theirs.startswith(PREFIX)):
            holder._non_persistent_buffers_set.add(last)


def find_flow(model: nn.Module, shape: tuple[int, int, int], layers: bool) -> Flow:
    """A model's graph, in which blocks are whole; with `layers` those alone that cannot be cut."""

    def opened(module: nn.Module) -> bool:
        return any(module.children()) and not is_torchs(module) if layers else holds_blocks(module)

    def kept_open(module: nn.Module) -> bool:
        return opened(module) and module not in whole and (layers or type(module) not in kinds)

    training = model.training
    flow = Flow(*trace(model.train(), shape, opened))
    whole = indivisible(flow, opened)
    kinds = {type(module) for module in whole}
    if whole:
        flow = Flow(*trace(model, shape, kept_open))
    if flow.lent or len(flow.parts()) < 2:
        flow = replace(flow, linked=True)
    evaluated = trace(model.eval(), shape, kept_open, record(flow.graph))[1]
    model.train(training)
    if str(evaluated) != str(flow.graph):
        raise InputError("it computes other things in evaluation than in training")
    return flow


def indivisible(flow: Flow, opened: Callable[[nn.Module], bool]) -> set[nn.Module]:
    """The opened modules that have several weights and no cut between them. Blocks of their classes are left whole."""
    names = [part.name for part in flow.parts()]
    weights = [flow.path(node) for node in flow.steps if flow.is_weight(node)]

    def within(name: str, paths: list[str]) -> int:
        return len({path for path in paths if path.startswith(f"{name}.")})

    return {
        module
        for name, module in flow.whole.model.named_modules()
        if name and opened(module) and not is_plain(module) and within(name, names) < 2 <= within(name, weights)
    }


def named_blocks(flow: Flow) -> list[Part]:
    """The finest stages under their names: the first is the stem, or embed where it gives tokens; the last the head."""
    parts = flow.parts()
    if len(parts) < 2:
        raise InputError("between its first weights and its last there is no place where one tensor alone crosses")
    word = parts[0].name.split(".")[0]
    if STEM.match(word):
        several = list(takewhile(lambda part: part.name.split(".")[0] == word, parts[:-1]))
        parts = [replace(several[0], stop=several[-1].stop), *parts[len(several) :]]
    tokens = flow.cuts[parts[0].stop - 1][0].meta["values"][0].ndim == 3
    first, last = replace(parts[0], name="embed" if tokens else "stem"), replace(parts[-1], name="head")
    return [first, *(replace(part, name=below_head(part.name)) for part in parts[1:-1]), last]


def below_head(name: str) -> str:
    """The name of a stage below the head: neck.0 for a module head.0, as of SelecSLS."""
    return re.sub(r"^head(?=\.|$)", "neck", name)


def merged(parts: list[Part], starts: Mapping[int, str]) -> list[Part]:
    """Coarser parts: `starts` has the position of the first part of each, in their order, and its name."""
    ends = [*list(starts)[1:], len(parts)]
    return [
        Part(name, parts[start].start, parts[end - 1].stop)
        for (start, name), end in zip(starts.items(), ends, strict=True)
    ]


def two_words(name: str) -> str:
    """The first two words of a module's name: features.1 of features.1.0."""
    return ".".join(name.split(".")[:2])


def stage_starts(flow: Flow, parts: list[Part]) -> dict[int, str]:
    """Where the stages begin that a library's authors see, such as layer1 of layer1.0 and layer1.1, and their names.

    A list of lists has one for each of these, a flat list one for each size of its maps.
    """
    begun = [next(node for node in flow.steps[part.start :] if flow.is_weight(node)) for part in parts]
    names = [below_head(flow.path(node)) for node in begun]
    lists = Counter(two_words(name) for name in names if name.count(".") > 1)
    nested = {name.split(".")[0] for name, parts_of in lists.items() if parts_of > 1}
    keys = []
    for name, part in zip(names[:-1], parts[:-1], strict=True):
        shape = flow.cuts[part.stop - 1][0].meta["values"][0].shape
        word = name.split(".")[0]
        keys.append((two_words(name), ()) if word in nested else (word, tuple(shape[2:]) if len(shape) == 4 else ()))
    starts = [position for position in range(len(keys)) if position == 0 or keys[position] != keys[position - 1]]
    times = Counter(keys[position][0] for position in starts)
    coarse = {
        position: keys[position][0] if times[keys[position][0]] == 1 else parts[position].name for position in starts
    }
    return {**coarse, 0: parts[0].name, len(parts) - 1: parts[-1].name}


def listed_starts(listed: tuple[str, ...], coarse: Mapping[int, str], parts: list[Part]) -> dict[int, str]:
    """Where the stages begin that a user has listed, by the names of blocks or of the library's stages."""
    positions = {name: position for position, name in coarse.items()} | {
        part.name: position for position, part in enumerate(parts)
    }
    starts = [positions.get(name, -1) for name in listed]
    if starts[:1] != [0] or starts[-1] != len(parts) - 1 or starts != sorted(set(starts)):
        legal = [name for name, position in sorted(positions.items(), key=lambda item: item[1])]
        raise InputError(
            f"stages lists {in_words(list(listed))}; list names of these in their order, the first and the last among "
            f"them: {', '.join(legal)}"
        )
    return dict(zip(starts, listed, strict=True))


def chosen_parts(flow: Flow, architecture: LibraryModel) -> list[Part]:
    """The stages of the granularity that an architecture asks for, or those that it lists."""
    parts = named_blocks(flow)
    if architecture.stages is not None:
        parts = merged(parts, listed_starts(architecture.stages, stage_starts(flow, parts), parts))
    elif architecture.granularity == "stage":
        parts = merged(parts, stage_starts(flow, parts))
    names = [part.name for part in parts]
    if within := [(a, b) for a in names for b in names if b.startswith(f"{a}.")]:
        raise InputError(f"a stage cannot be called {within[0][0]} where another is called {within[0][1]}; list others")
    return parts


def refuse_random(network: Staged) -> None:
    """Refuse a stage that borrows what draws random numbers: frozen stages are replaced by those of other networks."""
    for stage in network:
        near = set(stage.modules())
        lent = [module.lent[0] for module in near if isinstance(module, Borrowed)]
        if any(random.p > 0 for module in lent if module not in near for _, random in random_modules(module)):
            raise InputError("one of its modules that draw random numbers is used in more than one stage")


def assemble(flow: Flow, parts: list[Part]) -> Staged:
    """The network of the chosen parts; that each entry of the model's state is in one of them is made sure."""
    model, used = flow.whole.model, set[nn.Module]()
    names: dict[Tensor, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(tensor, []).append(name)
    network = Staged({part.name: Builder(flow).build(part, used) for part in parts})
    network.linked = flow.linked
    network.library_metadata = getattr(model.state_dict(), METADATA)
    lend(network)
    refuse_random(network)
    ours = network.state_dict(keep_vars=True)
    if unused := [names[tensor][0] for tensor in names.keys() - set(ours.values())]:
        raise InputError(f"{min(unused)} takes no part in what it gives")
    if len(names) != len(ours):
        raise InputError("two of its modules have a parameter in common")
    network.library_names = {name: names[tensor][0] for name, tensor in ours.items()}
    network.second_names = {second: first for first, *others in names.values() for second in others}
    return network


def stage(model: nn.Module, architecture: LibraryModel, shape: tuple[int, int, int]) -> Staged:
    """A library's model for images of `shape` (C, H, W) as a network of named stages, in training mode.

    It is made of the model's own modules, parameters and buffers, and gives the same logits and gradients. A model
    that cannot be cut, or not for such images, is an InputError.
    """
    name = f"architectures: {architecture.library}'s {architecture.name}"
    if architecture.granularity not in GRANULARITIES:
        raise InputError(
            f"{name}: granularity is one of {in_words(GRANULARITIES, 'or')}, not {architecture.granularity}"
        )
    try:
        flow = find_flow(model, shape, architecture.granularity == "layer")
        return assemble(flow, chosen_parts(flow, architecture)).train()
    except InputError as error:
        raise InputError(f"{name} cannot be cut into the stages asked for: {error}") from None
    except Exception as error:
        if (reason := misfit(model, shape)) is not None:
            raise InputError(
                f"{name} takes no images of {shape[1]}×{shape[2]} ({reason}); change datasets.*.images.size or "
                "augmentation.crop"
            ) from None
        raise InputError(
            f"{name} cannot be cut into stages: its forward code cannot be followed ({first_line(error)})"
        ) from error


def staged_by(make: Callable) -> tuple[Callable, Callable]:
    """`build` and `draw` of a library's module, from what makes the library's own models.

    `make(architecture, shape, classes)` draws their weights. Both give a network for images of `shape` (C, H, W), in
    training mode: normalised (N, C, H, W) → logits (N, classes); `draw` after seeding by `seed_of(1)`, and the
    classifier by the last stage's seed.
    """

    def draw(
        architecture: LibraryModel, shape: tuple[int, int, int], classes: int, seed_of: Callable[[int], int]
    ) -> Staged:
        with seeded(seed_of(1)):
            network = stage(make(architecture, shape, classes), architecture, shape)
        draw_classifiers(network, classes, seed_of(len(network)))
        return network

    def build(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> Staged:
        return draw(architecture, shape, classes, lambda n: 0)

    return build, draw


def misfit(model: nn.Module, shape: tuple[int, int, int]) -> str | None:
    """Why a model does not compute anything for images of `shape`, or None if it does."""
    state = {name: tensor.detach().to("meta") for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    try:
        with torch.no_grad():
            functional_call(model, state, (torch.empty(2, *shape, device="meta"),), tie_weights=False)
    except Exception as error:
        return first_line(error)
    return None


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def replace_random(model: nn.Module, replacements: Mapping[type, Callable[[Any], nn.Module]]) -> nn.Module:
    """Replace a model's modules that draw random numbers by ours, by their class; in position."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) in replacements:
                setattr(module, name, replacements[type(child)](child))
    return model


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generator as it is after seeding, and leave it as it was before."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
