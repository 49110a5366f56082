import math

import numpy as np
import pytest

from seqloom.pipelines import verify as module
from seqloom.pipelines.verify import VerificationError, compare, decode, main, plain


def test_equal_values_pass():
    compare({"a": [1, "x", 0.5]}, {"a": [1, "x", 0.5 + 9e-6]}, "here")


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        ({"a": 1}, {"b": 1}, r"here: expected \['a'\], got \['b'\]"),
        ([1, 2], [1], "here, length: expected 2, got 1"),
        ({"tags": ["O", "B"]}, {"tags": ["O", "O"]}, r"here, tags\[1\]: expected 'B'"),
        ([0.5], [0.50002], r"here\[0\]: expected 0.5, got 0.50002"),
        ([0.5], [math.nan], "got nan"),
        ([math.nan], [math.nan], "expected nan"),
        ([1], ["1"], "expected 1, got '1'"),
    ],
)
def test_the_first_difference_is_named(expected, got, message):
    with pytest.raises(VerificationError, match=message):
        compare(expected, got, "here")


def test_plain_outputs_and_golden_inputs():
    outputs = {
        "tags": np.array([b"O", "Zoë".encode()], object),
        "scores": np.array([0.5], np.float32),
        "starts": np.array([], np.int64),
    }
    assert plain(outputs) == {"scores": [0.5], "starts": [], "tags": ["O", "Zoë"]}
    assert decode(["/w=="]) == [b"\xff"]


def test_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["verify", str(tmp_path)])
    assert main() == 2
    assert "There are no golden examples" in capsys.readouterr().err
    monkeypatch.setattr(module, "verify", lambda _: ["all equal"])
    assert main() == 0
    assert capsys.readouterr().out == "all equal\n"
    monkeypatch.setattr("sys.argv", ["verify"])
    assert main() == 2
