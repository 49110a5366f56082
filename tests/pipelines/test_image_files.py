"""Files of images: in zips, in forks, and what is said of bytes that are no image."""

import io
import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.ImageFile import ImageFile as PillowFile

from seqloom.pipelines import image_files
from seqloom.pipelines.image_files import MAX_PIXELS, ImageFile, check_image
from seqloom.tasks.records import DataError, ImageBytes

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def encoded(kind="JPEG", mode="RGB", picture=PICTURE, **options):
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def deep():
    """A grey PNG of 16 bits."""
    picture = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    return encoded("PNG", "I;16", picture)


def claiming(width, height):
    """A PNG of a hundred bytes that claims to have so many pixels."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def without_adobe():
    data = encoded(mode="CMYK")
    start = data.index(b"Adobe") - 4
    (length,) = struct.unpack(">H", data[start + 2 : start + 4])
    return data[:start] + data[start + 2 + length :]


MOVING = {"save_all": True, "append_images": [PICTURE.rotate(180)]}
JPEG, PNG = encoded("JPEG"), encoded("PNG")
GOOD = {
    "JPEG": JPEG,
    "progressive": encoded("JPEG", progressive=True),
    "grey JPEG": encoded("JPEG", "L"),
    "CMYK of Adobe": encoded("JPEG", "CMYK"),
    "JPEG of a telephone": encoded("MPO", **MOVING),
    "JPEG and something behind": JPEG + b"something",
    "JPEG with a hole": JPEG[: len(JPEG) // 2] + b"\xff\xd9",
    "PNG": PNG,
    "PNG and something behind": PNG + b"something",
    "palette": encoded("PNG", "P"),
    "black and white": encoded("PNG", "1"),
    "transparent": encoded("PNG", "RGBA"),
    "16 bits": deep(),
    "moving PNG": encoded("PNG", **MOVING),
    "one pixel": encoded("PNG", picture=Image.new("RGB", (1, 1))),
    "one pixel JPEG": encoded("JPEG", picture=Image.new("RGB", (1, 1))),
}
BAD = {
    "empty": (b"", "the image is empty: a file of 0 bytes. Copy or"),
    "text": (b"<html>no</html>", "no image: it starts with '<html>no</ht', and"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Run `git lfs pull`"),
    "GIF": (encoded("GIF", **MOVING), "a GIF file, whatever its name says, and only"),
    "WebP": (encoded("WEBP", **MOVING), "a WebP file, .*the first picture of a moving"),
    "BMP": (encoded("BMP"), "a BMP file"),
    "TIFF": (encoded("TIFF"), "a TIFF file"),
    "HEIC": (b"\x00\x00\x00\x18ftypheic", "a HEIC file"),
    "cut JPEG": (JPEG[: len(JPEG) // 2], "is cut off or damaged .*Copy or download"),
    "JPEG without its end": (JPEG[:-2], "is cut off or damaged"),
    "JPEG cut in its head": (JPEG[:30], "is cut off or damaged"),
    "JPEG with zeros": (JPEG[:400] + bytes(400), "is cut off or damaged"),
    "cut PNG": (PNG[: len(PNG) // 2], "is cut off or damaged"),
    "PNG without its end": (PNG[:-4], r"is cut off or damaged \(there is no end\)"),
    "PNG cut in its head": (PNG[:20], "is cut off or damaged"),
    "flipped PNG": (
        PNG[:200] + bytes([PNG[200] ^ 255]) + PNG[201:],
        "is cut off or damaged",
    ),
    "no pixels": (claiming(0, 5), "is cut off or damaged"),
    "bomb": (claiming(8000, 8000), "8,000 x 8,000 = 64,000,000 pixels, more than the"),
    "larger bomb": (claiming(12_000, 9_000), "12,000 x 9,000 = 108,000,000 pixels"),
    "largest bomb": (claiming(90_000, 90_000), "far more pixels than the 50,000,000"),
    "CMYK of nobody": (without_adobe(), r"a CMYK JPEG without .*convert\('RGB'\)"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_images(name):
    check_image(GOOD[name], name)


@pytest.mark.parametrize("name", BAD)
def test_bad_images(name):
    data, message = BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=f"^my.csv:3: a.jpg: .*{message}"):
            check_image(data, "my.csv:3: a.jpg")


def test_a_bomb_is_not_decoded(monkeypatch):
    """A cut JPEG would be, to see what it lacks, if its size were not seen first."""
    start = JPEG.index(b"\xff\xc0") + 5
    bomb = JPEG[:start] + struct.pack(">HH", 8000, 8000) + JPEG[start + 4 : -2]
    monkeypatch.setattr(PillowFile, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(DataError, match="decoding it could take all the memory"):
        check_image(bomb, "bomb")


def test_what_passes_is_what_the_graph_decodes():
    """Every cut of an image, too: none passes here and stops a training."""
    from seqloom.tasks import image_reading

    assert image_reading.MAX_PIXELS == MAX_PIXELS

    def is_decoded(data):
        try:
            image_reading.decode_image(data, 8)
        except Exception:
            return False
        return True

    for name, data in GOOD.items():
        assert is_decoded(data), name
    # The one that decoders differ on is decoded, but in other colours.
    for name in BAD.keys() - {"CMYK of nobody"}:
        assert not is_decoded(BAD[name][0]), name
    for whole in (JPEG, PNG, GOOD["progressive"], GOOD["16 bits"]):
        for length in range(1, len(whole), len(whole) // 12):
            with pytest.raises(DataError):
                check_image(whole[:length], "cut")
            assert not is_decoded(whole[:length])


def test_cmyk_is_seen_in_pillows_colours():
    from seqloom.tasks.image_reading import decode_image

    picture = Image.new("RGB", (16, 16), (250, 120, 10))
    data = encoded("JPEG", "CMYK", picture, quality=100)
    seen = decode_image(data, 16)
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
    np.testing.assert_allclose(seen, wanted, atol=2)
    np.testing.assert_allclose(seen[8, 8], (250, 120, 10), atol=3)
    other = encoded("JPEG", "CMYK", quality=100).replace(b"Adobe", b"Other")
    with pytest.raises(DataError, match="CMYK JPEG without Adobe's marker"):
        check_image(other, "other")


# === Where they are ===


@pytest.fixture
def zipped(tmp_path):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("in/a.png", PNG)
        packed.writestr("in/b.jpg", JPEG)
    return str(path)


def test_images_are_read_where_they_are(tmp_path, zipped):
    (tmp_path / "a.png").write_bytes(PNG)
    file = ImageFile(str(tmp_path / "a.png"))
    assert file.read() == PNG
    assert str(file) == f"{tmp_path}/a.png"
    member = ImageFile(zipped, "in/b.jpg")
    assert member.read() == JPEG
    assert str(member) == f"{zipped}!in/b.jpg"
    assert ImageBytes(PNG).read() == PNG
    assert len(repr(ImageBytes(PNG))) < 40


def test_a_zip_is_opened_once(zipped, monkeypatch):
    opened = []
    real = zipfile.ZipFile
    monkeypatch.setattr(
        zipfile, "ZipFile", lambda path: opened.append(path) or real(path)
    )
    for member in ("in/a.png", "in/b.jpg", "in/a.png"):
        ImageFile(zipped, member).read()
    assert opened == [zipped]
    # In a process that was forked off, once more.
    monkeypatch.setattr(os, "getpid", lambda: -1)
    ImageFile(zipped, "in/a.png").read()
    assert opened == [zipped, zipped]


def test_images_that_are_not_there(tmp_path, zipped):
    for file in (ImageFile(str(tmp_path / "no.png")), ImageFile(zipped, "in/no.png")):
        with pytest.raises(FileNotFoundError, match="no.png"):
            file.read()


def test_images_that_cannot_be_read(tmp_path, zipped, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"folder.png: cannot be read \(Is a directory"):
        ImageFile(str(tmp_path / "folder.png")).read()
    damaged = tmp_path / "damaged.zip"
    content = bytearray((tmp_path / "images.zip").read_bytes())
    content[60] ^= 255
    damaged.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged.zip!in/a.png: cannot be read \("):
        ImageFile(str(damaged), "in/a.png").read()
    damaged.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"damaged2.zip!in/a.png: cannot be read \("):
        ImageFile(str(damaged.rename(tmp_path / "damaged2.zip")), "in/a.png").read()
    monkeypatch.setattr(image_files, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(DataError, match="in/b.jpg: more than 100 bytes, which no"):
        ImageFile(zipped, "in/b.jpg").read()
