"""The corpus localization: messages of user interfaces out of packages, translated.

The messages are in the `.po` files of the wheels django and wagtail, the names of
emoji in JSON files of the wheel emoji; nothing of them is installed or run. A pair is
left out where the target is

- missing, or marked as fuzzy by its translator;
- the same as the source: a word that both languages have, or one that nobody
  translated. Which of the two cannot be told, and a model that copies what it does not
  know would be praised for it;

or where one of the sides has

- no letter outside of its placeholders ("%(start)s - %(end)s");
- markup for more than a third of its characters;
- more than 60 words;

or where the same pair was there before: many files say "Save". Placeholders and tags
stay as they are, as a user of the translations needs them, and runs of blanks and line
ends become one blank.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from seqloom.pipelines.archives import read_members
from seqloom.pipelines.package_index import PackageFile
from seqloom.pipelines.sources import Source
from seqloom.tasks.records import DataError, SentencePair

LANGUAGES = ("fr", "de", "es", "hi")
MAX_WORDS = 60
MAX_MARKUP = 1 / 3

_TAG = re.compile(r"<[^<>]+>|&\w+;")
# %(name)s, %s, {name}, {{ name }}
_PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z%]|\{+[^{}]*\}+")


def _wheel(requirement: str, sha256: str) -> Source:
    file = f"packages/{requirement.replace('==', '-')}-py3-none-any.whl"
    return Source(file, sha256, package=PackageFile(requirement, sha256, "wheel", ()))


_DJANGO = _wheel(
    "django==5.2.19", "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"
)
_WAGTAIL = _wheel(
    "wagtail==8.0.1", "1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c"
)
_EMOJI = _wheel(
    "emoji==2.16.0", "c4230d80640def9071599ff56b1b5950fe13a2a94c0da98c5deab12431b24330"
)


def localization_sources(language: str) -> tuple[Source, ...]:
    """The wheels with messages in `language`; emoji have no names in Hindi there."""
    return (_DJANGO, _WAGTAIL) if language == "hi" else (_DJANGO, _WAGTAIL, _EMOJI)


def read_localization(
    pair: str, wheels: Sequence[Path], left_out: Counter[str]
) -> Iterator[SentencePair]:
    """Read the messages of the wheels, each pair once.

    Args:
        pair: English and one of `LANGUAGES`, in either direction, such as "en-fr".
        wheels: The files of `localization_sources`, in that order.
        left_out: Counts what is left out, by its reason.

    Raises:
        DataError: A wheel holds nothing in this language, or a file that is no `.po`.
    """
    source, _, target = pair.partition("-")
    language = target if source == "en" else source
    readers: tuple[Callable[[Path, str], Iterator[SentencePair]], ...]
    readers = (read_messages, read_messages, read_emoji_names)
    seen: set[tuple[str, str]] = set()
    for wheel, read in zip(wheels, readers):
        num_messages = 0
        for message in read(wheel, language):
            num_messages += 1
            reason = _why_unfit(message.source, message.target)
            if not reason and message[:2] in seen:
                reason = "that were there before"
            if reason:
                left_out[reason] += 1
                continue
            seen.add(message[:2])
            if source == "en":
                yield message
            else:
                yield SentencePair(message.target, message.source, message.where)
        if not num_messages:
            raise DataError(f"{wheel}: holds no messages in {language!r}.")


def read_messages(wheel: Path, language: str) -> Iterator[SentencePair]:
    """All messages of the `.po` files of a language; English is the source.

    The targets of untranslated and fuzzy ones are empty.
    """
    pattern = rf"(.+/)?locale/{language}/LC_MESSAGES/\w+\.po"
    for member, content in read_members(wheel, pattern):
        yield from parse_po(content.decode("utf-8"), member)


def parse_po(text: str, name: str) -> Iterator[SentencePair]:
    """The messages of a `.po` file; its head and obsolete messages are none.

        msgid "One page"
        msgid_plural "%d pages"
        msgstr[0] "Une page"
        msgstr[1] "%d pages"

    gives two: the singular goes with the first form of the language, the plural with
    its last, which is the one for most numbers.

    Raises:
        DataError: A line of another form.
    """
    import polib  # here, since no other corpus needs it

    try:
        entries = polib.pofile(text)
    except OSError as error:
        raise DataError(f"{name}: no .po file that can be read ({error}).") from error
    for entry in entries:
        if entry.obsolete:
            continue
        sides = [(entry.msgid, entry.msgstr)]
        if entry.msgid_plural:
            forms = entry.msgstr_plural
            sides = [
                (entry.msgid, forms[min(forms)]),
                (entry.msgid_plural, forms[max(forms)]),
            ]
        for source, target in sides:
            target = "" if entry.fuzzy else target
            yield SentencePair(
                " ".join(source.split()),
                " ".join(target.split()),
                f"{name}:{entry.linenum}",
            )


def read_emoji_names(wheel: Path, language: str) -> Iterator[SentencePair]:
    """Names of emoji: "face with tears of joy", "visage avec des larmes de joie".

    Without the skin tones, which say the same five things of many hundred people, and
    without flags: a country's name follows from nothing, and this package writes them
    in small letters in other languages.
    """
    pattern = rf"emoji/unicode_codes/emoji(_{language})?\.json"
    files = {name: json.loads(text) for name, text in read_members(wheel, pattern)}
    if len(files) != 2:
        return
    (_, english), (name, others) = sorted(files.items())
    for emoji, about in english.items():
        # 2: fully qualified; the others are ways to write the same emoji.
        if about["status"] == 2 and emoji in others and not _is_variant(emoji):
            source, target = _plain(about["en"]), _plain(others[emoji])
            yield SentencePair(source, target, f"{name}:{emoji}")


def _plain(name: str) -> str:
    return name.strip(":").replace("_", " ")


def _is_variant(emoji: str) -> bool:
    """Whether it has a skin tone or is a flag (letters of a country, or tags)."""
    return any(
        "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U0001f1e6" <= char <= "\U0001f1ff"
        or char >= "\U000e0020"
        for char in emoji
    )


def _why_unfit(source: str, target: str) -> str:
    """Why a message is no pair to learn from; empty if it is one."""
    if not target:
        return "not translated"
    if source == target:
        return "the same in both languages"
    for side in (source, target):
        if not any(char.isalpha() for char in _PLACEHOLDER.sub("", _TAG.sub("", side))):
            return "without a letter outside of placeholders"
        if sum(map(len, _TAG.findall(side))) > MAX_MARKUP * len(side):
            return "more than a third of it markup"
        if len(side.split()) > MAX_WORDS:
            return f"longer than {MAX_WORDS} words"
    return ""
