import io
import struct

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from torchvision import transforms

from transferability.data.images import UPRIGHT, decode, encode, exif_orientation, fit, is_stored_form, open_image


def test_a_square_image_of_the_right_size_keeps_its_pixels(noise):
    square = noise[:32, :32]
    assert np.array_equal(fit(Image.fromarray(square), 32, 3), square.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [10, 20, 80])
@pytest.mark.parametrize(("height", "width"), [(40, 60), (40, 20), (20, 60), (30, 30)])
def test_the_shorter_side_is_resized_and_the_centre_cropped_as_torchvision_does(noise, height, width, size):
    image = Image.fromarray(noise[:height, :width])
    expected = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()])
    assert np.array_equal(fit(image, size, 3), expected(image))


@pytest.mark.parametrize(("height", "width"), [(1, 40), (39, 7), (40, 41), (17, 60)])
def test_odd_and_extreme_sides_give_the_asked_for_size(noise, height, width):
    assert fit(Image.fromarray(noise[:height, :width]), 9, 3).shape == (3, 9, 9)


def test_the_crop_is_the_middle():
    """Left third black, middle white, right third black: only white is left."""
    stripes = np.zeros((20, 60), dtype=np.uint8)
    stripes[:, 20:40] = 255
    assert (fit(Image.fromarray(stripes), 20, 1) == 255).all()


def test_a_colour_image_becomes_grey_by_its_luma(noise):
    weights = np.array([0.299, 0.587, 0.114])
    grey = fit(Image.fromarray(noise[:40, :40]), 40, 1)
    assert grey.shape == (1, 40, 40)
    assert np.abs(grey[0] - noise[:40, :40] @ weights).max() <= 1


def test_a_grey_image_becomes_three_equal_channels(noise):
    grey = noise[:40, :40, 0]
    assert np.array_equal(fit(Image.fromarray(grey), 40, 3), np.stack([grey] * 3))


def test_an_opaque_rgba_image_is_its_colours(noise):
    rgba = np.dstack([noise, np.full(noise.shape[:2], 255, dtype=np.uint8)])
    assert np.array_equal(fit(Image.fromarray(rgba), 40, 3), fit(Image.fromarray(noise), 40, 3))


def test_a_palette_image_is_its_colours_and_not_its_indices(noise):
    palette = Image.fromarray(noise[:40, :40]).quantize(16)
    assert palette.mode == "P"
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    assert np.array_equal(fit(palette, 40, 3), colours[np.asarray(palette)].transpose(2, 0, 1))


def test_a_black_and_white_image_has_the_levels_0_and_255():
    board = np.indices((8, 8)).sum(axis=0) % 2 == 0
    assert np.array_equal(fit(Image.fromarray(board), 8, 1)[0], board * 255)


def test_a_sixteen_bit_image_keeps_its_levels(tmp_path):
    levels = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        pixels = fit(image, 8, 1)[0]
    assert np.abs(pixels - levels / 257).max() <= 1


