import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import transferability
from transferability import provenance
from transferability.provenance import fingerprint, git_revision, imported_modules, significant_text, versions

PACKAGE = Path(transferability.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__init__"
)

FUNCTION = """
def area(width, height):
    if width < 0:
        raise ValueError("no # width")
    return width * height
"""

REALLY_IMPORTED = """
import importlib, json, sys
modules, imported = sys.argv[1:], {}
for module in modules:
    for name in [name for name in sys.modules if name.startswith("transferability")]:
        del sys.modules[name]
    importlib.import_module(f"transferability.{module}")
    imported[module] = sorted(name.partition(".")[2] for name in sys.modules if name.startswith("transferability."))
print(json.dumps(imported))
"""

FINGERPRINT = "import sys; from transferability.provenance import fingerprint; print(fingerprint(*sys.argv[1:]))"


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the package, to edit."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "src" / "transferability"))


def change(copy: Path, module: str, line: str = "CHANGED = True") -> None:
    """Add a line to a module of a copy of the package."""
    with open(copy / f"{module.replace('.', '/')}.py", "a") as file:
        file.write(f"\n\n{line}\n")


def fingerprint_of(copy: Path, *modules: str) -> str:
    """What a copy of the package says of itself, in a Python of its own."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    command = [sys.executable, "-c", FINGERPRINT, *modules]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "other",
    [
        "# what follows is an area\n" + FUNCTION,
        FUNCTION.replace("height):", "height):  # in metres"),
        FUNCTION.replace("    if", "    # width first\n    if"),
        FUNCTION.replace("    if", '    """The area of a rectangle."""\n    if'),
        FUNCTION.replace("    if", '    """The area of a rectangle.\n\n    # in square metres\n    """\n    if'),
        '"""Areas."""\n' + FUNCTION,
        "\n\n" + FUNCTION.replace("    if", "\n    if") + "\n\n",
        FUNCTION.replace("height\n", "height   \n"),
    ],
    ids=["above", "behind", "between", "docstring", "long docstring", "of the module", "blank lines", "blanks"],
)
def test_comments_docstrings_and_blank_lines_do_not_matter(other):
    assert other != FUNCTION
    assert significant_text(other) == significant_text(FUNCTION)


@pytest.mark.parametrize(
    "other",
    [
        FUNCTION.replace("width * height", "width + height"),
        FUNCTION.replace("width < 0", "width <= 0"),
        FUNCTION.replace("no # width", "no # height"),
        FUNCTION.replace("no # width", "no width"),
        FUNCTION.replace("area", "surface"),
        FUNCTION.replace("    return", "        return"),
        FUNCTION + "area(1, 2)\n",
        FUNCTION + "class TooLarge(ValueError): ...\n",
    ],
    ids=["operator", "comparison", "string", "string with a hash", "name", "indentation", "call", "ellipsis"],
)
def test_code_and_strings_matter(other):
    assert significant_text(other) != significant_text(FUNCTION)


def test_a_string_that_looks_like_a_comment_or_a_docstring_stays():
    source = 'TEXT = """\n# no comment\n"""\nprint("""no docstring""")\n'
    assert significant_text(source) == source.strip()


@pytest.mark.parametrize("source", ['TEXT = (\n    "one"\n    "two"\n)\n', 'TEXT = \\\n    "two"\n', 'r"two"\n'])
def test_a_string_alone_on_its_line_matters_unless_it_is_a_statement(source):
    assert significant_text(source) != significant_text(source.replace("two", "three"))


def test_a_blank_line_or_trailing_blank_inside_a_string_matters():
    assert significant_text('TEXT = """a\n\nb"""\n') != significant_text('TEXT = """a\nb"""\n')
    assert significant_text('TEXT = """a \nb"""\n') != significant_text('TEXT = """a\nb"""\n')


