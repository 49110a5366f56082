"""Subwords: pieces of words that are learned from the data, and texts made of them.

SentencePiece trains them, tensorflow_text cuts texts into them in the graph. Nothing
is unknown, and nothing is lost: spaces are pieces too, and a character that the
vocabulary lacks is spelt by its UTF-8 bytes.

    "Zoë's  %(cat)s"  ->  ▁Zo | <0xC3> | <0xAB> | 's | ▁ | ▁ | %( | cat | )s

Ids: 0 padding, 1 unknown (never made by `encode`), 2 begin, 3 end, then the bytes and
the pieces.
"""

import io
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_text as tf_text

from seqloom.tasks.records import DataError
from seqloom.tasks.subword_sampling import SPACE, BPESampler, UnigramSampler
from seqloom.tasks.vocabulary import UNKNOWN_ID

BEGIN, END, FIRST_BYTE = 2, 3, 4
KINDS: dict[str, type[UnigramSampler] | type[BPESampler]] = {
    "unigram": UnigramSampler,
    "bpe": BPESampler,
}
LONGEST = 1000  # characters; the trainer leaves out texts of more than 4192 bytes
# Texts that pieces are learned from. Of more, so many are drawn, always the same ones:
# the trainer has them in memory, and several times.
MOST_TEXTS = 1_000_000


