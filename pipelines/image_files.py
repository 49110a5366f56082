"""Files of images: where they are, and what is wrong with bytes that are no image.

`check_image` looks at bytes before any decoder sees them, so that a bad file is named
when the data is loaded and not when training is an hour old. What it lets pass is what
`tasks.image_reading` decodes: JPEG and PNG, at most `MAX_PIXELS`, complete.
"""

import io
import os
import threading
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from seqloom.pipelines.text_tables import shown
from seqloom.tasks.records import DataError

# As in tasks.image_reading. A file of a few bytes can claim any size.
MAX_PIXELS = 50_000_000
MAX_IMAGE_BYTES = 2**28

_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# What else people call an image, by the bytes that such files start with.
_OTHERS = {
    b"GIF8": "a GIF",
    b"RIFF": "a WebP",
    b"BM": "a BMP",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"%PDF": "a PDF",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000",
}
# In these the letters follow after four bytes of length.
_BOXES = {b"heic": "a HEIC", b"mif1": "a HEIC", b"avif": "an AVIF"}
_DAMAGE = (OSError, SyntaxError, ValueError, zlib.error)


# === Where they are ===


@dataclass(frozen=True)
class ImageFile:
    """An image in a file of its own, or in a zip, which stays open in between.

    Args:
        path: The file, or the zip.
        member: Path inside the zip; None for a file of its own.
    """

    path: str
    member: str | None = None

    def __str__(self) -> str:
        return self.path if self.member is None else f"{self.path}!{self.member}"

    def read(self) -> bytes:
        """The bytes, at most `MAX_IMAGE_BYTES`.

        Raises:
            FileNotFoundError: There is no such file, or no such file in the zip.
            DataError: It cannot be read, is damaged in the zip, or too large.
        """
        try:
            if self.member is None:
                with Path(self.path).open("rb") as file:
                    data = file.read(MAX_IMAGE_BYTES + 1)
            else:
                with _archive(self.path).open(self.member) as file:
                    data = file.read(MAX_IMAGE_BYTES + 1)
        except KeyError:
            raise FileNotFoundError(f"{self.path}: holds no {self.member!r}") from None
        except FileNotFoundError:
            raise
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            raise DataError(
                f"{self}: cannot be read ({why}). Copy or download the file again."
            ) from error
        if len(data) > MAX_IMAGE_BYTES:
            raise DataError(
                f"{self}: more than {MAX_IMAGE_BYTES:,} bytes, which no image of the "
                f"{MAX_PIXELS:,} pixels that are read should have. Make it smaller."
            )
        return data


class _Archives(threading.local):
    """The zips that this thread has open."""

    process = 0
    opened: dict[str, zipfile.ZipFile]


_ARCHIVES = _Archives()


def _archive(path: str) -> zipfile.ZipFile:
    """Open a zip, once in every thread: to list its files takes a tenth of a second."""
    if _ARCHIVES.process != os.getpid():
        # A process that was forked off would share its parent's place in the file.
        _ARCHIVES.process, _ARCHIVES.opened = os.getpid(), {}
    if path not in _ARCHIVES.opened:
        _ARCHIVES.opened[path] = zipfile.ZipFile(path)
    return _ARCHIVES.opened[path]


# === What is wrong with them ===


def check_image(data: bytes, name: str) -> None:
    """See that bytes are an image that can be read; they are decoded only in doubt.

    Accepted are JPEG and PNG from one pixel up to `MAX_PIXELS`, coloured, grey, with a
    palette or with transparency (which is left out), of 8 or 16 bits (of which the
    upper 8 are used). CMYK JPEGs are accepted where they carry Adobe's marker, as
    nearly all do: without it decoders disagree about what is black. Of a PNG with
    several pictures, and of the JPEGs of some telephones, the first counts.

    Args:
        data: The bytes.
        name: What and where they are, to begin the message with.

    Raises:
        DataError: No such image, or one that is cut off or too large, and what to do.
    """
    if not data:
        raise DataError(
            f"{name}: the image is empty: a file of 0 bytes. Copy or download it again."
        )
    is_jpeg, is_png = data.startswith(_JPEG_START), data.startswith(_PNG_START)
    if not is_jpeg and not is_png:
        raise DataError(f"{name}: {_what_else(data)}")
    with warnings.catch_warnings():
        # Pillow warns of what is refused here anyway.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=["JPEG" if is_jpeg else "PNG"])
        except Image.DecompressionBombError:
            raise DataError(_too_large(name, "far more pixels")) from None
        except (UnidentifiedImageError, *_DAMAGE) as error:
            raise DataError(_damaged(name, error)) from None
    width, height = image.size
    if not width * height:
        raise DataError(_damaged(name, f"{width} x {height} pixels"))
    if width * height > MAX_PIXELS:
        what = f"{width:,} x {height:,} = {width * height:,} pixels, more"
        raise DataError(_too_large(name, what))
    if is_jpeg:
        _check_jpeg(image, data, name)
    else:
        _check_png(image, data, name)


def _check_jpeg(image: Image.Image, data: bytes, name: str) -> None:
    if image.mode == "CMYK" and "adobe" not in image.info:
        raise DataError(
            f"{name}: a CMYK JPEG without Adobe's marker: nobody can say whether its "
            "black is 0 or 255. Look at it and convert it to RGB, for example with "
            "`python -c \"from PIL import Image; Image.open('in.jpg').convert('RGB')"
            ".save('out.png')\"`."
        )
    # The end's two bytes are nowhere in the pixels: a file that ends with them was not
    # cut off. One that does not may only be followed by something else.
    if not data.endswith(_JPEG_END):
        try:
            image.load()
        except _DAMAGE as error:
            raise DataError(_damaged(name, error)) from None


def _check_png(image: Image.Image, data: bytes, name: str) -> None:
    if _PNG_END not in data:
        raise DataError(_damaged(name, "there is no end"))
    try:
        image.verify()  # the checksums of its parts
    except _DAMAGE as error:
        raise DataError(_damaged(name, error)) from None


def _what_else(data: bytes) -> str:
    kinds = [kind for start, kind in _OTHERS.items() if data.startswith(start)]
    if data[4:8] == b"ftyp":
        kinds = [_BOXES.get(data[8:12], "a film or a HEIC")]
    if kinds:
        return (
            f"{kinds[0]} file, whatever its name says, and only JPEG and PNG are read. "
            'Convert it, for example with `python -c "from PIL import Image; '
            "Image.open('in').convert('RGB').save('out.png')\"` (which takes the first "
            "picture of a moving one)."
        )
    if data.startswith(b"version https://git-lfs"):
        return (
            "a pointer of Git LFS, not the image that it points to. Run `git lfs pull` "
            "in the folder of the images."
        )
    return (
        f"no image: it starts with {shown(repr(data[:12])[2:-1])}, and JPEG and PNG "
        "files do not. Replace it by a JPEG or PNG file, or take its captions out."
    )


def _damaged(name: str, why: object) -> str:
    return (
        f"{name}: the image is cut off or damaged ({why}). Copy or download the file "
        "again."
    )


def _too_large(name: str, what: str) -> str:
    return (
        f"{name}: the image has {what} than the {MAX_PIXELS:,} that are read: decoding "
        "it could take all the memory there is. Make it smaller; models see a few "
        "hundred pixels of each side."
    )
