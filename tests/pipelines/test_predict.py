"""The predict command: what it takes, what it prints, and where."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from seqloom.pipelines import cli, cli_predict, predict
from seqloom.pipelines.errors import UserError


class Echo:
    """Stands in for a trained translator: every text is its own translation."""

    task = SimpleNamespace(name="translation")

    def __init__(self):
        self.asked = []

    def stream(self, texts, batch_size, **options):
        self.asked.append(options)
        for text in texts:
            row = {"text": text, "translation": text, "score": -0.5}
            row["truncated"] = len(text) > 20
            if options.get("attention"):
                looks = [[1.0, 0.0]] * len(text.split())
                row |= {"source_pieces": ["a", "</s>"], "attention": looks}
                row["target_pieces"] = text.split()
            yield row


@pytest.fixture
def echo(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    trained = Echo()
    monkeypatch.setattr(predict, "load", lambda _: trained)
    return trained


@pytest.fixture
def run(echo, monkeypatch):
    """Runs `seqloom predict translation ...` on a run that echoes."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cli_predict, "import_engine", lambda: None)
    monkeypatch.setattr(cli_predict, "find_run", lambda *_: Path("a/run"))
    config = SimpleNamespace(task="translation")
    resolved = SimpleNamespace(config=config)
    monkeypatch.setattr(cli_predict, "settings_of", lambda _: resolved)

    def run(*args, **options):
        return CliRunner().invoke(cli.app, ["predict", "translation", *args], **options)

    return run


def test_a_translation_is_a_line(run):
    result = run("--text", "one\ntwo", "--text", "", "--text", "[b]3[/b]")
    assert result.exit_code == 0, result.output
    assert result.stdout == "one two\n\n[b]3[/b]\n"
    assert result.stderr == ""


def test_a_cut_source_is_told_beside(run):
    result = run(input="short\nmuch too long for this model\n")
    assert result.stdout.splitlines() == ["short", "much too long for this model"]
    assert result.stderr == "Text 2 is too long: its end was not read.\n"
    result = run("--json", input="much too long for this model\n")
    assert json.loads(result.stdout)["truncated"] is True
    assert result.stderr == ""


def test_options_are_handed_on(run, echo):
    given = "--beam 5 --n-best 3 --length-penalty 0.8 --max-length 9"
    assert run("--text", "a", *given.split()).exit_code == 0
    given = "--sample --temperature 0.5 --top-k 7 --top-p 0.9 --seed 2 --n-best 2"
    assert run("--text", "a", *given.split()).exit_code == 0
    assert run("--text", "a").exit_code == 0
    assert echo.asked == [
        {"beam": 5, "n_best": 3, "length_penalty": 0.8, "max_length": 9},
        {
            "n_best": 2,
            "sample": True,
            "temperature": 0.5,
            "top_k": 7,
            "top_p": 0.9,
            "seed": 2,
        },
        {},
    ]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--temperature", "0.5"], "error: --temperature 0.5 says how to draw at"),
        (["--top-k", "3"], "error: --top-k 3 says how to draw at random"),
        (
            ["--image", "a.png"],
            "error: translation reads texts, got an image. Give",
        ),
        (["--seed", "3"], "Add --sample (SAMPLE=1 for make), or leave it out."),
        (["--beam", "0"], "Invalid value for '--beam'"),
        (["--attention", "a.jpg"], "error: Pictures are written as PNG, not as a.jpg."),
        (["--attention", "no/a.png"], "error: There is no folder no for a.png. Make"),
    ],
)
def test_mistakes(run, args, text):
    result = run("--text", "a", *args)
    assert result.exit_code == 2
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_attention_of_the_first_texts_is_drawn(run, tmp_path):
    result = run("--attention", "out.png", input="a b\n" * 14)
    assert result.exit_code == 0, result.output
    assert result.stdout == "a b\n" * 14
    assert result.stderr == "Drawn: out.png, of 12\n"
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    for nothing in ("", "\n"):
        result = run("--attention", "none.png", input=nothing)
        assert result.exit_code == 0, result.output
        assert result.stderr == "Nothing was written: none.png is not drawn.\n"
        assert not (tmp_path / "none.png").exists()


def test_a_picture_that_cannot_be_written(echo, tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(UserError, match="out.png cannot be written: .* Name another."):
        predict.predict_command(Path("a/run"), ["a"], attention=Path("out.png"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_while_the_answers_go_elsewhere(echo, monkeypatch, tmp_path):
    (tmp_path / "in.txt").write_text("a\nb\nc")
    out, err = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    predict.predict_command(Path("a/run"), [], file="in.txt")
    assert out.getvalue() == "a\nb\nc\n"
    assert "3/3" in err.getvalue() and "a second" in err.getvalue()
    err.truncate(0)
    predict.predict_command(Path("a/run"), ["a"])  # not worth a bar
    assert "a second" not in err.getvalue()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\nb\n")))
    predict.predict_command(Path("a/run"), [], file="-")
    assert "2/?" in err.getvalue()


def test_no_bar_runs_through_answers_on_a_terminal(echo, monkeypatch, tmp_path):
    (tmp_path / "in.txt").write_text("a\nb\nc")
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert Console().is_terminal
    predict.predict_command(Path("a/run"), [], file="in.txt")
    assert "a second" not in err.getvalue()
