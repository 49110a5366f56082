"""spaCy's CPU pipeline for named entities, in a process of its own.

    python benchmarks/spacy_worker.py data.json seconds

`data.json` holds {"train": [[tokens, tags], ...], "texts": [...]}. Trains for so many
seconds, then answers every line of JSON on standard input with one on standard output:

    {"processes": 1}     {"seconds": 3.2, "entities": 5012}     all texts, in batches
    {"single": 100}      {"seconds": 0.004}                     median of single texts
"""

import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

import spacy
from spacy.cli.init_config import init_config
from spacy.tokens import Doc
from spacy.training import Example, iob_to_biluo

BATCH_SENTENCES = 64


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    data = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    nlp, updates = train(data["train"], float(sys.argv[2]))
    answer(answers, version=spacy.__version__, updates=updates)
    for line in sys.stdin:
        request = json.loads(line)
        if "single" in request:
            texts = data["texts"][: request["single"]]
            answer(answers, seconds=statistics.median(single_seconds(nlp, texts)))
        else:
            answer(answers, **label(nlp, data["texts"], request["processes"]))


def train(sentences: list, seconds: float):
    """What `spacy init config --pipeline ner --optimize efficiency` gives, trained."""
    config = init_config(lang="en", pipeline=["ner"], optimize="efficiency")
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    examples = [
        Example.from_dict(Doc(nlp.vocab, tokens), {"entities": iob_to_biluo(tags)})
        for tokens, tags in sentences
    ]
    optimizer = nlp.initialize(lambda: examples[:2000])
    draw = random.Random(1)
    started, updates = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        batch = draw.sample(examples, BATCH_SENTENCES)
        nlp.update(batch, sgd=optimizer, drop=0.1)
        updates += 1
    return nlp, updates


def label(nlp, texts: list[str], processes: int) -> dict:
    started = time.perf_counter()
    entities = sum(len(doc.ents) for doc in nlp.pipe(texts, n_process=processes))
    return {"seconds": time.perf_counter() - started, "entities": entities}


def single_seconds(nlp, texts: list[str]):
    for text in texts:
        started = time.perf_counter()
        nlp(text)
        yield time.perf_counter() - started


def answer(file, **values) -> None:
    print(json.dumps(values), file=file, flush=True)


if __name__ == "__main__":
    main()
