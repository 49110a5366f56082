"""The package as it is built and installed, and the habits that hold it together."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("layers", "tasks", "pipelines", "configs")

if not (ROOT / "setup.cfg").is_file():
    pytest.skip("needs the source tree", allow_module_level=True)

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def lines(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def requirements():
    """Requirement line -> project name, in lower case, with dashes."""
    declared = lines(SETUP["options"]["install_requires"])
    for extra in SETUP["options.extras_require"].values():
        declared += lines(extra)
    return {line: normal(re.match(r"[\w.-]+", line).group()) for line in declared}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def python_files(*folders):
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def imported(path):
    """The modules that a file imports, with their line numbers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, node.lineno


# === The wheel ===


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel built from a copy of the tree."""
    pytest.importorskip("build")
    tree = tmp_path_factory.mktemp("tree")
    no_caches = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=no_caches)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", str(tree)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_wheel_holds_the_whole_tree(wheel):
    """Folders that setup.cfg forgets would work in an editable install only."""
    expected = {
        f"seqloom/{path.relative_to(ROOT)}"
        for folder in FOLDERS
        for pattern in ("*.py", "*.yaml")
        for path in (ROOT / folder).rglob(pattern)
    }
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_wheel_has_command_and_licence(wheel):
    [points] = [n for n in wheel.namelist() if n.endswith("/entry_points.txt")]
    assert "seqloom = seqloom.pipelines.cli:main" in wheel.read(points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


# === Names and imports ===


def test_modules_are_those_of_the_namespace():
    from seqloom.pipelines.config import Config
    from seqloom.tasks.records import TaggedSentence

    assert Config.__module__ == "seqloom.pipelines.config"
    assert TaggedSentence.__module__ == "seqloom.tasks.records"


def test_layers_are_those_of_the_namespace():
    import keras

    from seqloom import layers

    found = [item for item in vars(layers).values() if isinstance(item, type)]
    assert any(issubclass(item, keras.layers.Layer) for item in found)
    for layer in found:
        assert layer.__module__.startswith("seqloom.layers")


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("layers", {"layers"}),
        ("tasks", {"layers", "tasks"}),
        ("pipelines", {"layers", "tasks", "pipelines", "configs"}),
    ],
)
def test_arrows_go_one_way(folder, allowed):
    for path in python_files(folder):
        for module, line in imported(path):
            head, _, rest = module.partition(".")
            assert head not in FOLDERS, f"{path}:{line} imports {module}: say seqloom."
            if head == "seqloom" and rest:
                assert rest.split(".")[0] in allowed, f"{path}:{line}: {module}"


def test_tests_and_benchmarks_import_the_namespace():
    for path in python_files("tests", "benchmarks"):
        for module, line in imported(path):
            assert module.partition(".")[0] not in FOLDERS, f"{path}:{line}: {module}"


# === Dependencies ===


def test_every_dependency_has_bounds_that_hold_here():
    for line in requirements():
        assert re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?>=[\d.]+,<[\d.]+", line), line


@pytest.mark.parametrize("line", requirements())
def test_installed_version_is_within_the_bounds(line):
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    try:
        installed = version(requirement.name)
    except ModuleNotFoundError:
        pytest.skip(f"{requirement.name} is not installed")
    assert requirement.specifier.contains(installed), f"{installed} is installed"


def test_what_is_imported_is_declared():
    """Also what comes along with others today must be asked for by name."""
    declared = set(requirements().values())
    owners = packages_distributions()
    missing = set()
    for path in python_files("layers", "tasks", "pipelines"):
        for module, line in imported(path):
            head = module.partition(".")[0]
            if head == "seqloom" or head in sys.stdlib_module_names:
                continue
            names = {normal(name) for name in owners.get(head, [head])}
            if not names & declared:
                missing.add(f"{path}:{line} imports {module}: add it to setup.cfg")
    assert not missing


def test_lock_pins_what_is_declared():
    pinned = {}
    for line in lines((ROOT / "requirements.lock").read_text()):
        name, _, exact = line.partition("==")
        assert re.fullmatch(r"[\w.-]+", name) and exact, line
        pinned[normal(name)] = exact
    assert set(requirements().values()) <= set(pinned)


# === make ===


def make(*args):
    # -o: take the environment for ready, whichever one runs this test.
    command = ["make", "-o", "runtime", "-o", "dev", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def fake(tmp_path):
    """In the place of `seqloom`: prints what it was given."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    path = tmp_path / "fake"
    path.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    path.chmod(0o755)
    return f"SEQLOOM={path}"


