"""Tracing: the calls that a library's model makes for an image, as a graph whose blocks are the model's own modules.

It is torch.fx's symbolic tracing with values: beside each node stand the values that it has for a batch of two images
and for one of three, computed on the meta device, which allocates and multiplies nothing. What both batches agree on,
such as the height of a map, is a number, and Python's branches may depend on it; what they do not agree on depends on
the batch and stays symbolic.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from transferability.errors import InputError
from transferability.networks.dropout import Dropout

BATCHES = (2, 3)
"""The sizes of the two batches."""

PREFIX = "model."
"""What the names of the model's modules begin with in a graph."""

RANDOM = re.compile(r".*dropout.*|bernoulli_?|multinomial|normal_?|uniform_?|randn?(_like)?|randint|randperm")
KEEPING = {
    functional.batch_norm,
    functional.gelu,
    functional.group_norm,
    functional.hardsigmoid,
    functional.hardswish,
    functional.layer_norm,
    functional.silu,
    functional.softmax,
}
"""Functions that give as many values as they take, and overwrite nothing."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
Recorded = dict[tuple[str, int], list]
"""What modules gave in an earlier tracing, call by call, by their names and the number of the batch."""

FIXED = (bool, int, float, str, type(None))


def is_plain(module: nn.Module) -> bool:
    """Whether a module is nothing but a list of others."""
    return type(module) in CONTAINERS


def are_blocks(modules: list[nn.Module]) -> bool:
    """Whether modules are of one class that is none of torch's: ResNet's BasicBlock, say."""
    (kind,) = {type(module) for module in modules} if len({type(module) for module in modules}) == 1 else (nn.Module,)
    return not kind.__module__.startswith("torch.nn") and any(True for _ in modules[0].parameters())


def holds_blocks(module: nn.Module) -> bool:
    """Whether a module is to be opened: a plain list, or one of whose lists of children consists of blocks."""
    children = list(module.children())
    lists = [children, *(list(child.children()) for child in children if is_plain(child))]
    return is_plain(module) or any(are_blocks(modules) for modules in lists if modules)


def is_torchs(module: nn.Module) -> bool:
    """Whether a module is one of torch's layers, which is never opened."""
    return type(module).__module__.startswith("torch.nn") and not is_plain(module)


class Whole(nn.Module):
    """A model, as the only child of what is traced; constants of the graph are kept beside it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class Watch(TorchFunctionMode):
    """Refuses random numbers that do not come from a generator of our own, as they could not be drawn again.

    It also gives the shapes of functions that keep them, for which the meta device takes ten times as long.
    """

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        unrepeatable = RANDOM.fullmatch(name) and "generator" not in kwargs and kwargs.get("training", True)
        attention = name == "scaled_dot_product_attention" and kwargs.get("dropout_p", 0) > 0
        if attention or (unrepeatable and kwargs.get("p", 1) != 0 and 0 not in args[1:2]):
            raise InputError(f"it draws random numbers of its own in training ({name}); set that option to 0")
        if func in KEEPING and not kwargs.get("inplace"):
            return torch.empty_like(args[0] if args else kwargs["input"])
        return func(*args, **kwargs)


class Valued(fx.Proxy):
    """A node's output in the forward code of a model that is being traced."""

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.node.meta["values"][0], name)
        if callable(attribute):
            return fx.proxy.Attribute(self, name)
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __len__(self) -> int:
        return len(self.node.meta["values"][0])

    def __iter__(self) -> Any:
        return iter(entries(self, len(self)))

    def __bool__(self) -> bool:
        raise TypeError("a branch depends on the images or on their number")


def entries(proxy: Any, count: int) -> list[Any]:
    """The entries of a node's output, which is a sequence, as outputs of nodes of their own."""
    return [proxy[index] for index in range(count)]


def mutable(value: Any) -> Any:
    """Arguments as a model's code gives them: fx keeps lists and mappings that cannot be changed."""
    if isinstance(value, dict):
        return {key: mutable(entry) for key, entry in value.items()}
    if type(value) is tuple or isinstance(value, list):
        return (tuple if isinstance(value, tuple) else list)(mutable(entry) for entry in value)
    return value


