"""The page of a study: it stands alone, states the tables' numbers, and a browser shows it without complaint."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from planted import GAINS, PRETRAINED_GAINS, STAGES, plant
from test_figures import command, draw, write_tables

from transferability import files
from transferability.analysis.coverage import coverage_table
from transferability.analysis.effects import effects_table
from transferability.analysis.tables import write_table
from transferability.analysis.yosinski2014 import read_published
from transferability.figures import drawing
from transferability.figures.effect_texts import effect_tables
from transferability.figures.page import Places, coverage_cells, write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path, in which the page is opened")


def run_record(network: dict) -> dict:
    """A run.json, as training writes it."""
    base = network["treatment"] == "base"
    identity = {name: network[name] for name in ("treatment", "n", "target")}
    return {
        "network": {"name": network["network"], "source": None if base else network["source"], **identity},
        "model_sha256": "0" * 64,
        "inputs": {},
        "code": "0123456789abcdef",
        "parameters": {"schedule": {"steps": 300 if base else 150}, "seed": network["seed"]},
        "versions": {"python": "3.11.7", "machine": "x86_64", "torch": "2.11.0"},
        "git": "0123456789abcdef0123456789abcdef01234567",
        "device": "cpu",
        "threads": 1,
        "images_seen": 9600,
        "job": {"networks": 3, "seconds": 54.0, "training_seconds": 48.0},
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A planted study on disk with a network that is missing and one that did not train; its page is report.html."""
    folder = tmp_path_factory.mktemp("study")
    networks = plant(GAINS, noise=iter([0.001 * (i * 7 % 5) for i in range(100)]).__next__)
    networks.loc[networks["network"] == "R7A", ["trained", "reason"]] = [False, "the loss is that of <guessing>"]
    tables = write_tables(folder / "results/digits/tiny", networks)
    absent = [
        {"dataset": "digits", "architecture": "tiny", "kind": "random", "split": "random3", "seed": 0}
        | {"network": "A2B", "reason": "there is no such file"}
    ]
    write_table(tables / "coverage.csv", coverage_table(networks, absent))
    for network in networks.to_dict("records"):
        place = folder / f"models/digits/tiny/{network['split']}/seed{network['seed']}/{network['network']}"
        files.write_json(place / "run.json", run_record(network))
    for split in sorted(set(networks["split"])):
        part = {"train": {"x": [1, 2, 3]}, "validation": {"x": [4]}, "test": {"x": [5, 6]}}
        tasks = {"A": {"classes": ["cat & dog"], **part}, "B": {"classes": ["boat", "car"], **part}}
        content = {"kind": "random", "content": "0" * 64, "normalisation": {"mean": [0.5], "std": [0.5]}}
        files.write_json(folder / f"data/splits/digits/{split}.json", content | {"tasks": tasks})
    assert draw(tables, tables / "figures", "experiment", "figure2", "effects", "volume").returncode == 0
    done = page_of(folder)
    assert done.returncode == 0, done.stderr
    return folder


def page_of(folder: Path, into: str = "report.html") -> subprocess.CompletedProcess:
    tables = folder / "results/digits/tiny"
    return command(
        "figures.page",
        *("--tables", tables, "--figures", tables / "figures", "--models", folder / "models/digits/tiny"),
        *("--splits", folder / "data/splits/digits", "--read-out", "test_top1", "--into", tables / into),
    )


@pytest.fixture
def page(study) -> str:
    return (study / "results/digits/tiny/report.html").read_text()


