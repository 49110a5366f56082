"""Read named files of a wheel, an sdist or another archive, safely."""

import io
import os
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import IO

from seqloom.pipelines.errors import UserError

MAX_MEMBER_BYTES = 2**30
MAX_TEXT_BYTES = 2**26  # of a member that is held in memory
Archive = str | bytes | os.PathLike | None  # what zipfile and tarfile call a name
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError)


def extract_member(
    archive: str | Path,
    members: Sequence[str],
    target: str | Path,
    max_bytes: int = MAX_MEMBER_BYTES,
) -> None:
    """Write a file from inside an archive to `target`; nothing else is unpacked.

    Args:
        archive: A zip (a wheel is one) or a tar, plain or compressed.
        members: Path of the file inside; for an archive inside the archive first its
            path, then the path inside that one.
        target: Where the bytes go; replaced if it exists.
        max_bytes: Refuse a file that unpacks to more.

    Raises:
        UserError: Damaged archive, no such member, a member that is a link or no
            regular file, an unsafe path, or too many bytes.
    """
    member, *inner = members
    with open_member(archive, member) as source:
        if not inner:
            with Path(target).open("wb") as file:
                _copy(source, file, f"{member} in {archive}", max_bytes)
            return
        folder = Path(target).parent
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".archive") as nested:
            _copy(source, nested, f"{member} in {archive}", max_bytes)
            nested.flush()
            extract_member(nested.name, inner, target, max_bytes)


@contextmanager
def open_member(archive: str | Path, member: str) -> Iterator[IO[bytes]]:
    """Open a file inside a zip or a tar, to be read bit by bit.

    Raises:
        UserError: As for `extract_member`, but for the number of bytes.
    """
    _check_name(archive, member)
    with _damage_told(archive):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed, _open_zip(packed, member) as file:
                yield file
        else:
            with tarfile.open(archive) as tar, _open_tar(tar, member) as file:
                yield file


def read_members(
    archive: str | Path, pattern: str, max_bytes: int = MAX_TEXT_BYTES
) -> Iterator[tuple[str, bytes]]:
    r"""The files of a zip (a wheel is one) whose path fits a regular expression.

        for path, content in read_members(wheel, r"django/.*/fr/.*\.po"): ...

    Yields:
        Path and content, in the order of the paths; one file is held at a time.

    Raises:
        UserError: As for `extract_member`.
    """
    with _damage_told(archive), zipfile.ZipFile(archive) as packed:
        for member in sorted(packed.namelist()):
            if not re.fullmatch(pattern, member):
                continue
            _check_name(archive, member)
            content = io.BytesIO()
            with _open_zip(packed, member) as file:
                _copy(file, content, f"{member} in {archive}", max_bytes)
            yield member, content.getvalue()


def _check_name(archive: str | Path, member: str) -> None:
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member:
        raise UserError(
            f"{archive}: refused to read the member {member!r}: its path leaves the "
            "archive. Name a relative path without '..', '\\' or ':'."
        )


@contextmanager
def _damage_told(archive: str | Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full or unreadable disk is not the archive's fault
        raise UserError(
            f"{archive}: damaged, cut short or no zip or tar archive ({error}). "
            "Delete the file and run the command again to download it anew."
        ) from error


def _open_zip(packed: zipfile.ZipFile, member: str) -> IO[bytes]:
    try:
        info = packed.getinfo(member)
    except KeyError:
        raise _no_member(packed.filename, member, packed.namelist()) from None
    mode = info.external_attr >> 16
    if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
        raise _no_regular_file(packed.filename, member)
    return packed.open(info)


def _open_tar(packed: tarfile.TarFile, member: str) -> IO[bytes]:
    try:
        info = packed.getmember(member)
    except KeyError:
        raise _no_member(packed.name, member, packed.getnames()) from None
    file = packed.extractfile(info) if info.isreg() else None
    if file is None:
        raise _no_regular_file(packed.name, member)
    return file


def _no_member(archive: Archive, member: str, names: list[str]) -> UserError:
    near = get_close_matches(member, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UserError(f"{archive!s}: holds no file {member!r}.{hint}")


def _no_regular_file(archive: Archive, member: str) -> UserError:
    return UserError(
        f"{archive!s}: refused to read {member!r}: it is a link, a folder or "
        "a device, not a regular file. Name the file it stands for."
    )


def _copy(source: IO[bytes], target: IO[bytes], what: str, max_bytes: int) -> None:
    copied = 0
    while chunk := source.read(2**20):
        copied += len(chunk)
        # The size in the header is a claim; what comes out is what counts.
        if copied > max_bytes:
            raise UserError(
                f"{what} unpacks to more than {max_bytes:,} bytes: refused. If the "
                "archive is the right one, its source needs a larger max_bytes."
            )
        target.write(chunk)