class Subwords:
    """A trained SentencePiece model: texts to ids and back.

    The functions that cut texts hold the model themselves, so a SavedModel that calls
    them is complete, and seeding TensorFlow later does not harm them.

    Args:
        model: The model as SentencePiece serializes it, made by `fit`.

    Reference: Kudo & Richardson 2018, https://arxiv.org/abs/1808.06226.
    """

    def __init__(self, model: bytes):
        import sentencepiece

        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.size = self._processor.get_piece_size()  # number of ids
        self._surfaces = self._written()
        self._sampler: UnigramSampler | BPESampler | None = None
        self._encode = tf.function(
            self._cut,
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        kind: str = "unigram",
        lowercase: bool = False,
    ) -> "Subwords":
        """Learn pieces from texts; the same texts give the same pieces.

        Args:
            texts: Read once and not kept. Of more than `MOST_TEXTS` so many are drawn.
            vocabulary_size: Number of ids, the reserved ones and the 256 bytes among
                them. Texts with too few different pieces give fewer: see `size`.
            kind: `unigram` (Kudo 2018) or `bpe` (Sennrich et al. 2016).
            lowercase: Whether upper and lower case are one. Texts that are made of
                pieces are lower-cased then.

        Raises:
            ValueError: `kind` is unknown.
            DataError: No pieces can be learned from these texts.
        """
        if kind not in KINDS:
            raise ValueError(
                f"Subwords knows no kind {kind!r}. Set it to one of {', '.join(KINDS)}."
            )
        return cls(_train(texts, vocabulary_size, kind, _rules(lowercase)))

    def encode(self, texts) -> tf.RaggedTensor:
        """Cut `(B,)` texts into ids, ragged int32 `(B, (T))`, without begin and end.

        An empty text has no piece; bytes that are not UTF-8 are read as U+FFFD.
        """
        return self._encode(texts)

    def _cut(self, texts):
        # A tokenizer made in eager mode breaks when Keras is seeded after it: that
        # clears the cache that owns its resource. This one belongs to the function.
        tokenizer = tf_text.SentencepieceTokenizer(self.model, out_type=tf.int32)
        return tokenizer.tokenize(tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8"))

    def decode(self, ids) -> tf.Tensor:
        """Write `(B,)` texts out of ids, `(B, T)` or ragged `(B, (T))`, in the graph.

        Padding, begin and end are left out. Unknown is written as SentencePiece does,
        " ⁇ "; bytes that make no UTF-8 together are written as U+FFFD.
        """
        surfaces = tf.constant(self._surfaces)
        if isinstance(ids, tf.RaggedTensor):
            parts = ids.with_flat_values(tf.gather(surfaces, ids.flat_values))
        else:
            parts = tf.gather(surfaces, ids)  # (B, T)
        texts = tf.strings.reduce_join(parts, axis=-1)  # (B,)
        texts = tf.strings.regex_replace(texts, "^ ", "", replace_global=False)
        return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")

    def _written(self) -> list[bytes]:
        """What each id adds to a text."""
        found = []
        for number, piece in enumerate(self.pieces(range(self.size))):
            if self._processor.is_control(number):
                found.append(b"")
            elif self._processor.is_unknown(number):
                found.append(" ⁇ ".encode())
            elif self._processor.is_byte(number):
                found.append(bytes([int(piece[3:5], 16)]))  # <0xC3>
            else:
                found.append(piece.replace(SPACE, " ").encode())
        return found

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The names of pieces, for pictures: `▁` stands for a space."""
        return self._processor.id_to_piece([int(number) for number in ids])

    def sample(
        self, texts: Sequence[str], seed: Sequence[int], alpha: float, first: int = 0
    ) -> list[list[int]]:
        """Cut texts at random, for subword regularization in training.

        The cut of a text depends on `seed`, on its place in `texts` and on the text
        itself, on nothing else: not on the process, on threads or on other texts.

        Args:
            seed: Integers, such as the run's seed and the epoch.
            alpha: Unigram: the exponent of the probability of a cut; 1 draws as the
                model believes, towards 0 all cuts become equally likely. BPE: the
                probability that a merge is dropped; 0 is what `encode` does.
            first: The place of the first text, where `texts` are a part of more.

        Returns:
            Ids for each text, without begin and end.

        Raises:
            ValueError: `alpha` is out of its range.
        """
        if self._sampler is None:
            self._sampler = self._new_sampler()
        return self._sampler.sample(texts, seed, alpha, first)

    def _new_sampler(self) -> UnigramSampler | BPESampler:
        from sentencepiece import sentencepiece_model_pb2 as proto

        model = proto.ModelProto.FromString(self.model)
        pieces = {
            piece.piece: (number, piece.score)
            for number, piece in enumerate(model.pieces)
            if piece.type == piece.NORMAL
        }
        kind = proto.TrainerSpec.ModelType.Name(model.trainer_spec.model_type).lower()
        return KINDS[kind](pieces, FIRST_BYTE, self._processor.normalize)

    @property
    def resources(self) -> list:
        """What a tf.Module has to hold for a SavedModel: nothing here."""
        return []

    def save(self, folder: Path, name: str) -> None:
        """Write `<name>.model`, which any SentencePiece reads."""
        (folder / f"{name}.model").write_bytes(self.model)

    @classmethod
    def load(cls, folder: Path, name: str) -> "Subwords":
        return cls((folder / f"{name}.model").read_bytes())


def _train(texts: Iterable[str], vocabulary_size: int, kind: str, rules: str) -> bytes:
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as proto

    parts = (
        text[first : first + LONGEST]
        for text in texts
        for first in range(0, len(text), LONGEST)
    )
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.tsv"
        path.write_text(rules, encoding="utf-8")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=parts,
                model_writer=model,
                model_type=kind,
                vocab_size=vocabulary_size,
                hard_vocab_limit=False,
                byte_fallback=True,
                pad_id=0,
                unk_id=UNKNOWN_ID,
                bos_id=BEGIN,
                eos_id=END,
                num_threads=1,
                normalization_rule_tsv=str(path),
                remove_extra_whitespaces=False,
                input_sentence_size=MOST_TEXTS,
                shuffle_input_sentence=True,
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"No {kind} vocabulary of vocabulary_size={vocabulary_size} can be "
                f"learned from the training texts: {error} It has to hold 260 ids for "
                "reserved ones and bytes, and the characters of the texts, of which "
                "there must be any. Try another size; look at the texts."
            ) from error
    # The rules are compiled into it; where they lay is of no use to anyone, nor is of
    # how many texts it could have been.
    made = proto.ModelProto.FromString(model.getvalue())
    made.normalizer_spec.ClearField("normalization_rule_tsv")
    made.trainer_spec.ClearField("input_sentence_size")
    made.trainer_spec.ClearField("shuffle_input_sentence")
    return made.SerializeToString(deterministic=True)


def _rules(lowercase: bool) -> str:
    """How a text is changed before it is cut: code point, tab, code points a line."""
    changes = {SPACE: "_"}  # or it would come back as a space
    if lowercase:
        letters = map(chr, range(sys.maxunicode + 1))
        changes.update((a, a.lower()) for a in letters if a != a.lower())
    return "".join(
        f"{ord(a):X}\t{' '.join(f'{ord(c):X}' for c in b)}\n"
        for a, b in changes.items()
    )
