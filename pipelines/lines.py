"""Lines of a UTF-8 file, plain or gzipped, one at a time."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seqloom.pipelines.errors import UserError
from seqloom.tasks.records import DataError


@dataclass(frozen=True)
class Line:
    """A line of a file: its number from 1, its text, or why it cannot be read."""

    number: int
    text: str
    problem: str = ""


def read_lines(path: str | Path) -> Iterator[Line]:
    """Yield the lines of a UTF-8 file, plain or gzipped; a bad one tells its problem.

    Raises:
        UserError: The file is missing or cannot be read.
        DataError: The file breaks off as gzip.
    """
    try:
        with Path(path).open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if is_gzip else Path(path).open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                yield _decode(number, raw.rstrip(b"\r\n"), path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file. Check the path given as data.train, data.dev or "
            "data.test; a relative path starts at the folder the command runs in."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip data is damaged or breaks off ({error}). "
            f"Check it with `gzip -t {path}` and copy or download it again."
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}). Give a readable "
            "text file as data.train, data.dev or data.test."
        ) from error


def _decode(number: int, raw: bytes, path: str | Path) -> Line:
    suffix = Path(str(path).removesuffix(".gz")).suffix
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = (
            f"byte 0x{raw[error.start]:02x} at position {error.start + 1} is not "
            "UTF-8. Convert the file, for example with "
            f"`iconv -f ISO-8859-1 -t UTF-8 {path} > utf8{suffix}`, naming the "
            "encoding it really has (UTF-16 and WINDOWS-1252 are common too)."
        )
        return Line(number, raw.decode("utf-8", "backslashreplace"), problem)
    if "\r" in text:
        problem = (
            "a carriage return inside the line: these are not line ends here. Convert "
            f"with `tr '\\r' '\\n' < {path} > unix{suffix}`."
        )
        return Line(number, text, problem)
    if "\x00" in text:
        problem = (
            "a NUL character: this looks like UTF-16, or is not text. Convert it "
            f"with `iconv -f UTF-16 -t UTF-8 {path} > utf8{suffix}`."
        )
        return Line(number, text, problem)
    return Line(number, text)