def test_code_beside_a_docstring_on_one_line_matters():
    assert significant_text('def f(): "one"\n') != significant_text('def g(): "one"\n')
    assert significant_text('x = 1; "one"\n') != significant_text('x = 2; "one"\n')


def test_comments_behind_characters_of_several_bytes_are_cut_in_the_right_place():
    assert significant_text('x = "×–鳥"  # y\n') == 'x = "×–鳥"'


def test_imports_of_modules_of_the_package_are_found_wherever_they_stand():
    source = """
import json
from pathlib import Path
from transferability import files, provenance as p
from transferability.errors import InputError
def late():
    from transferability.data.tasks import open_task
    try:
        import transferability.locks
    except ImportError:
        from transferability.networks import notation as n
"""
    assert imported_modules(source) == {"files", "provenance", "errors", "data.tasks", "locks", "networks.notation"}


def test_what_the_package_lacks_is_no_module_of_it():
    source = "from transferability import __version__\nfrom transferable.files import x\nfrom torch import nn\n"
    assert imported_modules(source) == set()


def test_the_same_code_has_the_same_fingerprint_wherever_it_lies(copy):
    assert fingerprint_of(copy, "training.job") == fingerprint("training.job")


def test_every_module_has_a_fingerprint_of_its_own():
    fingerprints = {fingerprint(module) for module in MODULES}
    assert len(fingerprints) == len(MODULES)
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in fingerprints)


@pytest.mark.parametrize(
    ("edited", "module"),
    [
        ("training.job", "training.job"),
        ("networks.checkpoints", "training.job"),  # near
        ("errors", "training.job"),  # far: by way of files and others
        ("networks.checkpoints", "evaluation.evaluating"),
        ("data.packed", "data.splits"),
        ("figures.drawing", "figures.drawing"),
        ("files", "figures.drawing"),
    ],
)
def test_an_edit_of_a_module_near_or_far_changes_the_fingerprint(copy, edited, module):
    change(copy, edited)
    assert fingerprint_of(copy, module) != fingerprint(module)


@pytest.mark.parametrize(
    ("edited", "module"),
    [
        ("figures.drawing", "training.job"),
        ("analysis.gathering", "training.job"),
        ("training.job", "data.packing"),
        ("networks.alexnet", "data.splits"),
    ],
)
def test_an_edit_of_a_module_that_is_not_imported_does_not_change_the_fingerprint(copy, edited, module):
    change(copy, edited)
    assert fingerprint_of(copy, edited) != fingerprint(edited)
    assert fingerprint_of(copy, module) == fingerprint(module)


def test_a_comment_in_an_imported_module_does_not_change_the_fingerprint(copy):
    change(copy, "networks.checkpoints", "# A remark.")
    assert fingerprint_of(copy, "training.job") == fingerprint("training.job")


def test_a_new_import_brings_the_imported_module_into_the_fingerprint(copy):
    source = (copy / "data/packing.py").read_text()
    (copy / "data/packing.py").write_text(
        source.replace("from transferability import files\n", "from transferability import devices, files\n")
    )
    before = fingerprint_of(copy, "data.packing")
    change(copy, "devices")
    assert before != fingerprint("data.packing")
    assert fingerprint_of(copy, "data.packing") != before


def test_a_module_that_moves_changes_no_fingerprint(copy):
    for path in copy.rglob("*.py"):
        text = path.read_text().replace("transferability.data.groups import", "transferability.clusters.named import")
        path.write_text(text)
    (copy / "clusters").mkdir()
    (copy / "clusters/__init__.py").touch()
    (copy / "data/groups.py").rename(copy / "clusters/named.py")
    assert fingerprint_of(copy, "data.splits") == fingerprint("data.splits")


def test_the_same_name_from_another_module_changes_the_fingerprint(copy):
    path = copy / "data/splits.py"
    source = path.read_text()
    assert "from transferability.data.groups import groups_of, " in source
    path.write_text(source.replace("data.groups import groups_of", "data.duplicates import groups_of"))
    assert fingerprint_of(copy, "data.splits") != fingerprint("data.splits")


