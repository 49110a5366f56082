import numpy as np
import pytest

from seqloom.pipelines import figures


def history(steps=400, every=100):
    rows = []
    for step in range(1, steps + 1):
        rows.append({"step": step, "loss": 1.0 / step})
        if step % 20 == 0:
            speed = 1000.0 + step
            rows.append(
                {"step": step, "learning_rate": 0.1, "tokens_per_second": speed}
            )
        if step % every == 0:
            f1 = 0.9 - abs(step - 300) / 1000
            rows.append({"step": step, "epoch": 1, "val_f1": f1, "val_loss": 1 / f1})
    return rows


def titles(figure):
    return [axes.get_title("left") for axes in figure.axes if axes.has_data()]


def ringed(axes):
    """The point that is marked as the best one."""
    [mark] = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    return mark.get_xdata()[0], mark.get_ydata()[0]


def test_each_panel_says_what_it_shows():
    loss, validation, rate, speed = titles(figures.learning_curves(history()))
    assert loss.startswith("Loss at the end: training 0.0025")
    assert validation == "Validation F1: best 0.9000 at step 300"
    assert rate == "Learning rate: highest 0.1"
    assert speed == "Training speed: median 1,210 tokens/s"


def test_the_curves_are_the_data():
    _, validation, _, _ = figures.learning_curves(history()).axes
    np.testing.assert_array_equal(validation.lines[0].get_xdata(), [100, 200, 300, 400])
    np.testing.assert_allclose(validation.lines[0].get_ydata(), [0.7, 0.8, 0.9, 0.8])


def test_the_best_validation_is_marked():
    assert ringed(figures.learning_curves(history()).axes[1]) == (300, 0.9)
    chosen = figures.learning_curves(history(), best_step=200)
    assert ringed(chosen.axes[1]) == (200, pytest.approx(0.8))
    by_loss = figures.learning_curves(history(), monitor="loss")
    assert ringed(by_loss.axes[0]) == (300, pytest.approx(1 / 0.9))


def test_only_what_was_logged_gets_a_panel():
    rows = [row for row in history() if "learning_rate" not in row]
    assert len(titles(figures.learning_curves(rows))) == 2
    [title] = titles(figures.learning_curves([{"step": 1, "loss": 0.5}]))
    assert title == "Loss at the end: training 0.5"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 1, "loss": float("nan")}],
        [{"step": 1, "loss": 0.0}, {"step": 2, "val_f1": float("nan")}],
        [{"step": 1, "loss": float("inf"), "val_loss": None, "tokens_per_second": 0}],
    ],
)
def test_odd_histories_are_drawn_too(rows, tmp_path):
    path = figures.save(figures.learning_curves(rows), tmp_path / "a" / "b.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_equal_data_gives_equal_files(tmp_path):
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path in paths:
        figures.save(figures.learning_curves(history()), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_smoothing_is_a_centred_mean_that_skips_nans():
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    expected = []
    for i in range(5):
        window = values[max(0, i - 1) : i + 2]
        expected.append(np.mean([v for v in window if not np.isnan(v)]))
    np.testing.assert_allclose(figures.smooth(values, share=0.6), expected)
    np.testing.assert_allclose(figures.smooth(np.array([3.0])), [3.0])


def test_drawing_leaves_no_figures_in_pyplot():
    import matplotlib.pyplot

    before = matplotlib.pyplot.get_fignums()
    settings = dict(matplotlib.rcParams)
    figures.learning_curves(history())
    assert matplotlib.pyplot.get_fignums() == before
    assert dict(matplotlib.rcParams) == settings