def text_of(page: str) -> str:
    """A page's text on one line, without tags."""
    return " ".join(html.unescape(re.sub(r"<(style|script)[ >].*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def test_the_page_stands_alone(page):
    """Nothing is fetched: scripts and figures are in it, links lead to files beside the page."""
    assert not re.findall(r'src="(?!data:)', page)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert not re.findall(r"@import|url\((?!#)", page)


def test_links_lead_to_the_files_of_the_networks(study, page):
    """Weights, histories and metrics are not part of this planted study; records and figures are."""
    links = re.findall(r'href="([^"#]+)"', page)
    place = study / "results/digits/tiny"
    for link in links:
        if link.endswith(("run.json", ".csv", ".svg", ".png")) and not link.endswith("history.csv"):
            assert (place / link).resolve().exists(), link
    assert "../../../models/digits/tiny/random0/seed0/A4B/model.safetensors" in links
    assert "random0/seed0/A4B.json" in links


def test_the_page_states_the_tables_numbers(study, page):
    text = text_of(page)
    captions = json.loads((study / "results/digits/tiny/figures/captions.json").read_text())
    assert captions["figure2"]["caption"] in text
    assert f"volume is not drawn: {captions['volume']['caption']}" in text
    # Planted: frozen transfer costs 3, 12 and 21 points.
    assert re.search(r"Frozen transfer AnB − base −3\.\d .*? −12\.\d .*? −2[01]\.\d ", text)
    assert "did not train: 4; missing: 1" in text
    assert "A2B random3 0 missing there is no such file" in text
    assert "the loss is that of <guessing>" in text, "what tables hold is no markup"
    assert "1 class: cat & dog (3 images to train, 1 to validate, 2 to test)" in text


def test_the_page_says_what_the_networks_were_made_with(page):
    text = text_of(page)
    assert "Git revision 0123456789ab " in text
    assert "python 3.11.7, torch 2.11.0" in text
    assert "18.0 seconds a network" in text
    assert 'schedule, base {"steps": 300}' in text
    assert 'schedule, transferred {"steps": 150}' in text


def test_the_same_study_gives_the_same_page(study):
    assert page_of(study, "again.html").returncode == 0
    folder = study / "results/digits/tiny"
    assert (folder / "again.html").read_bytes() == (folder / "report.html").read_bytes()


def test_the_page_is_well_formed(page):
    """Every element that is opened is closed, in order."""
    void, open_elements = {"meta", "link", "img", "br", "input"}, []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in void:
                open_elements.append(tag)

        def handle_endtag(self, tag):
            assert open_elements.pop() == tag, self.getpos()

    Parser().feed(page)
    assert open_elements == []


def test_networks_whose_split_cannot_be_read_are_counted_last():
    absent = {"dataset": "digits", "architecture": "tiny", "kind": "unknown", "split": "torn", "seed": 0}
    coverage = coverage_table(plant(), [absent | {"network": "baseA", "reason": "there is no such file"}])
    rows = coverage_cells(coverage)["rows"]
    assert (rows[-1]["kind"], rows[-1]["cells"][0]["text"]) == ("Splits that cannot be read", "0/1")
    assert {row["kind"] for row in rows[:-1]} == {"Random halves of the classes"}


def test_a_study_of_one_layer_has_no_row_over_all_and_no_cell_says_that_nothing_is_paired():
    networks = plant({name: GAINS[name] for name in ("base", "transfer")}, layers=(4,))
    (table,) = effect_tables(effects_table(networks, unbalanced=False), "test_top1")
    (row,) = table["rows"]
    assert [cell["mean"] for cell in row["cells"]] == ["−12.0", ""]
    assert row["cells"][1]["title"] == "no such row in effects.csv"


def test_a_record_that_is_not_whole_is_named(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "copy")
    (copy / "models/digits/tiny/random1/seed0/A4B/run.json").write_text('{"network": {}}')
    done = page_of(copy)
    assert done.returncode == 1
    assert "random1/seed0/A4B/run.json: not in its form (" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_of_a_pretrained_network_has_its_stages_effects_and_headlines_on_the_page(tmp_path):
    drawn = np.random.default_rng(0)
    networks = plant(PRETRAINED_GAINS, layers=tuple(STAGES), stages=STAGES, noise=lambda: drawn.normal(0, 0.002))
    tables = write_tables(tmp_path, networks)
    assert draw(tables, tables / "figures", "figure2").returncode == 0
    fixed = ("--read-out", "test_top1", "--into", tmp_path / "page.html")
    done = command("figures.page", "--tables", tables, "--figures", tables / "figures", *fixed)
    assert done.returncode == 0, done.stderr
    text = text_of((tmp_path / "page.html").read_text())
    # Planted: the pretrained stages add 5 points and lose 1 a stage, so the first cut is best, and 7 on lose.
    assert re.search(r"Freeze stage 1 \(stem\): \+[34]\.\d points \(95 %: \S+ to \S+\) against training", text)
    assert re.search(r"From n = [67] on frozen features lose, most with −\d\.\d points .*? at n = 12", text)
    assert re.search(r"Fine-tune what is copied: it gains \+4\.\d points", text)
    assert "Pretrained over random PnB − RnB +6." in text or "Pretrained over random PnB − RnB +7." in text
    assert "Effect 1 stem 2 layer1.0 3 layer1.1 " in text
    assert "Pretrained over random PnB − RnB: what the pretrained weights add to the same layers untrained" in text


def test_the_original_has_a_page_without_networks_or_splits(tmp_path):
    original, absent = read_published()
    tables = write_tables(tmp_path, original)
    write_table(tables / "coverage.csv", coverage_table(original, absent))
    fixed = ("--read-out", "mean_of_ten_best")
    drawn = command(
        "figures.drawing",
        *("--tables", tables, "--draw", "figure2", *fixed, "--unbalanced", "true"),
        *("--width", 6.5, "--dpi", 50, "--into", tables / "figures"),
    )
    assert drawn.returncode == 0, drawn.stderr
    done = command(
        "figures.page", "--tables", tables, "--figures", tables / "figures", *fixed, "--into", tmp_path / "report.html"
    )
    assert done.returncode == 0, done.stderr
    text = text_of((tmp_path / "report.html").read_text())
    assert "These are published numbers" in text
    assert "missing: 120" in text


PROBE = """<script>onload = () => setTimeout(async () => {
  const all = query => [...document.querySelectorAll(query)], one = query => document.querySelector(query);
  const width = box => Math.round(box.getBoundingClientRect().width), wait = () => new Promise(requestAnimationFrame);
  const points = () => all("#chart a").length;
  const right = Math.max(...all("main *").filter(box => !box.closest(".scroll") && !box.closest("svg"))
    .map(box => box.getBoundingClientRect().right));
  const told = {
    width: innerWidth, content: document.documentElement.scrollWidth, right,
    figures: all("figure svg").map(width), height: document.documentElement.scrollHeight,
    first: one("figure").getBoundingClientRect().bottom, paper: getComputedStyle(document.body).backgroundColor,
    text: all("figure svg text").length, filter: getComputedStyle(one("figure svg")).filter, points: points(),
  };
  const first = one("#chart a");
  first.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
  told.hint = one("#tip").hidden ? "" : one("#tip").textContent;
  told.link = first.getAttribute("href");
  one("input[data-key='treatment=transfer']").click();
  told.without = points();
  const before = first.querySelector("circle").getAttribute("cy");
  one("select").value = "mean_of_ten_best"; one("select").dispatchEvent(new Event("change"));
  told.reads = one("#chart a").getAttribute("aria-label");
  one("#list").open = true;
  const field = one("#filter input");
  field.value = "A4B+ random1"; field.dispatchEvent(new Event("input"));
  told.filtered = all("#table tbody tr:not([hidden]) th").map(cell => cell.textContent);
  field.value = ""; field.dispatchEvent(new Event("input"));
  const sorter = all("#table thead button")[3];
  sorter.click(); sorter.click();
  told.sorted = all("#table tbody tr").slice(0, 300).map(row => parseFloat(row.cells[3].textContent));
  told.table = (await unpack("effects.csv")).slice(0, 14);
  parent.postMessage(told, "*");
}, 300)</script>"""
"""What is measured and done in a browser: geometry, a hint, a toggle, a read-out, a filter, sorting, a table."""


ODDS = """<script>onload = () => setTimeout(() => {
  const boxes = [...document.querySelectorAll("main *")].filter(box => !box.closest(".scroll") && !box.closest("svg"));
  parent.postMessage({
    widest: Math.max(document.documentElement.scrollWidth, ...boxes.map(box => box.getBoundingClientRect().right)),
    explored: !document.querySelector("#explore").hidden, points: document.querySelectorAll("#chart a").length,
  }, "*");
}, 300)</script>"""
"""What is looked at on a page of odd names, or of next to nothing."""


def browse(page: Path, width: int, tmp_path: Path, dark: bool = False, probe: str = PROBE) -> tuple[dict, str]:
    """Open a page in headless Chromium: what a probe finds there, and what the console says.

    The script is added to a copy of the page, in a frame of the width, which the window need not have.
    """
    (tmp_path / "page.html").write_text(page.read_text().replace("</body>", f"{probe}</body>"))
    (tmp_path / "frame.html").write_text(
        f'<!doctype html><iframe src="page.html" width="{width}" height="800" style="border:0"></iframe><pre></pre>'
        "<script>onmessage = event => document.querySelector('pre').textContent = JSON.stringify(event.data)</script>"
    )
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=10000"),
            *("--dump-dom", (tmp_path / "frame.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    measured = re.search(r"<pre>(.+?)</pre>", done.stdout)
    assert measured, done.stderr[-2000:]
    return json.loads(html.unescape(measured[1])), done.stderr


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_and_its_figures_at_any_width(study, tmp_path, width, dark):
    told, console = browse(study / "results/digits/tiny/report.html", width, tmp_path, dark)
    assert told["width"] == width
    assert max(told["content"], told["right"]) <= width, "nothing is cut; wide tables scroll by themselves"
    assert len(told["figures"]) == 3
    assert all(500 < shown <= max(width, 544) for shown in told["figures"]), "on a phone figures scroll in their frames"
    assert width < 1280 or told["first"] < 1200, "the first figure is within a screen and a half"
    assert told["text"] > 100, "the text of figures is text"
    assert (told["filter"] != "none", told["paper"] == "rgb(25, 25, 24)") == (dark, dark), "figures follow the page"
    assert not [line for line in console.splitlines() if ":CONSOLE" in line]


@needs_chromium
def test_networks_are_explored_in_a_browser(study, tmp_path):
    """Of 152 networks 4 did not train; 24 are of frozen transfer."""
    told, _ = browse(study / "results/digits/tiny/report.html", 1280, tmp_path)
    assert (told["points"], told["without"]) == (148, 124)
    assert told["hint"] == "baseA: 50.0 %; random0, seed 0, target A (click: its metrics)"
    assert told["link"] == "random0/seed0/baseA.json"
    assert told["reads"].startswith("baseA: 12.5 %"), "the read-out is a quarter of the accuracy here"
    assert told["filtered"] == ["A4B+"]
    assert told["sorted"] == sorted(told["sorted"], reverse=True)
    assert len(told["sorted"]) == 152
    assert told["table"] == "effect,dataset"


@needs_chromium
def test_the_browser_test_sees_a_complaint_of_the_console(study, tmp_path):
    broken = tmp_path / "broken.html"
    text = (study / "results/digits/tiny/report.html").read_text()
    broken.write_text(text.replace("</main>", "<script>missing()</script></main>"))
    _, console = browse(broken, 390, tmp_path)
    assert [line for line in console.splitlines() if ":CONSOLE" in line and "missing is not defined" in line]


def test_5000_networks_make_a_page_below_8_mb(tmp_path):
    """100 splits of 50 networks: points, rows and tables of all."""
    gains = {name: GAINS[name] for name in ("base", "selffer", "transfer", "transfer+")}
    noise = iter([0.001 * (i * 7 % 5) for i in range(100_000)]).__next__
    networks = plant(gains, {f"random{i}": "random" for i in range(100)}, layers=tuple(range(1, 9)), noise=noise)
    assert len(networks) == 5000
    tables = write_tables(tmp_path / "results/digits/tiny", networks)
    for network in networks.to_dict("records"):
        place = tmp_path / f"models/digits/tiny/{network['split']}/seed0/{network['network']}"
        files.write_json(place / "run.json", run_record(network))
    assert draw(tables, tables / "figures", "experiment", "figure2", "effects").returncode == 0
    fixed = ("--models", tmp_path / "models/digits/tiny", "--read-out", "test_top1", "--into", tables / "report.html")
    done = command("figures.page", "--tables", tables, "--figures", tables / "figures", *fixed)
    assert done.returncode == 0, done.stderr
    assert (tables / "report.html").stat().st_size < 8_000_000


def test_names_that_hold_markup_are_text_on_the_page(tmp_path):
    """Quotes, a script, letters from right to left, and 80 characters."""
    names = ('"quoted" & <script>alert(1)</script>', "שלום", "x" * 80)
    networks = plant(splits=dict.fromkeys(names, "random"))
    tables = write_tables(tmp_path, networks)
    assert draw(tables, tables / "figures", "experiment", "figure2").returncode == 0
    fixed = ("--read-out", "test_top1", "--into", tmp_path / "page.html")
    done = command("figures.page", "--tables", tables, "--figures", tables / "figures", *fixed)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert all(name in text_of(page) for name in names)
    if CHROMIUM:
        told, console = browse(tmp_path / "page.html", 390, tmp_path, dark=True, probe=ODDS)
        assert told["widest"] <= 390
        assert (told["explored"], told["points"]) == (True, len(networks))
        assert not [line for line in console.splitlines() if ":CONSOLE" in line]


@pytest.mark.parametrize(
    "networks",
    [
        plant().head(1),
        plant(layers=(3,)),
        plant().assign(test_images=0, test_top1=np.nan),
        plant().assign(trained=False, reason="x"),
    ],
    ids=["one network", "one layer", "no test images", "none trained"],
)
def test_a_study_of_next_to_nothing_has_a_page(tmp_path, networks):
    tables = write_tables(tmp_path, networks)
    arguments = ["--tables", tables, "--draw", "experiment", "figure2", "effects", "--read-out", "test_top1"]
    words = [*map(str, arguments), "--unbalanced", "false", "--width", "6.5", "--dpi", "50"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["drawing", *words, "--into", str(tables / "figures")])
        drawing.main()
    write_page(Places(tables, tables / "figures", None, None, tmp_path / "report.html"), "test_top1")
    text = text_of((tmp_path / "report.html").read_text())
    assert "How transferable are the features?" in text
    assert re.search(r"No (verdict|conclusion): ", text)
    assert "nan" not in text.lower().split()


@needs_chromium
@pytest.mark.parametrize(
    ("networks", "points"),
    [(plant().head(1), 1), (plant().assign(test_images=0, test_top1=np.nan), 152), (plant().assign(trained=False), 0)],
    ids=["one network", "no test images", "none trained"],
)
def test_networks_are_explored_where_there_is_something_to_see(tmp_path, networks, points):
    tables = write_tables(tmp_path, networks)
    (tables / "figures").mkdir()
    files.write_json(tables / "figures/captions.json", {})
    write_page(Places(tables, tables / "figures", None, None, tmp_path / "report.html"), "test_top1")
    told, console = browse(tmp_path / "report.html", 1280, tmp_path, probe=ODDS)
    assert (told["explored"], told["points"]) == (points > 0, points)
    assert told["widest"] <= 1280
    assert not [line for line in console.splitlines() if ":CONSOLE" in line]


def test_the_template_travels_with_the_package():
    code = "from transferability.figures.page import TEMPLATE; import sys; sys.exit(not TEMPLATE.exists())"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
    declared = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    assert '"page.html", "page.js"' in declared
