from __future__ import annotations

import os
import socket
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dlrun import console
from dlrun.dataset import image_file
from dlrun.dataset.image_file import check_header, read_image
from dlrun.errors import UserError
from tests.odd_pictures import png, tiff

GREEN, RED, BLUE = (0, 255, 0), (255, 0, 0), (0, 0, 255)


def noise(*shape: int, levels: int = 256) -> np.ndarray:
    """Shape (H, W) or (H, W, C)."""
    return np.random.default_rng(0).integers(0, levels, shape, dtype=np.uint16 if levels > 256 else np.uint8)


def pixels(path: Path, channels: int = 3) -> np.ndarray:
    """The file's own pixels, shape (H, W, C)."""
    image = read_image(path, channels)
    assert image.dtype == torch.uint8
    return image.permute(1, 2, 0).numpy()


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The closed form of a composition, in real numbers."""
    share = alpha[..., None] / 255
    result: np.ndarray = colour * share + 255 * (1 - share)
    return result


def refusal(path: Path, read: Callable[[Path], object] = read_image) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: not a readable image (")
    return message


def read_or_refusal(path: Path) -> Tensor | str:
    try:
        return read_image(path)
    except UserError:
        return refusal(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp"])
def test_a_lossless_file_gives_its_pixels(tmp_path: Path, suffix: str) -> None:
    stored = noise(7, 9, 3)
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", lossless=True)
    np.testing.assert_array_equal(pixels(tmp_path / f"a.{suffix}"), stored)


@pytest.mark.parametrize("suffix", ["jpg", "gif"])
def test_a_lossy_file_gives_its_colour(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (9, 7), (200, 40, 120)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(pixels(tmp_path / f"a.{suffix}"), np.broadcast_to([200, 40, 120], (7, 9, 3)), atol=4)


def test_the_content_says_what_a_file_is(tmp_path: Path) -> None:
    stored = noise(7, 9, 3)
    Image.fromarray(stored).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(pixels(tmp_path / "a.jpg"), stored)


def test_of_several_images_the_first_is_taken(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    for name in ("a.gif", "a.jpg"):
        np.testing.assert_allclose(pixels(tmp_path / name), np.broadcast_to(RED, (8, 8, 3)), atol=2)


def test_one_channel_is_the_luminance(tmp_path: Path) -> None:
    stored = noise(7, 9, 3)
    Image.fromarray(stored).save(tmp_path / "a.png")
    expected = stored @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(pixels(tmp_path / "a.png", channels=1)[..., 0], expected, atol=0.51)


def test_three_channels_of_grey_are_the_same_grey(tmp_path: Path) -> None:
    stored = noise(7, 9)
    Image.fromarray(stored).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), np.stack([stored] * 3, axis=-1))


def test_one_bit_is_black_or_white(tmp_path: Path) -> None:
    stored = noise(7, 9) > 127
    Image.fromarray(stored).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "1"
    np.testing.assert_array_equal(pixels(tmp_path / "a.png", channels=1)[..., 0], stored * 255)


def test_a_square_is_cut_out_of_the_middle(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), GREEN)
    image.paste(RED, (0, 0, 5, 10))
    image.paste(BLUE, (15, 0, 20, 10))
    image.save(tmp_path / "a.png")
    expected = torch.tensor(GREEN, dtype=torch.uint8).view(3, 1, 1).expand(3, 10, 10)
    assert torch.equal(read_image(tmp_path / "a.png", 3, 10), expected)


def test_a_large_jpeg_is_resized_from_a_coarser_decoding_to_the_same_picture(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[:, None, None], (512, 512, 3)).copy()).save(tmp_path / "a.jpg", quality=95)
    expected = np.broadcast_to(ramp.reshape(16, 32).mean(axis=1)[:, None], (16, 16))
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", 1, 16)[0].numpy(), expected, atol=2)


ORIENTATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_cameras_rotation_is_undone(tmp_path: Path, orientation: int, bits: int) -> None:
    stored = noise(6, 10)
    exif = Image.Exif()
    exif[0x0112] = orientation
    levels = stored if bits == 8 else stored.astype(np.uint16) * 257
    Image.fromarray(levels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png", channels=1)[..., 0], ORIENTATIONS[orientation](stored))


def test_a_rotated_jpeg_is_cut_after_it_is_upright(tmp_path: Path) -> None:
    upright = np.zeros((64, 32), dtype=np.uint8)
    upright[16:32] = 255  # the upper half of the middle square
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.jpg", exif=exif, quality=100)
    expected = np.repeat([255] * 8 + [0] * 8, 16).reshape(16, 16)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", 1, 16)[0].numpy(), expected, atol=2)


def as_png(path: Path, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(path, format="PNG")


def as_tiff(path: Path, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(path, format="TIFF")


def as_pgm(path: Path, levels: np.ndarray) -> None:
    path.write_bytes(b"P5\n%d %d\n65535\n" % levels.shape[::-1] + levels.astype(">u2").tobytes())


@pytest.mark.parametrize("write", [as_png, as_tiff, as_pgm])
def test_sixteen_bits_of_grey_are_scaled_to_eight(tmp_path: Path, write: Callable[[Path, np.ndarray], None]) -> None:
    levels = noise(50, 40, levels=65536)
    levels[0, :6] = [0, 1, 128, 129, 65535 - 129, 65535]
    write(tmp_path / "a", levels)
    expected = np.rint(levels * (255 / 65535))
    for channels in (1, 3):
        for found in read_image(tmp_path / "a", channels).numpy():
            np.testing.assert_array_equal(found, expected)


def test_sixteen_bits_of_colour_are_scaled_to_eight(tmp_path: Path) -> None:
    stored = noise(5, 4, 3)
    levels = (stored.astype(np.uint16) * 257).astype(">u2")
    (tmp_path / "a.png").write_bytes(png(4, 5, 16, 2, b"".join(b"\0" + row.tobytes() for row in levels)))
    (tmp_path / "a.ppm").write_bytes(b"P6\n4 5\n65535\n" + levels.tobytes())
    for name in ("a.png", "a.ppm"):
        np.testing.assert_array_equal(pixels(tmp_path / name), stored)


@pytest.mark.parametrize("most", [1, 15, 255, 1023, 4095, 65535])
def test_levels_of_a_pgm_are_scaled_by_its_own_largest(tmp_path: Path, most: int) -> None:
    levels = np.array([0, most // 3, most])
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 1\n%d\n" % most + levels.astype(">u2" if most > 255 else "u1").tobytes())
    found = read_image(tmp_path / "a.pgm", 1)[0, 0].numpy()
    np.testing.assert_allclose(found, levels * 255 / most, atol=1)


def test_twelve_bits_of_grey_are_scaled_to_eight(tmp_path: Path) -> None:
    levels = [0, 1000, 2048, 4095]
    bits = int("".join(f"{level:012b}" for level in levels), 2)
    (tmp_path / "a.tif").write_bytes(tiff(4, 12, bits.to_bytes(6, "big")))
    assert read_image(tmp_path / "a.tif", 1).flatten().tolist() == [round(level * 255 / 4095) for level in levels]


@pytest.mark.parametrize("bits", [8, 16])
def test_levels_of_which_zero_is_white_are_turned_over(tmp_path: Path, bits: int) -> None:
    levels = np.array([0, 40, 255]) * (2**bits // 255)
    row = levels.astype(f"<u{bits // 8}").tobytes()
    (tmp_path / "a.tif").write_bytes(tiff(3, bits, row, photometric=0))
    assert read_image(tmp_path / "a.tif", 1).flatten().tolist() == [255, 215, 0]


def test_signed_levels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(2, 16, struct.pack("<2h", 0, 32767), sample_format=2))
    assert "of an unknown range" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("levels", [np.full((4, 4), 70_000, np.int32), np.full((4, 4), 9, np.int32)])
def test_more_than_sixteen_bits_are_refused(tmp_path: Path, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(tmp_path / "a.tiff")
    assert "more than 16 bits" in refusal(tmp_path / "a.tiff")


def test_fractions_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tiff")
    assert "of an unknown range" in refusal(tmp_path / "a.tiff")


def damaged_tiff(path: Path, mode: str, compression: str, at: int) -> Path:
    """A TIFF with 30 bytes of its pixels replaced by others."""
    Image.fromarray(noise(40, 40, 3)).convert(mode).save(path, compression=compression)
    content = bytearray(path.read_bytes())
    content[at : at + 30] = bytes(noise(1, 30, 1))
    path.write_bytes(content)
    return path


def test_what_libtiff_says_is_in_the_line_that_names_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = damaged_tiff(tmp_path / "a.tif", "RGB", "tiff_deflate", at=1000)
    assert "ZIPDecode: Decoding error at scanline 0" in refusal(path)
    path = damaged_tiff(tmp_path / "b.tif", "1", "group4", at=60)  # decoded nevertheless
    with pytest.warns(UserWarning, match="Fax4Decode: Bad code word at line 3 of strip 0") as said:
        read_image(path)
    assert len(said) == 1
    assert capfd.readouterr() == ("", "")


COLOURS = np.array([[200, 40, 120], [10, 250, 60], [0, 0, 0], [255, 255, 255]])


def palette() -> Image.Image:
    """Pixels of the four colours, by number."""
    image = Image.fromarray(np.arange(8, dtype=np.uint8).reshape(2, 4) % 4, mode="P")
    image.putpalette(COLOURS.astype(np.uint8).tobytes())
    return image


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tiff"])
def test_a_palette_gives_its_colours(tmp_path: Path, suffix: str) -> None:
    palette().save(tmp_path / f"a.{suffix}")
    assert Image.open(tmp_path / f"a.{suffix}").mode == "P"
    np.testing.assert_array_equal(pixels(tmp_path / f"a.{suffix}"), COLOURS[np.arange(8).reshape(2, 4) % 4])


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_colour_of_a_palette_shows_white(tmp_path: Path, suffix: str) -> None:
    palette().save(tmp_path / f"a.{suffix}", transparency=1)
    expected = COLOURS.copy()
    expected[1] = 255
    np.testing.assert_array_equal(pixels(tmp_path / f"a.{suffix}"), expected[np.arange(8).reshape(2, 4) % 4])


def test_a_palette_with_an_alpha_for_each_colour_is_composed_on_white(tmp_path: Path) -> None:
    alpha = np.array([255, 128, 77, 0])
    palette().save(tmp_path / "a.png", transparency=alpha.astype(np.uint8).tobytes())
    expected = over_white(COLOURS, alpha)[np.arange(8).reshape(2, 4) % 4]
    np.testing.assert_allclose(pixels(tmp_path / "a.png"), expected, atol=0.51)


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_an_alpha_channel_is_composed_on_white(tmp_path: Path, suffix: str) -> None:
    stored = noise(16, 16, 4)
    stored[0, :, 3], stored[1, :, 3] = 0, 255
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", lossless=True, exact=True)
    found = pixels(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found[0], np.full((16, 3), 255))
    np.testing.assert_array_equal(found[1], stored[1, :, :3])
    np.testing.assert_allclose(found, over_white(stored[..., :3], stored[..., 3]), atol=0.51)


def test_grey_with_an_alpha_channel_is_composed_on_white(tmp_path: Path) -> None:
    stored = noise(16, 16, 2)
    Image.fromarray(stored, mode="LA").save(tmp_path / "a.png")
    found = pixels(tmp_path / "a.png", channels=1)
    np.testing.assert_allclose(found, over_white(stored[..., :1], stored[..., 1]), atol=0.51)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_that_stands_for_transparent_shows_white(tmp_path: Path, mode: str) -> None:
    key = (10, 250, 60) if mode == "RGB" else 10
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), (1, 2, 3) if mode == "RGB" else 7)
    image.save(tmp_path / "a.png", transparency=key)
    expected = [[[255] * 3, [1, 2, 3] if mode == "RGB" else [7] * 3]]
    assert pixels(tmp_path / "a.png").tolist() == expected


@pytest.mark.parametrize(
    ("bits", "row", "key", "expected"),
    [
        (1, [0b00011011], 0, [255] * 8),
        (2, [0b00011011], 1, [0, 255, 170, 255]),
        (4, [0x3F, 0x27], 2, [51, 255, 255, 119]),
        (8, [3, 0, 9], 0, [3, 255, 9]),
        (16, [0, 0, 3, 232, 3, 233, 255, 255], 0, [255, 4, 4, 255]),
        (16, [0, 0, 3, 232, 150, 0, 255, 255], 1000, [0, 255, 149, 255]),
    ],
)
def test_a_grey_that_stands_for_transparent_shows_white(
    tmp_path: Path, bits: int, row: list[int], key: int, expected: list[int]
) -> None:
    (tmp_path / "a.png").write_bytes(png(len(expected), 1, bits, 0, bytes([0, *row]), (key,)))
    for channels in (1, 3):
        assert read_image(tmp_path / "a.png", channels).tolist() == [[expected]] * channels


def test_a_colour_of_sixteen_bits_that_stands_for_transparent_is_equal_in_all_of_them(tmp_path: Path) -> None:
    key, near, far = (1000, 2000, 3000), (1001, 2000, 3000), (65535, 0, 0)
    row = struct.pack(">9H", *key, *near, *far)
    (tmp_path / "a.png").write_bytes(png(3, 1, 16, 2, b"\0" + row, key))
    assert pixels(tmp_path / "a.png").tolist() == [[[255] * 3, [3, 7, 11], [255, 0, 0]]]


def test_what_is_transparent_is_resized_as_it_shows(tmp_path: Path) -> None:
    stored = noise(64, 96, 4)
    Image.fromarray(stored).save(tmp_path / "a.png")
    Image.fromarray(over_white(stored[..., :3], stored[..., 3]).round().astype(np.uint8)).save(tmp_path / "b.png")
    found, expected = (read_image(tmp_path / name, 3, 16).numpy().astype(int) for name in ("a.png", "b.png"))
    np.testing.assert_allclose(found, expected, atol=1)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    inks = noise(16, 16, 4)
    inks[0, 0] = 0
    Image.fromarray(inks, mode="CMYK").save(tmp_path / "a.tiff")
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    found = pixels(tmp_path / "a.tiff")
    assert found[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_allclose(found, expected, atol=0.51)
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)  # no cyan: red
    np.testing.assert_allclose(pixels(tmp_path / "a.jpg"), np.broadcast_to(RED, (8, 8, 3)), atol=3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000, 2**31 - 1])
def test_absurd_dimensions_are_refused_by_the_header_alone(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b"\0" * 1000))
    for read in (read_image, check_header):
        message = refusal(tmp_path / "a.png", read)
        assert "pixels" in message
        assert "truncated" not in message
    if side == 10_000:
        assert "10000x10000 pixels; expected 89,478,485 or fewer" in refusal(tmp_path / "a.png")


def test_absurd_tiles_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    whole = tiff(4, 8, bytes(4))
    side = struct.pack("<HHIHH", 322, 3, 1, 20_000, 0) + struct.pack("<HHIHH", 323, 3, 1, 20_000, 0)
    (tmp_path / "a.tif").write_bytes(whole[:8] + b"\x0c\0" + whole[10:-8] + side + bytes(8))
    for read in (read_image, check_header):
        assert "tiles of 20000x20000 pixels; expected 89,478,485 or fewer" in refusal(tmp_path / "a.tif", read)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"this is no picture",
        b"\x89PNG\r\n\x1a\n\0\0",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",  # Ghostscript would run it
    ],
    ids=["empty", "text", "half a header", "PostScript"],
)
def test_what_is_no_image_is_refused_by_the_header_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_image, check_header):
        assert "not a readable image" in refusal(tmp_path / "a.png", read)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    assert "Is a directory" in refusal(tmp_path / "b.png")


def test_what_would_wait_for_another_program_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "b.png"))
    for name in ("a.png", "b.png"):
        for read in (read_image, check_header):
            assert "(no regular file)" in refusal(tmp_path / name, read)


def test_a_name_that_is_no_utf_8_can_be_printed(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_image(tmp_path / os.fsdecode(b"a\xff\n\xc3\xa9.png"))
    assert (
        str(caught.value).encode()
        == f"{tmp_path}/a\\xff\\né.png: not a readable image (".encode() + b"No such file or directory)"
    )


def test_a_warning_of_the_decoder_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{number}.png" for number in range(5)]
    for name in names:
        Image.new("L", (4, 4)).save(tmp_path / name)
    with warnings.catch_warnings(), console.log_to(tmp_path / "log.txt"):
        warnings.simplefilter("always")
        for name in names * 2:
            with image_file._opened(tmp_path / name):
                warnings.warn("corrupt", stacklevel=1)
        warnings.warn("of no file", stacklevel=1)
    lines = [*(f"warning: {tmp_path / name}: corrupt" for name in names[:3]), "warning: more files: corrupt"]
    assert capsys.readouterr().out.splitlines() == [*lines, "warning: of no file"]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"])
def test_a_file_cut_off_anywhere_is_refused_or_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(16, 16, 3)).save(path)
    whole, expected = path.read_bytes(), read_image(path)
    refused = 0
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        found = read_or_refusal(path)
        refused += isinstance(found, str)
        assert isinstance(found, str) or torch.equal(found, expected)  # only the mark of the end was missing
    assert refused * 5 > 0.9 * len(whole)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp"])
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(16, 16, 3)).save(path, exif=exif)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        found = read_or_refusal(path)
        assert isinstance(found, str) or found.shape[0] == 3


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_than_an_image_file_is_read_as_are_refused(tmp_path: Path, channels: int) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=rf"^dataset.channels={channels}: image files are read as 1 \(grey\) or 3 \(RGB\)$"
    ):
        read_image(tmp_path / "a.png", channels)
