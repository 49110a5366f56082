"""Splitting raw text into tokens inside the graph, with byte offsets back into it.

The conventions are those of CoNLL-2003 and the Penn Treebank: punctuation stands
alone, hyphenated words, numbers and abbreviations stay whole, contractions split.

    b"Mr. Ng didn't pay $3.5m."  ->  Mr. | Ng | did | n't | pay | $ | 3.5m | .
"""

import tensorflow as tf
import tensorflow_text as tf_text

# RE2 spells every Unicode class out in UTF-8: \pL and \pN in each form made a program
# too large for its fast engine. So a word is what is no space, punctuation or emoji.
_SPACE = (  # inside [...]: white space, control characters, byte-order mark
    r"\x{00}-\x{20}\x{7F}-\x{A0}\x{1680}\x{2000}-\x{200B}\x{2028}\x{2029}\x{202F}"
    r"\x{205F}\x{3000}\x{FEFF}"
)
_PUNCTUATION = (
    r"!-/:-@\[-\^`{-~\x{A1}-\x{A9}\x{AB}-\x{B1}\x{B4}\x{B6}-\x{B8}\x{BB}\x{BF}\x{D7}"
    r"\x{F7}\x{2010}-\x{2027}\x{2030}-\x{205E}\x{20A0}-\x{20CF}\x{3001}-\x{3003}"
    r"\x{3008}-\x{3020}\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF20}"
)
_EMOJI = r"\x{2190}-\x{2BFF}\x{1F000}-\x{1FAFF}"
_NUMBER = r"\d+(?:[.,:/]\d+)*"  # 1,000  3.5  2:29.34  1996/97
_WORD = rf"(?:{_NUMBER}|[^\d{_SPACE}{_PUNCTUATION}{_EMOJI}])+"  # Rhea  3.5m  Q2
_TITLE = (
    r"(?:M[rs]|Mrs|Dr|Prof|St|Jr|Sr|Inc|Corp|Co|Ltd|Bros|Sen|Gov|Gen|Rep|Rev|Lt|Col"
    r"|Capt|Sgt|Maj|Calif|Fla|Wash|Mass|Ill|Jan|Feb|Aug|Sept|Oct|Nov|Dec|vs|vol)"
)

# Tried from left to right at each position, the first that fits is taken: special
# forms come before general ones. RE2 has no look-ahead, so what depends on the
# characters that follow is cut in a second pass, by _CONTRACTION.
_FORMS = (
    rf"[{_SPACE}]+",
    r"(?i:https?://|www\.)[!-~]*[A-Za-z0-9/=_~&%#\-]",
    r"[A-Za-z0-9_.+%\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+",  # mail addresses
    rf"[@#]{_WORD}",  # @names, #topics
    rf"(?:(?:[A-Za-z]\.){{2,}}|{_TITLE}\.)(?:-{_WORD})*",  # U.S.  U.S.-led  Mr.
    r"[A-Za-z](?:\.[A-Za-z])+\b",  # U.S  n.a
    r"[A-HJ-Z]\.",  # initials, but "I." more often ends a sentence
    r"[A-Z]{1,3}\$",  # US$  C$
    r"['’](?i:s|d|m|t|re|ve|ll)\b",
    r"--+",
    rf"(?:[+\-]?\.?{_NUMBER}(?:{_WORD})?|{_WORD})(?:[\-'’&]{_WORD})*",
    r"[:;]-?[()]",  # :-)
    rf"[{_EMOJI}](?:\x{{FE0F}}|\x{{200D}}[{_EMOJI}]|[\x{{1F3FB}}-\x{{1F3FF}}])*",
    r"\.+|[!?]+|=+|\*+|'+|`+|~+",
    # Any other character. A dot would fit overlong UTF-8 too, which _NOT_SPACE does
    # not, and it would be lost; what no form fits is a token anyway.
    r"[\x{0}-\x{10FFFE}]",
)
_TOKEN = "(?s)" + "|".join(_FORMS)
_NOT_SPACE = rf"(?s)[^{_SPACE}].*"
_CONTRACTION = r"(?i:n['’]t|['’](?:s|d|m|re|ve|ll))$"


def tokenize(
    texts: tf.Tensor,
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Splits texts into tokens and says where each of them lies.

        ["Ada's 😀", ""] -> tokens [["Ada", "'s", "😀"], []]
                            starts [[0, 3, 6], []], ends [[3, 5, 10], []]

    No byte is lost except white space and control characters; text whose tokens are
    already set apart by spaces keeps them. A run of bytes that is not valid UTF-8 is
    a token of its own, spelt with U+FFFD; its offsets still refer to `texts`.

    Args:
        texts: string `(B,)`, UTF-8; any bytes are accepted.

    Returns:
        tokens, a ragged string `(B, (T))` of valid UTF-8, and starts and ends, ragged
        int64 `(B, (T))`: byte offsets into the text, the end excluded. A text without
        a token gives an empty row.
    """
    # The splitter takes NUL for the end of the text; a space is as long.
    texts = tf.strings.regex_replace(texts, r"\x{00}", " ")
    words, starts, _ = tf_text.regex_split_with_offsets(texts, _TOKEN, _NOT_SPACE)
    pieces, begins, ends = tf_text.regex_split_with_offsets(
        words.values, _CONTRACTION, ".+"
    )  # (words, (pieces)): one piece, or two where a word is a contraction
    origins = tf.gather(starts.values, pieces.value_rowids())
    tokens, starts, ends, splits = _join_item_numbers(
        tf.strings.unicode_transcode(pieces.values, "UTF-8", "UTF-8"),
        origins + begins.values,
        origins + ends.values,
        tf.gather(pieces.row_splits, words.row_splits),  # words -> pieces
    )
    return tuple(
        tf.RaggedTensor.from_row_splits(flat, splits, validate=False)
        for flat in (tokens, starts, ends)
    )


def split_at_spaces(
    texts: tf.Tensor,
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """What lies between white space in `(B,)` texts; the returns are `tokenize`'s."""
    texts = tf.strings.regex_replace(texts, r"\x{00}", " ")
    words, starts, ends = tf_text.regex_split_with_offsets(texts, rf"[{_SPACE}]+", "")
    valid = tf.strings.unicode_transcode(words.values, "UTF-8", "UTF-8")
    return words.with_values(valid), starts, ends


def _join_item_numbers(
    tokens: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, splits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Makes one token of the "2." that opens a text and numbers an item of a list.

    A regular expression cannot: elsewhere the dot of "2." ends a sentence.
    """
    first = tf.boolean_mask(splits[:-1], splits[1:] - splits[:-1] > 2)
    second = first + 1
    is_item = (
        tf.strings.regex_full_match(tf.gather(tokens, first), r"\d{1,3}")
        & (tf.gather(tokens, second) == ".")
        & (tf.gather(ends, first) == tf.gather(starts, second))
    )
    first = tf.boolean_mask(first, is_item)[:, None]
    joined = tf.gather_nd(tokens, first) + "."
    tokens = tf.tensor_scatter_nd_update(tokens, first, joined)
    ends = tf.tensor_scatter_nd_add(ends, first, tf.ones_like(first[:, 0]))
    dropped = tf.tensor_scatter_nd_add(
        tf.zeros_like(starts), first + 1, tf.ones_like(first[:, 0])
    )
    kept = dropped == 0
    splits -= tf.gather(tf.cumsum(tf.pad(dropped, [[1, 0]])), splits)
    return (
        tf.boolean_mask(tokens, kept),
        tf.boolean_mask(starts, kept),
        tf.boolean_mask(ends, kept),
        splits,
    )
