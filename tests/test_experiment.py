"""The picture of the experiment, and figures as parts of a page."""

import pytest
from drawn import drawing_of
from matplotlib.patches import Arc, Circle, Rectangle
from planted import GAINS, PRETRAINED_GAINS, PROBE_GAINS, plant

from transferability.errors import InputError
from transferability.figures import experiment
from transferability.figures.inline import inline_svg, read_svg


def parts(drawing, kind: type) -> list:
    return [patch for patch in drawing.figure.axes[0].patches if type(patch) is kind]


def test_every_treatment_of_the_study_has_a_row_with_its_name_and_words():
    drawing = drawing_of(experiment, plant(GAINS, layers=(1, 2, 3, 4, 5, 6, 7)))
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert texts[::2] == ["baseB", "BnB", "BnB+", "AnB", "AnB+", "RnB", "AnB-k2"]
    assert "copied from the other task and" in texts[7]
    assert drawing.caption.startswith("7 ways to make a network for task B")


@pytest.mark.parametrize("width", [3, 5, 30])
def test_words_stay_inside_a_figure_of_any_width(width):
    drawing = drawing_of(experiment, plant(GAINS, layers=(1, 2, 3, 4, 5, 6, 7)), width=width)
    drawing.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in drawing.figure.axes[0].texts]
    assert max(box.x1 for box in boxes) <= drawing.figure.bbox.x1
    assert not any(box.overlaps(other) for place, box in enumerate(boxes) for other in boxes[:place])


def test_a_lock_stands_on_every_frozen_stage():
    """Cut after 3: selffer, transfer, random and transfer-k2 have three each."""
    drawing = drawing_of(experiment, plant(GAINS, layers=(1, 2, 3, 4, 5, 6, 7)))
    assert len(parts(drawing, Arc)) == 4 * 3


def test_colours_say_on_which_task_a_stage_has_learnt():
    """For A: only base, pretrained, fine-tuned and random rows, of eight stages; a tuned stage has two colours."""
    networks = plant(PRETRAINED_GAINS, layers=tuple(range(1, 8)), targets="A", splits={"all": "whole"})
    drawing = drawing_of(experiment, networks)
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == ["learnt on task A", "untrained", "pretrained", "new"]
    locks, halves = 2 * 3, 3
    assert len(parts(drawing, Rectangle)) == 4 * 8 + locks + halves


def test_probes_stand_for_the_stages_above_the_cut():
    drawing = drawing_of(experiment, plant({name: PROBE_GAINS[name] for name in ("base", "transfer", "transfer-svm")}))
    assert len(parts(drawing, Circle)) == 1


def test_figures_of_one_page_share_no_names():
    text = '<?xml?><svg width="1pt" height="1pt" viewBox="0 0 1 1"><metadata>x</metadata><g id="a" clip-path="url(#a)">'
    inline = inline_svg(text + '<use xlink:href="#a"/></g></svg>\n', "effects")
    inside = '<g id="effects-a" clip-path="url(#effects-a)"><use href="#effects-a"/></g>'
    assert inline == f'<svg viewBox="0 0 1 1">{inside}</svg>'


def test_a_figure_that_is_not_whole_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.svg: there is no such figure"):
        read_svg(tmp_path / "gone.svg")
    (tmp_path / "torn.svg").write_text("<svg")
    with pytest.raises(InputError, match=r"torn\.svg: not a whole figure"):
        read_svg(tmp_path / "torn.svg")
