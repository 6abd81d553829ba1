"""What decoders are shown, and what pictures made to cost much do cost."""

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from stylegan_jax.io import containers, images
from tests.io import picture_bombs
from tests.io.picture_bombs import BOMBS

MAX_MB, MAX_SECONDS = 300, 20

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from stylegan_jax.io import images
images.read_image(Path(sys.argv[1]).read_bytes())
found = {}
for path in sys.argv[2:]:
    start, before = time.process_time(), resource.getrusage(0).ru_maxrss
    try:
        with open(path, "rb") as file:
            images.read_header(file)
        result = images.read_image(path).shape
    except images.UnreadableImageError as error:
        result = str(error)
    taken = resource.getrusage(0).ru_maxrss - before
    found[path] = [result, taken / 1024, time.process_time() - start]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def costs():
    """Of each bomb: the shape or the error, growth of memory in MB, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / str(i) for i, name in enumerate(BOMBS)}
        for name, path in paths.items():
            path.write_bytes(BOMBS[name]())
        honest = Path(folder) / "honest"
        honest.write_bytes(picture_bombs.encoded("PNG"))
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, honest, *paths.values()],
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout)
        return {name: found[str(path)] for name, path in paths.items()}


REFUSED = {
    "a million empty parts of a PNG": "more than 100000 parts",
    "a million empty segments of a JPEG": "more than 100000 parts",
    "2000 scans of a JPEG": "2010 scans of 1024x1024",
    "2000 scans in a TIFF": "decoder error",
    "extents of an AVIF": "items of 4194304000 bytes",
    "BigTIFF or not": "not an image",
    "tags of a TIFF": "dimensions",
    "tiles of a TIFF": "tiles of 40000 pixels",
    "runs of a BMP": "more than 8 MB",
    "text of a PPM": "over 64 MB",
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little(costs, name):
    result, megabytes, seconds = costs[name]
    assert megabytes < MAX_MB and seconds < MAX_SECONDS
    if name in REFUSED:
        assert REFUSED[name] in result
    else:
        assert result == ([6000] * 2 if "white" in name else [16] * 2) + [3]


def turned(kind: str, orientation: int, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_pictures_are_turned_as_exif_says(kind, orientation):
    data = turned(kind, orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(images.read_image(data), np.asarray(upright))


def test_the_turn_is_found_where_other_programs_write_it():
    tiff = turned("TIFF", 6)[:8] + b"\1\0" + b"\x12\1\3\0\1\0\0\0\6\0\0\0" + bytes(4)
    tiff = tiff[:4] + b"\10\0\0\0" + tiff[8:]
    data = b"Exif\0\0" + tiff
    profile = b"\nexif\n%8d\n%s\n" % (len(data), data.hex().encode())
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='6'/>"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    png = images.encode_png(pixels)
    for name, text in (
        (b"tEXt", b"Raw profile type exif\0" + profile),
        (b"tEXt", b"Raw profile type APP1\0" + profile),
        (b"iTXt", xmp),
    ):
        part = picture_bombs.chunk(name, text)
        found = images.read_image(png[:33] + part + png[33:])
        np.testing.assert_array_equal(found, np.rot90(pixels, -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_decoders_are_shown_no_metadata(kind):
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    extra = {} if kind == "AVIF" else {"comment": b"SECRET"}
    options = {"icc_profile": b"SECRET", "xmp": b"SECRET", "exif": exif} | extra
    if kind in ("GIF", "PNG", "TIFF"):
        options = {"comment": b"SECRET", "icc_profile": b"SECRET"}
    data = picture_bombs.encoded(kind, **options)
    assert (b"SECRET" in data) == (kind != "PNG")  # there it is packed
    shown = containers.show(io.BytesIO(data))
    assert shown is not None
    image = Image.open(shown.stream)
    image.load()
    texts = (value for value in image.info.values() if isinstance(value, bytes))
    assert not any(b"SECRET" in text for text in texts)
    assert image.size == (16, 16)


def test_colours_that_a_marker_decides_stay():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    stream = io.BytesIO()
    cmyk.save(stream, "JPEG", quality=100)  # with Adobe's marker
    expected = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(images.read_image(stream.getvalue()), expected)
    rgb = Image.new("RGB", (8, 8), (200, 30, 90))
    stream = io.BytesIO()
    rgb.save(stream, "JPEG", quality=100, keep_rgb=True)
    assert np.abs(images.read_image(stream.getvalue()) - (200, 30, 90)).max() <= 2


def test_honest_progressive_pictures_and_trailers_of_telephones_pass():
    for count in (0, 40):
        data = picture_bombs.scans(count, 64) + b"\xff\xda\0\0" * 500
        assert images.read_image(data).shape == (64, 64, 3)


def test_an_animation_shows_its_first_frame_alone():
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue", "lime")]
    for kind in ("WEBP", "GIF", "PNG"):
        stream = io.BytesIO()
        options = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(stream, kind, save_all=True, append_images=frames[1:], **options)
        found = images.read_image(stream.getvalue())
        np.testing.assert_array_equal(found[0, 0], [255, 0, 0])


@pytest.mark.parametrize(
    ("kind", "side"), [("WEBP", 9000), ("AVIF", 9000), ("JPEG", 12_500)]
)
def test_what_would_take_over_a_gigabyte_is_refused_by_its_header(kind, side):
    options = {"quality": 1, "progressive": True} if kind == "JPEG" else {}
    data = bytearray(picture_bombs.encoded(kind, 64, **options))
    if kind == "JPEG":
        at = data.index(b"\xff\xc2") + 5
        data[at : at + 4] = side.to_bytes(2, "big") * 2
    elif kind == "AVIF":
        at = data.index(b"ispe") + 8
        data[at : at + 8] = side.to_bytes(4, "big") * 2
    else:
        at = data.index(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = side.to_bytes(2, "little") * 2
    with pytest.raises(images.UnreadableImageError, match=rf"{side}x{side} .* GB"):
        images.read_header(io.BytesIO(bytes(data)))


@pytest.mark.slow
def test_the_largest_pictures_take_less_than_a_gigabyte(tmp_path):
    side = 11_900
    for kind in ("PNG", "TIFF"):
        path = tmp_path / kind
        options = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
        path.write_bytes(picture_bombs.encoded(kind, side, **options))
        honest = tmp_path / "honest"
        honest.write_bytes(picture_bombs.encoded("PNG"))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _CHILD, honest, path],
            capture_output=True,
            text=True,
            check=True,
        )
        result, megabytes, seconds = json.loads(done.stdout)[str(path)]
        assert result == [side, side, 3]
        assert megabytes < 1000 and seconds < MAX_SECONDS