def given(result):
    assert result.returncode == 0, result.stderr
    return [ast.literal_eval(line) for line in result.stdout.splitlines()]


def test_make_help_lists_the_targets(fake):
    text = make("help").stdout
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE):
        assert re.search(rf"^  {target} ", text, flags=re.MULTILINE)
    assert make().stdout == text


TEXTS = [
    "Rhea met Ada",
    'it\'s "quoted"',
    "$5 $$ $HOME ${HOME} $(HOME) $(shell echo no) $(open `echo no`",
    "emoji 😀, 日本 \\ # ; & | > <",
    "-starts with a dash",
    "two\nlines",
]


@pytest.mark.parametrize("text", TEXTS)
def test_make_hands_text_on_as_it_is(fake, text):
    result = make("predict", fake, "TASK=ner", f"TEXT={text}")
    assert given(result) == [["predict", "ner", f"--text={text}"]]


def test_make_hands_options_on(fake):
    result = make("predict", fake, "RUN=runs/a b", "FILE=my 'file'.txt", "JSON=1")
    expected = ["predict", "--run", "runs/a b", "--json", "--file=my 'file'.txt"]
    assert given(result) == [expected]
    settings = "training.epochs=3 data.train='my file'"
    result = make("train", fake, "TASK=pos", "CONFIG=a b.yaml", f"SET={settings}")
    expected = ["train", "pos", "--config", "a b.yaml", "--settings", settings]
    assert given(result) == [expected]
    assert given(make("train", fake, "TASK=ner", "RESUME=runs/x")) == [
        ["train", "ner", "--resume", "runs/x"]
    ]
    assert given(make("export", fake, "TASK=ner")) == [["export", "ner"]]
    assert given(make("check", fake, "TASK=ner")) == [
        ["check", "ner", "--replicas", "1"],
        ["check", "ner", "--replicas", "2"],
    ]


def test_make_says_what_is_missing_and_fails_when_the_command_does(fake):
    result = make("train", fake)
    assert result.returncode != 0
    assert (
        "error: which task? Say TASK=ner, pos, sentiment, translation or captioning."
        in result.stderr
    )
    assert "which run? Say RUN=" in make("bare", fake).stderr
    for target in ("train", "check", "evaluate"):
        assert make(target, "SEQLOOM=false", "TASK=ner").returncode != 0


def test_setup_says_which_pythons_do_not_fit(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho is Python 2.7.18\n")
    broken = tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    copy = tmp_path / "copy"
    (copy / ".ci").mkdir(parents=True)
    for name in (".ci/environment", "setup.cfg", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, copy / name)
    for path in (old, broken):
        path.chmod(0o755)
    for tool in ("sh", "cat", "cksum", "mkdir", "date", "dirname", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool))

    def setup(**environment):
        return subprocess.run(
            [shutil.which("sh"), str(copy / ".ci/environment"), "runtime"],
            env={"PATH": str(tmp_path), **environment},
            capture_output=True,
            text=True,
        )

    result = setup()
    assert result.returncode == 2
    assert "seqloom needs Python 3.11, 3.12 or 3.13. Install one, or name it" in (
        result.stderr
    )
    assert f"{old} is Python 2.7.18" in result.stderr
    assert f"{broken} does not run" in result.stderr
    result = setup(PYTHON=str(old))
    assert result.returncode == 2
    assert f"PYTHON={old} is Python 2.7.18. seqloom needs" in result.stderr