def test_a_module_chosen_by_name_is_in_the_fingerprint_of_who_names_it(copy):
    (copy / "networks/residual.py").write_text("STAGES = 18\n")
    alone, named = fingerprint_of(copy, "training.job"), fingerprint_of(copy, "training.job", "networks.residual")
    assert alone == fingerprint("training.job") != named
    change(copy, "networks.residual")
    assert fingerprint_of(copy, "training.job") == alone
    assert fingerprint_of(copy, "training.job", "networks.residual") != named


def test_a_module_that_the_package_lacks_has_no_fingerprint():
    with pytest.raises(ValueError, match="the package has no module"):
        fingerprint("networks.nothing")


def test_rooms_import_nothing_by_themselves():
    for path in PACKAGE.rglob("__init__.py"):
        assert not imported_modules(path.read_text()), path


def test_a_fingerprint_covers_the_modules_that_python_really_imports_and_no_others(copy, monkeypatch):
    """Every module is edited in turn; the fingerprints that change are those of the modules that import it."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    command = [sys.executable, "-c", REALLY_IMPORTED, *MODULES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout)
    assert {"errors", "files", "networks.checkpoints", "data.tasks"} < set(imported["training.job"])

    monkeypatch.setattr(provenance, "PACKAGE", copy)
    before = {module: fingerprint(module) for module in MODULES}
    for edited in MODULES:
        path = copy / f"{edited.replace('.', '/')}.py"
        source = path.read_text()
        path.write_text(f"{source}\nCHANGED = True\n")
        provenance.module_hash.cache_clear()
        changed = [module for module in MODULES if fingerprint(module) != before[module]]
        assert changed == [module for module in MODULES if edited in imported[module]], edited
        path.write_text(source)


def test_the_revision_of_a_checkout_says_whether_tracked_files_differ(copy, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    git = ["git", "-C", copy, "-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "files.py"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--no-verify", "--message", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_revision() == head
    (copy / "files.py").write_text("changed = True\n")
    assert git_revision() == f"{head}+changes"


def test_outside_a_checkout_there_is_no_revision(copy, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(copy.parents[1]))
    assert git_revision() is None


def test_another_projects_repository_around_this_code_gives_no_revision(copy, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    outer = copy.parent
    git = ["git", "-C", outer, "-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    (outer / "README").write_text("Another project")
    subprocess.run([*git, "add", "README"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--no-verify", "--message", "first"], check=True)
    assert git_revision() is None
    monkeypatch.setenv("GIT_DIR", str(outer / ".git"))
    assert git_revision() is None


def test_a_hooks_repository_is_not_taken_for_the_codes(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    for place, file in ((copy, "files.py"), (tmp_path, "other")):
        git = ["git", "-C", place, "-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        subprocess.run([*git, "init", "--quiet"], check=True)
        (place / file).touch()
        subprocess.run([*git, "add", file], check=True)
        subprocess.run([*git, "commit", "--quiet", "--no-verify", "--message", f"of {place}"], check=True)
    head = git_revision()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert git_revision() == head


def test_without_git_there_is_no_revision(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision() is None


def test_versions_name_python_the_machine_and_the_libraries_that_results_depend_on():
    found = versions()
    assert set(found) == {"python", "machine", "numpy", "safetensors", "torch"}
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert torch.__version__.split("+")[0] == found["torch"].split("+")[0]


def test_an_edit_of_a_table_that_a_module_names_changes_the_fingerprint(copy):
    before = {module: fingerprint_of(copy, module) for module in ("data.distances", "data.splits", "training.job")}
    with open(copy / "facts" / "wordnet.csv", "a") as file:
        file.write("n99999999,n00001740\n")
    after = {module: fingerprint_of(copy, module) for module in before}
    assert {module for module in before if before[module] != after[module]} == {"data.distances", "data.splits"}
