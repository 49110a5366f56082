"""Which metrics stand in tables of runs, and how they are written."""

from collections.abc import Mapping

# The metric that says how good a run is: the first of these that a run has.
MAIN_METRICS = (
    "f1",
    "bleu",
    "correct",
    "cider_d",
    "accuracy",
    "perplexity",
    "loss",
)
# Worth a column of their own, if a run has them on the test split.
MORE_METRICS = (
    "chrf",
    "correct_held_out",
    "bleu_4",
    "rouge_l",
    "perplexity",
    "conlleval_f1",
    "f1_unknown",
    "accuracy_unknown",
    "macro_f1",
    "calibration_error",
)
# On scales of their own: out of 100 already, out of 10, or numbers of something.
AS_THEY_ARE = (
    *("bleu", "bleu_1", "bleu_2", "bleu_3", "bleu_4"),
    *("chrf", "rouge_l", "cider_d", "length_ratio"),
    *("perplexity", "words_used", "mean_length"),
)


def main_metric(metrics: Mapping[str, float]) -> str:
    """The first of `MAIN_METRICS` that there is, or an empty text."""
    return next((name for name in MAIN_METRICS if name in metrics), "")


def metric_name(metric: str) -> str:
    """A metric's key as people write it: `macro_f1` is `macro F1`."""
    words = {"bleu": "BLEU", "chrf": "chrF", "f1": "F1", "rouge": "ROUGE"}
    words |= {"l": "L", "cider": "CIDEr", "d": "D"}
    return " ".join(words.get(word, word) for word in metric.split("_"))


def plain_score(name: str, value: float) -> str:
    """A score on its own scale, with as many digits as say something."""
    return f"{value:.2f}" if name in AS_THEY_ARE else f"{value:.4f}"


def score_text(metrics: Mapping[str, float], name: str) -> str:
    """A score out of 1 in percent; those on other scales as they are."""
    value = metrics.get(name)
    if value is None:
        return "–"
    if name.endswith("loss"):
        return f"{value:.4f}"
    return f"{value if name in AS_THEY_ARE else 100 * value:.2f}"