class Tracer(fx.Tracer):
    """Traces a model with some modules opened, all others as they are.

    An opened module whose code cannot be followed is closed again; `closed` says why, by its name.
    """

    proxy_buffer_attributes = True

    def __init__(self, opened: Callable[[nn.Module], bool], shape: tuple[int, int, int], recorded: Recorded) -> None:
        super().__init__()
        self.opened, self.shape, self.recorded = opened, shape, recorded
        self.closed: dict[nn.Module, str] = {}
        self.evaluating = False
        self.metas: dict[nn.Module, dict[str, Tensor]] = {}

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return (
            isinstance(module, nn.Module)
            and name not in ("", "model")
            and (module in self.closed or is_torchs(module) or not self.opened(module))
        )

    def call_module(self, module: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        if self.evaluating:
            return forward(*args, **kwargs)
        name = self.path_of_module(module)
        if name == "model" or self.is_leaf_module(module, name):
            return super().call_module(module, forward, args, kwargs)
        before, stack = len(self.graph.nodes), dict(self.module_stack)
        try:
            return super().call_module(module, forward, args, kwargs)
        except InputError:
            raise
        except Exception as error:
            self.closed[module] = str(error)
            for node in reversed(list(self.graph.nodes)[before:]):
                self.graph.erase_node(node)
            self.module_stack.clear()
            self.module_stack.update(stack)
            return super().call_module(module, forward, args, kwargs)

    def getattr(self, attribute: str, value: Any, cache: dict) -> Any:
        # Without the cache: what an attempt has put into it is erased where the attempt fails.
        return value if self.evaluating else super().getattr(attribute, value, {})

    def proxy(self, node: fx.Node) -> Valued:
        return Valued(node, self)

    def create_proxy(self, kind: str, target: Any, args: tuple, kwargs: dict, *names: Any, **more: Any) -> Any:
        if target is functional.dropout and not self.evaluating:
            return self.drop(*args, **kwargs)
        proxy = super().create_proxy(kind, target, args, kwargs, *names, **more)
        values = tuple(self.evaluate(proxy.node, batch) for batch in (0, 1))
        proxy.node.meta["values"] = values
        proxy.node.meta["version"] = values[0]._version if isinstance(values[0], Tensor) else 0
        return self.settled(proxy, *values)

    def drop(self, images: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        """A call of the function dropout becomes one of a module, whose masks can be drawn again."""
        name = f"dropout{sum(isinstance(child, Dropout) for child in self.root.children())}"
        self.root.add_module(name, Dropout(p))
        if self.submodule_paths is not None:
            self.submodule_paths[self.root.get_submodule(name)] = name
        return self.create_proxy("call_module", name, (images,), {})

    def settled(self, proxy: fx.Proxy, first: Any, second: Any) -> Any:
        """What the model's code goes on with: numbers on which both batches agree as numbers, the rest as proxies."""
        if isinstance(first, tuple | list) and len(first) == len(second):
            return tuple(entries(proxy, len(first)))
        if isinstance(first, FIXED) and type(first) is type(second) and first == second:
            return first
        return proxy

    def evaluate(self, node: fx.Node, batch: int) -> Any:
        """A node's value for the first or the second batch."""
        args = mutable(fx.map_arg(node.args, lambda other: self.value(other, batch)))
        kwargs = mutable(fx.map_arg(node.kwargs, lambda other: self.value(other, batch)))
        target: Any = node.target
        self.evaluating = True
        try:
            with torch.no_grad(), Watch():
                match node.op:
                    case "placeholder":
                        return torch.empty(BATCHES[batch], *self.shape, device="meta")
                    case "get_attr":
                        return self.attribute(target)
                    case "call_module" if calls := self.recorded.get((target, batch)):
                        return tree_map_only(Tensor, torch.empty_like, calls.pop(0))
                    case "call_module":
                        return self.call_on_meta(self.root.get_submodule(target), args, kwargs)
                    case "call_method":
                        return getattr(args[0], target)(*args[1:], **kwargs)
                return target(*args, **kwargs)
        finally:
            self.evaluating = False

    def value(self, node: fx.Node, batch: int) -> Any:
        """A node's value as an argument; constants are nodes that fx makes by itself."""
        if "values" not in node.meta:
            node.meta |= {"values": (self.evaluate(node, 0), self.evaluate(node, 1)), "version": 0}
        return node.meta["values"][batch]

    def attribute(self, name: str) -> Any:
        """A parameter, buffer or constant by its name, on the meta device."""
        parent, _, last = name.rpartition(".")
        value = getattr(self.root.get_submodule(parent), last)
        return value.detach().to("meta") if isinstance(value, Tensor) else value

    def call_on_meta(self, module: nn.Module, args: tuple, kwargs: dict) -> Any:
        """What a module gives on the meta device."""
        if module not in self.metas:
            named = (*module.named_parameters(), *module.named_buffers())
            self.metas[module] = {name: tensor.detach().to("meta") for name, tensor in named}
        # What it would do for tied weights puts tensors of the meta device into a module that has another one twice.
        return functional_call(module, self.metas[module], args, kwargs, tie_weights=False)


def trace(
    model: nn.Module, shape: tuple[int, int, int], opened: Callable[[nn.Module], bool], recorded: Recorded | None = None
) -> tuple[Whole, fx.Graph]:
    """The graph that a model computes for images of `shape` (C, H, W), and the module that its names start from.

    With what `record` has of an earlier graph, modules are not called again.
    """
    whole = Whole(model)
    return whole, Tracer(opened, shape, dict(recorded or {})).trace(whole)


def record(graph: fx.Graph) -> Recorded:
    """What the modules gave that a graph calls."""
    recorded: Recorded = {}
    for node in graph.nodes:
        if node.op == "call_module":
            for batch, value in enumerate(node.meta["values"]):
                recorded.setdefault((node.target, batch), []).append(value)
    return recorded