def saved(image: Image.Image, form: str, **options) -> bytes:
    """The bytes of an image's file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_a_big_endian_sixteen_bit_tiff_keeps_its_levels(tmp_path):
    levels = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    image = Image.frombytes("I;16B", (8, 8), levels.astype(">u2").tobytes())
    pixels = fit(open_image(saved(image, "TIFF")), 8, 1)[0]
    assert np.abs(pixels - levels / 257).max() <= 1


@pytest.mark.parametrize("levels", [np.full((8, 8), 70_000, np.int32), np.full((8, 8), 0.5, np.float32)])
def test_levels_of_unknown_range_are_refused(levels):
    with pytest.raises(ValueError, match="whose range is not known"):
        fit(open_image(saved(Image.fromarray(levels), "TIFF")), 8, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_is_transparent_lies_on_white_and_the_rest_keeps_its_colour(mode, channels):
    """The left half opaque black, the right half transparent black."""
    rgba = Image.new("RGBA", (16, 16), (0, 0, 0, 255))
    rgba.paste((0, 0, 0, 0), (8, 0, 16, 16))
    if mode == "P":
        image = Image.new("P", (16, 16), 1)
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.paste(0, (8, 0, 16, 16))
        data = saved(image, "PNG", transparency=0)
    elif mode == "RGB":
        image = Image.new("RGB", (16, 16), (0, 0, 0))
        image.paste((0, 0, 1), (8, 0, 16, 16))
        data = saved(image, "PNG", transparency=(0, 0, 1))
    else:
        data = saved(rgba.convert(mode), "PNG")
    pixels = fit(open_image(data), 16, channels)
    assert (pixels[:, :, :8] == 0).all()
    assert (pixels[:, :, 8:] == 255).all()


def test_half_transparent_black_on_white_is_grey():
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert np.abs(fit(half, 8, 1).astype(int) - 127).max() <= 1


def test_a_cmyk_jpeg_is_its_colours():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixels = fit(open_image(saved(red, "JPEG", quality=95)), 16, 3)
    assert np.abs(pixels.reshape(3, -1).mean(axis=1) - [254, 0, 0]).max() < 4


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black", "red")]
    data = saved(frames[0], form, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (fit(open_image(data), 8, 3) == 255).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_that_a_camera_turned_is_upright(noise, orientation, form):
    upright = Image.fromarray(noise[:40, :40])
    # What the camera stores is the upright image turned the other way.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"quality": 100, "subsampling": 0} if form == "JPEG" else {}
    pixels = fit(open_image(saved(stored, form, exif=exif, **lossless)), 40, 3)
    assert np.abs(pixels.transpose(1, 2, 0).astype(int) - noise[:40, :40]).max() <= 5


@pytest.mark.parametrize(("width", "height"), [(40, 1), (1, 40)])
def test_a_line_that_would_grow_to_more_pixels_than_is_harmless_is_refused(monkeypatch, width, height):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    assert fit(Image.new("L", (width, height)), 30, 1).shape == (1, 30, 30)
    with pytest.raises(ValueError, match=r"64000|144000|pixels, more than the 50000"):
        fit(Image.new("L", (width, height)), 60, 1)


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_decompression_bomb_is_refused_at_pils_limit_and_not_at_twice_that(monkeypatch, form):
    data = saved(Image.new("RGB", (100, 101)), form)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_100)
    assert fit(open_image(data), 8, 3).shape == (3, 8, 8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_099)
    with pytest.raises(ValueError, match="100×101 pixels, more than the 10099"):
        fit(open_image(data), 8, 3)


JPEGS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "4:4:4": {"subsampling": 0},
    "4:2:0": {"subsampling": 2},
    "restarts": {"restart_marker_blocks": 2},
    "comment": {"comment": "a cat"},
    "profile": {"icc_profile": b"0" * 200},
    "exif": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"},
    "rgb": {"keep_rgb": True},
}


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_any_form_is_read_as_pil_reads_it(noise, mode, options):
    data = saved(Image.fromarray(noise).convert(mode), "JPEG", **options)
    for channels in (1, 3):
        assert np.array_equal(fit(open_image(data), 40, channels), fit(Image.open(io.BytesIO(data)), 40, channels))


def test_a_jpeg_without_a_header_of_jfif_is_read_as_pil_reads_it(noise):
    data = saved(Image.fromarray(noise), "JPEG")
    bare = data[:2] + data[2 + 2 + int.from_bytes(data[4:6]) :]
    assert np.array_equal(fit(open_image(bare), 40, 3), fit(Image.open(io.BytesIO(bare)), 40, 3))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_cut_off_jpeg_is_refused_wherever_it_is_cut(noise, mode):
    data = saved(Image.fromarray(noise).convert(mode), "JPEG")
    for kept in range(0, len(data) - 2, 37):
        with pytest.raises((OSError, ValueError, SyntaxError)):
            fit(open_image(data[:kept]), 10, 3)


def test_bytes_that_are_changed_at_random_are_read_as_pil_reads_them_or_refused(noise):
    data = saved(Image.fromarray(noise), "JPEG", restart_marker_blocks=1)
    generator = np.random.default_rng(0)
    outcomes = []
    for _ in range(300):
        changed = bytearray(data)
        for at in generator.integers(2, 700, 3):
            changed[at] = generator.integers(256)
        results = []
        for opened in (open_image, lambda data: Image.open(io.BytesIO(data))):
            try:
                results.append(fit(opened(bytes(changed)), 10, 3).tobytes())
            except Exception:
                results.append(None)
        outcomes.append(results)
    assert all(ours == pils for ours, pils in outcomes if ours and pils)
    assert sum(ours is None for ours, _ in outcomes) > 10


@pytest.mark.parametrize("channels", [1, 3])
def test_an_encoded_image_is_near_its_pixels_and_of_the_stored_form(channels):
    """Smooth in brightness, with colours that change from pixel to pixel: halved colours would be far off."""
    pixels = np.full((channels, 32, 32), 128, np.uint8)
    pixels[0, :, ::2] = 160
    data = encode(pixels)
    assert np.abs(decode(data).astype(int) - pixels).max() <= 6
    assert is_stored_form(open_image(data), 32, channels)
    assert not is_stored_form(open_image(data), 31, channels)
    assert not is_stored_form(open_image(data), 32, 4 - channels)


def test_a_turned_jpeg_and_another_form_are_not_of_the_stored_form(noise):
    image, exif = Image.fromarray(noise[:32, :32]), Image.Exif()
    exif[0x0112] = 3
    assert is_stored_form(open_image(saved(image, "JPEG")), 32, 3)
    assert not is_stored_form(open_image(saved(image, "JPEG", exif=exif)), 32, 3)
    assert not is_stored_form(open_image(saved(image, "PNG")), 32, 3)
    assert not is_stored_form(open_image(saved(image.convert("CMYK"), "JPEG")), 32, 3)


def test_the_jpeg_of_several_views_is_its_first(noise):
    file = io.BytesIO()
    views = [Image.fromarray(view) for view in (noise, 255 - noise)]
    views[0].save(file, "MPO", save_all=True, append_images=views[1:], quality=95, subsampling=0)
    image = open_image(file.getvalue())
    assert image.format == "MPO"
    assert np.abs(fit(image, 40, 3).astype(int) - fit(views[0], 40, 3)).max() < 40


def test_postscript_is_no_image_whatever_its_name(noise):
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "EPS")
    with pytest.raises(UnidentifiedImageError):
        open_image(file.getvalue())


def with_exif(data: bytes, *entries: bytes, tail: bytes = b"") -> bytes:
    """A JPEG file with an EXIF segment of these entries of 12 bytes."""
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + struct.pack("<I", 0) + tail
    payload = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


TURNED = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
ODD_ENTRIES = {
    "a ratio over zero": (struct.pack("<HHII", 0x011A, 10, 1, 38), struct.pack("<ii", -1, 0)),
    "a number beyond the file": (struct.pack("<HHII", 0x011A, 5, 1, 60_000), b""),
    "a type that there is none of": (struct.pack("<HHII", 0x0131, 99, 1, 38), b""),
    "a text of four billion letters": (struct.pack("<HHII", 0x0131, 2, 2**32 - 1, 38), b""),
    "a pointer to nowhere": (struct.pack("<HHII", 0x8769, 4, 1, 2**32 - 9), b""),
}


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Tag data larger than file")
@pytest.mark.parametrize("odd", ODD_ENTRIES)
@pytest.mark.parametrize("first", [True, False])
def test_a_turned_photograph_is_upright_whatever_else_its_metadata_holds(noise, odd, first):
    entry, tail = ODD_ENTRIES[odd]
    upright = Image.fromarray(noise[:40, :40])
    data = saved(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=100, subsampling=0)
    entries = [entry, TURNED] if first else [TURNED, entry]
    pixels = fit(open_image(with_exif(data, *entries, tail=tail)), 40, 3)
    assert np.abs(pixels.transpose(1, 2, 0).astype(int) - noise[:40, :40]).max() <= 5


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_found_in_a_segment_that_pil_cannot_read(order):
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 8, 0)
    long = struct.pack(f"{order}HHII", 0x0112, 4, 1, 8)
    assert exif_orientation(mark + struct.pack(f"{order}IH", 8, 1) + long) == 8
    tiff = mark + struct.pack(f"{order}IH", 8, 900) + struct.pack(f"{order}HHII", 0x0100, 3, 1, 0) + entry
    assert exif_orientation(b"Exif\0\0" + tiff) == 8
    for cut in range(len(tiff)):
        assert exif_orientation(tiff[:cut]) is None


@pytest.mark.parametrize("value", [0, 9, 60_000])
def test_an_orientation_that_is_none_turns_nothing(noise, value):
    data = saved(Image.fromarray(noise[:40, :40]), "JPEG")
    odd = with_exif(data, struct.pack("<HHIHH", 0x0112, 3, 1, value, 0))
    assert np.array_equal(fit(open_image(odd), 40, 3), fit(open_image(data), 40, 3))


def test_all_eight_orientations_have_their_turn():
    assert sorted(UPRIGHT) == list(range(2, 9))


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": True}])
def test_a_jpeg_whose_rest_was_never_copied_is_refused_though_it_has_its_length(fill, options):
    """With EXIF it has a thumbnail, which ends as an image does."""
    rows, columns = np.mgrid[:120, :160]
    noise = np.random.default_rng(0).normal(0, 12, (120, 160))
    image = Image.fromarray((128 + 90 * np.sin(rows / 9) * np.cos(columns / 7) + noise).clip(0, 255).astype(np.uint8))
    data = saved(image, "JPEG", quality=90, progressive="progressive" in options)
    if "exif" in options:
        data = with_exif(data, tail=saved(image.resize((16, 12)), "JPEG"))
    assert fit(open_image(data), 20, 1).std() > 10
    for half in range(len(data) // 4, len(data) - 70, 997):
        with pytest.raises((ValueError, OSError, SyntaxError)):
            fit(open_image(data[:half] + fill * (len(data) - half)), 20, 1)


@pytest.mark.parametrize("tail", [bytes(5000), b"\xff" * 300, b"a maker's own notes" * 20, bytes(1)])
def test_what_comes_after_a_whole_jpeg_does_no_harm(noise, tail):
    data = saved(Image.fromarray(noise), "JPEG")
    assert np.array_equal(fit(open_image(data + tail), 20, 3), fit(open_image(data), 20, 3))


@pytest.mark.parametrize(("interpolation", "resampling"), [("bilinear", 2), ("bicubic", 3)])
def test_images_are_resized_as_asked(noise, interpolation, resampling):
    expected = transforms.Compose(
        [transforms.Resize(20, transforms.InterpolationMode(interpolation)), transforms.CenterCrop(20)]
    )(Image.fromarray(noise))
    pixels = fit(Image.fromarray(noise), 20, 3, interpolation)
    assert np.array_equal(pixels, np.asarray(expected).transpose(2, 0, 1))
    assert np.array_equal(pixels[:, :, :], fit(Image.fromarray(noise), 20, 3)) == (resampling == 2)
