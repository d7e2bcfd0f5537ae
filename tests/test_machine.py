"""Machine: images and GPUs that are missing are found before the first job."""

import pytest

from transferability.errors import InputError
from transferability.study import machine
from transferability.study.machine import check_machine, missing_images

DIGITS = {"images": {"source": "digits"}}


def params_of(device: str = "auto", **images: object) -> dict:
    """Params of a data set `photos` of such images."""
    return {"datasets": {"digits": DIGITS, "photos": {"images": images}}, "device": device}


def test_folders_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    (tmp_path / "here.zip").touch()
    for path in ("~/here", str(tmp_path / "here.zip")):
        assert missing_images(params_of(source="folder", path=path), "photos") is None
    assert missing_images(params_of(source="torchvision", path="/none"), "photos") is None
    line = "~/there: there is no such folder or archive; datasets.photos.images names it"
    sets = {"a": {"source": "digits"}, "b": {"source": "folder", "path": "~/there"}}
    assert missing_images(params_of(source="folder", path="~/there"), "photos") == line
    assert missing_images(params_of(source="sets", sets=sets), "photos") == line


def test_a_start_needs_the_images_that_it_packs_and_no_others():
    params = params_of(source="folder", path="/none")
    check_machine(params, ["digits"], trains_here=True)
    with pytest.raises(InputError, match="/none: there is no such folder"):
        check_machine(params, ["digits", "photos"], trains_here=True)


def test_a_gpu_is_needed_only_where_one_is_asked_for_and_trained_on(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "GPUS", (str(tmp_path / "card"),))
    for device, here in (("auto", True), ("cpu", True), ("cuda", False)):
        check_machine(params_of(device), [], trains_here=here)
    with pytest.raises(InputError, match='device: "cuda" was asked for, but this machine has no GPU'):
        check_machine(params_of("cuda"), [], trains_here=True)
    (tmp_path / "card").touch()
    check_machine(params_of("cuda"), [], trains_here=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="no GPU"):
        check_machine(params_of("cuda"), [], trains_here=True)
