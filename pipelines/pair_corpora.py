"""The corpora of sentence pairs that seqloom fetches."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.localization import (
    LANGUAGES,
    localization_sources,
    read_localization,
)
from seqloom.pipelines.pair_readers import read_line_pairs, read_tatoeba
from seqloom.pipelines.sources import Source
from seqloom.tasks.records import SentencePair

Read = Callable[[str, Sequence[Path], Counter[str]], Iterator[SentencePair]]


@dataclass(frozen=True)
class PairCorpus:
    """A corpus of sentences in two or more languages.

    Attributes:
        licence: Short name of the licence.
        licence_note: What a user has to know before using the corpus or a model
            trained on it; said when it is fetched.
        pairs: The pairs of languages it has, such as "en-fr".
        sources: Pair -> split -> the files of the split. Splits that are missing are
            taken out of training by `hash_split` of the English side, so that
            paraphrases stay together, whichever way they are translated.
        read: Reads the files of a split: pair, files, counter of what it leaves out.
        remedy: What to do where the files cannot be had.
    """

    name: str
    title: str
    licence: str
    licence_note: str
    homepage: str
    pairs: tuple[str, ...]
    sources: Callable[[str], dict[str, tuple[Source, ...]]]
    read: Read
    remedy: str = ""


def check_pair(corpus: PairCorpus, pair: str) -> None:
    """See that the corpus has this pair of languages.

    Raises:
        UserError: It has not; which there are.
    """
    if pair in corpus.pairs:
        return
    near = get_close_matches(pair, corpus.pairs, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UserError(
        f"data.pair={pair}: data.corpus={corpus.name} has no such pair of languages. "
        f"It has {', '.join(corpus.pairs)}.{hint} For other languages give files of "
        'your own: SET="data.train=my.tsv".'
    )


def _with_english(languages: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{a}-{b}" for x in languages for a, b in (("en", x), (x, "en")))


def _other(pair: str) -> str:
    source, _, target = pair.partition("-")
    return target if source == "en" else source


# === Multi30k ===

_MULTI30K_FILES = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
_MULTI30K = {
    "train.en": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.de": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.fr": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.en": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.de": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.fr": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "test_2016_flickr.en": (
        "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"
    ),
    "test_2016_flickr.de": (
        "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"
    ),
    "test_2016_flickr.fr": (
        "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90"
    ),
}


def _multi30k(file: str) -> Source:
    # The commit that brought these files in; the branch goes second, since train.en
    # was committed twice. The hash lets no other version through.
    repository = "https://raw.githubusercontent.com/multi30k/dataset"
    addresses = tuple(
        f"{repository}/{version}/data/task1/raw/{file}.gz"
        for version in ("c9be912dc05a3ebf9ae5bb5f7f58c1791cda43ab", "master")
    )
    return Source(f"multi30k/{file}.gz", _MULTI30K[file], addresses)


def _multi30k_sources(pair: str) -> dict[str, tuple[Source, ...]]:
    return {
        split: tuple(_multi30k(f"{file}.{language}") for language in pair.split("-"))
        for split, file in _MULTI30K_FILES.items()
    }


def _read_multi30k(
    pair: str, paths: Sequence[Path], left_out: Counter[str]
) -> Iterator[SentencePair]:
    return read_line_pairs(paths[0], paths[1])


# === Tatoeba ===

# The publisher replaces the files several times a year, so that none can be pinned for
# long. These are of 2017 (French) and 2018 (German).
_TATOEBA = {
    "fr": ("fra", "16c4f7d0df9e7c5e6c54cdb0447f3f4a18a55052ff5e2e0b27dd4a06c0e49d04"),
    "de": ("deu", "b7688f84f99fa33c17397c14d8bd9cef1fdeb2ee0bf50074767023aee8926e28"),
}


def _tatoeba_sources(pair: str) -> dict[str, tuple[Source, ...]]:
    code, sha256 = _TATOEBA[_other(pair)]
    file = f"{code}-eng.zip"
    address = f"https://www.manythings.org/anki/{file}"
    return {"train": (Source(f"tatoeba/{file}", sha256, (address,)),)}


def _read_tatoeba(
    pair: str, paths: Sequence[Path], left_out: Counter[str]
) -> Iterator[SentencePair]:
    code, _ = _TATOEBA[_other(pair)]
    return read_tatoeba(paths[0], f"{code}.txt", english_first=pair.startswith("en-"))


PAIR_CORPORA: dict[str, PairCorpus] = {
    "localization": PairCorpus(
        name="localization",
        title="Messages of the user interfaces of Django and Wagtail, names of emoji",
        licence="BSD-3-Clause",
        licence_note=(
            "Of Django, Wagtail and emoji alike: keep their copyright notices where "
            "you pass the messages on. The names of emoji come from Unicode CLDR "
            "(Unicode licence)."
        ),
        homepage="https://www.djangoproject.com",
        pairs=_with_english(LANGUAGES),
        sources=lambda pair: {"train": localization_sources(_other(pair))},
        read=read_localization,
    ),
    "multi30k": PairCorpus(
        name="multi30k",
        title="Multi30k: descriptions of photographs, test 2016",
        licence="non-commercial research",
        licence_note=(
            "The photographs' descriptions are those of Flickr30k: for research and "
            "education only. Cite Elliott et al. 2016 (French: 2017) where you publish "
            "results."
        ),
        homepage="https://github.com/multi30k/dataset",
        pairs=tuple("-".join(pair) for pair in permutations(("en", "de", "fr"), 2)),
        sources=_multi30k_sources,
        read=_read_multi30k,
    ),
    "tatoeba": PairCorpus(
        name="tatoeba",
        title="Tatoeba: sentences for learners of English",
        licence="CC BY 2.0 FR",
        licence_note="Name Tatoeba.org and manythings.org/anki as the source.",
        homepage="https://www.manythings.org/anki",
        pairs=_with_english(tuple(_TATOEBA)),
        sources=_tatoeba_sources,
        read=_read_tatoeba,
        remedy=(
            "The publisher replaces this file several times a year. To train on "
            "today's, download and unzip it, and name its text as your own: "
            'SET="data.train=fra.txt" (English is the source; for the other way round '
            'add "data.source_column=1 data.target_column=0").'
        ),
    ),
}
