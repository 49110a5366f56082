import math

import numpy as np
import pytest

from seqloom.pipelines import verify as module
from seqloom.pipelines.verify import (
    VerificationError,
    call_signature,
    compare,
    decode,
    encode,
    main,
    plain,
)


def test_equal_values_pass():
    compare({"a": [1, "x", 0.5]}, {"a": [1, "x", 0.5 + 9e-6]}, "here")
    compare([-800.0, "-inf"], [-800.007, "-inf"], "here")


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        ({"a": 1}, {"b": 1}, r"here: expected \['a'\], got \['b'\]"),
        ([1, 2], [1], "here, length: expected 2, got 1"),
        ({"tags": ["O", "B"]}, {"tags": ["O", "O"]}, r"here, tags\[1\]: expected 'B'"),
        ([0.5], [0.50002], r"here\[0\]: expected 0.5, got 0.50002"),
        ([-800.0], [-800.009], "expected -800.0, got -800.009"),
        (["-inf"], [-800.0], "expected '-inf', got -800.0"),
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
    rows = np.array([["Zoë".encode(), b""]], object)
    outputs = {"texts": rows, "scores": np.array([[0.0, -np.inf]], np.float32)}
    assert plain(outputs) == {"scores": [[0.0, "-inf"]], "texts": [["Zoë", ""]]}
    assert encode([b"\xff"]) == ["/w=="]
    assert decode(["/w=="]) == [b"\xff"]


def test_golden_inputs_keep_their_types():
    inputs = {
        "texts": ["/w=="],
        "row_lengths": [2, 0],
        "beam": {"int32": 4},
        "length_penalty": {"float32": 0.5},
    }
    got = call_signature(lambda **tensors: tensors, inputs)
    assert got["texts"].numpy().tolist() == [b"\xff"]
    types = {name: tensor.dtype.name for name, tensor in got.items()}
    assert types == {
        "texts": "string",
        "row_lengths": "int64",
        "beam": "int32",
        "length_penalty": "float32",
    }
    assert got["beam"].shape == () and int(got["beam"]) == 4


def test_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["verify", str(tmp_path)])
    assert main() == 2
    assert "There are no golden examples" in capsys.readouterr().err
    monkeypatch.setattr(module, "verify", lambda _: ["all equal"])
    assert main() == 0
    assert capsys.readouterr().out == "all equal\n"
    monkeypatch.setattr("sys.argv", ["verify"])
    assert main() == 2
