"""The rooms of the package and their walls: who may import whom, held against the imports themselves."""

import re
import subprocess
import sys
from pathlib import Path

import transferability
from transferability.provenance import imported_modules

PACKAGE = Path(transferability.__file__).parent
CHECKOUT = PACKAGE.parents[1]

GROUND = {"errors", "files", "locks", "orphans", "devices", "provenance", "words", "facts", "forms"}
BELOW = {
    "data": set(),
    "networks": set(),
    "training": {"data", "networks"},
    "evaluation": {"data", "networks", "training"},
    "analysis": {"data", "networks", "training", "evaluation"},
    "figures": {"data", "networks", "training", "evaluation", "analysis"},
    "study": {"data.groups", "data.patching"}
    | {f"networks.{name}" for name in ("notation", "recipes", "stages", "families")},
    "cluster": set(),
    # The two doors: a command finds its module by name, and scripts read what runs have made.
    "console": set(),
    "api": {"data", "networks", "training", "evaluation", "analysis"},
}
"""What each room may see of the others; all see the ground, which sees none of them."""


def imports() -> dict[str, set[str]]:
    """Every module of the package by its dotted name inside it, and the modules of the package that it imports."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): imported_modules(
            path.read_text(encoding="utf-8")
        )
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE or path.stem != "__init__"
    }


def test_every_module_is_in_a_room_or_on_the_ground():
    rooms = {name.partition(".")[0] for name in imports()}
    assert rooms == GROUND | BELOW.keys()


def test_no_import_goes_up_or_through_a_wall():
    wrong = []
    for module, others in imports().items():
        room = module.partition(".")[0]
        for other in others:
            place = other.partition(".")[0]
            open_to = GROUND if room in GROUND else GROUND | {room} | BELOW[room]
            if place not in open_to and other not in open_to:
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_no_imports_form_a_circle():
    graph, order = imports(), []
    while graph:
        free = [module for module, others in graph.items() if not others & graph.keys()]
        assert free, f"a circle among {sorted(graph)}"
        order += free
        graph = {module: others for module, others in graph.items() if module not in free}
    assert "figures.drawing" in order


def workflow_imports() -> dict[str, list[str]]:
    """The statements by which each file of the workflow imports from this package; it is no Python."""
    return {
        path.name: re.findall(r"^from transferability.*$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in (CHECKOUT / "workflow").rglob("*")
        if path.name == "Snakefile" or path.suffix == ".smk"
    }


def test_what_the_workflow_imports_loads_neither_torch_nor_pandas_nor_matplotlib():
    statements = [statement for file in workflow_imports().values() for statement in file]
    modules = sorted(imported_modules("\n".join(statements)))
    assert {"provenance", "study.params", "cluster.hooks"} <= set(modules)
    code = f"import sys\nsys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    code += "".join(f"import transferability.{module}\n" for module in modules)
    code += "print(sorted({'torch', 'pandas', 'matplotlib', 'torchvision', 'timm', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_file_of_the_workflow_imports_what_it_uses_and_nothing_else():
    bodies = {
        path.name: re.sub(r"^(from|import|#) .*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for path in (CHECKOUT / "workflow").rglob("*.smk")
    }
    imported = {
        file: {name.strip() for statement in statements for name in statement.partition(" import ")[2].split(",")}
        for file, statements in workflow_imports().items()
    }
    assert imported.pop("Snakefile") == set()
    every = set().union(*imported.values())
    for file, names in imported.items():
        used = {name for name in every if re.search(rf"\b{name}\(|\b{name}\b(?! *=)", bodies[file])}
        assert used == names, file
