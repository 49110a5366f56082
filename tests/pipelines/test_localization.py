"""Messages out of wheels: .po files, names of emoji, and what is left out of them."""

import gettext
import io
import json
import re
import zipfile
from collections import Counter

import pytest

from seqloom.pipelines.archives import read_members
from seqloom.pipelines.errors import UserError
from seqloom.pipelines.localization import (
    localization_sources,
    parse_po,
    read_emoji_names,
    read_localization,
    read_messages,
)
from seqloom.pipelines.sources import fetch
from seqloom.tasks.records import DataError

HEAD = r"""
# A translator's name
msgid ""
msgstr ""
"Project-Id-Version: django\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=3; plural=(n == 0 || n == 1) ? 0 : 2;\n"

"""
PO = (
    HEAD
    + r"""
#, python-format
msgid "Delete %(name)s"
msgstr "Supprimer %(name)s"

#: views.py:12
msgid ""
"Say \"yes\",\n"
"  or \\ no"
msgstr ""
"Dites « oui »,\n"
"ou \\ non"

msgid "One page"
msgid_plural "%d pages"
msgstr[0] "Une page"
msgstr[1] "%d de pages"
msgstr[2] "%d pages (fr)"

msgctxt "a month"
msgid "May"
msgstr "mai"

msgctxt "a verb"
msgid "May"
msgstr "pouvoir"

#, fuzzy
#| msgid "Old"
msgid "New"
msgstr "Vieux"

msgid "Nobody knows"
msgstr ""

#~ msgid "Gone"
#~ msgstr "Parti"
"""
)


def test_po():
    assert [message[:2] for message in parse_po(PO, "fr.po")] == [
        ("Delete %(name)s", "Supprimer %(name)s"),
        ('Say "yes", or \\ no', "Dites « oui », ou \\ non"),
        ("One page", "Une page"),
        ("%d pages", "%d pages (fr)"),
        ("May", "mai"),
        ("May", "pouvoir"),
        ("New", ""),
        ("Nobody knows", ""),
    ]


def test_po_tells_the_line():
    for message in parse_po(PO, "fr.po"):
        number = int(message.where.removeprefix("fr.po:"))
        block = "\n".join(PO.splitlines()[number - 1 : number + 5])
        assert re.split(r'[ "\\]', message.source)[0] in block


def test_no_po():
    with pytest.raises(DataError, match=r"django/fr.po: no .po file .*line 2"):
        list(parse_po('msgid "a"\nmsgstr "b" c"\n', "django/fr.po"))


# === Wheels ===


def po_of(**messages):
    return HEAD + "\n".join(
        f"msgid {json.dumps(source)}\nmsgstr {json.dumps(target, ensure_ascii=False)}\n"
        for source, target in messages.items()
    )


EMOJI = {
    "😂": {"en": ":face_with_tears_of_joy:", "status": 2},
    "☹": {"en": ":frowning_face:", "status": 4},
    "👍🏽": {"en": ":thumbs_up_medium_skin_tone:", "status": 2},
    "🇫🇷": {"en": ":France:", "status": 2},
    "🏴\U000e0067\U000e007f": {"en": ":England:", "status": 2},
    "🪿": {"en": ":goose:", "status": 2},
    "🥝": {"en": ":kiwi_fruit:", "status": 2},
}
NAMES = {emoji: f":nom_{n}:" for n, emoji in enumerate(EMOJI) if emoji != "🪿"}


@pytest.fixture
def wheels(tmp_path):
    """Write three wheels; those of messages hold French and other languages."""

    def write(name, members):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as packed:
            for member, content in members.items():
                packed.writestr(member, content)
        return path

    def wheels(django, wagtail=None):
        head, tail = "django/conf/locale", "LC_MESSAGES/django"
        return [
            write(
                "django.whl",
                {
                    f"{head}/fr/{tail}.po": po_of(**django),
                    f"{head}/fr/{tail}.mo": b"\xde\x12\x04\x95 binary",
                    f"{head}/fr_CA/{tail}.po": po_of(Canada="Quebec"),
                    f"{head}/de/{tail}.po": po_of(Save="Sichern"),
                },
            ),
            write(
                "wagtail.whl",
                {
                    "wagtail/locale/fr/LC_MESSAGES/djangojs.po": po_of(
                        **wagtail or {"Page": "Une page"}
                    )
                },
            ),
            write(
                "emoji.whl",
                {
                    "emoji/unicode_codes/emoji.json": json.dumps(EMOJI),
                    "emoji/unicode_codes/emoji_fr.json": json.dumps(NAMES),
                    "emoji/unicode_codes/emoji_de.json": "{}",
                },
            ),
        ]

    return wheels


def test_messages_of_one_language(wheels):
    django, *_ = wheels({"Save": "Enregistrer"})
    (message,) = read_messages(django, "fr")
    member = "django/conf/locale/fr/LC_MESSAGES/django.po"
    assert message[:2] == ("Save", "Enregistrer")
    assert message.where.startswith(f"{member}:")
    assert [m.target for m in read_messages(django, "de")] == ["Sichern"]


def test_emoji_without_skin_tones_flags_and_doubles(wheels):
    *_, emoji = wheels({})
    assert [tuple(pair) for pair in read_emoji_names(emoji, "fr")] == [
        ("face with tears of joy", "nom 0", "emoji/unicode_codes/emoji_fr.json:😂"),
        ("kiwi fruit", "nom 6", "emoji/unicode_codes/emoji_fr.json:🥝"),
    ]


def test_both_directions(wheels):
    files = wheels({"Save": "Enregistrer"})
    there = list(read_localization("en-fr", files, Counter()))
    back = list(read_localization("fr-en", files, Counter()))
    assert [pair[:2] for pair in there][:2] == [
        ("Save", "Enregistrer"),
        ("Page", "Une page"),
    ]
    assert [(b, a, where) for a, b, where in back] == there
    assert len(there) == 4


def test_what_is_left_out_and_why(wheels):
    tag = '<a href="%(url)s" class="button">'
    django = {
        "Empty": "",
        "Date": "Date",
        "%(start)s - %(end)s": "%(start)s à %(end)s",
        "%s of {0}": "%s / {0}",
        f"{tag}See</a>": f"{tag}Voir</a>",
        "Press <b>Save</b> to keep your changes": "<b>Enregistrer</b> pour les garder",
        "word " * 61: "mot",
        "page": "mot " * 61,
        "word " * 60: "mot " * 60,
        "Save %(name)s": "Enregistrer %(name)s",
        "5 & 7": "5 et 7",
    }
    wagtail = {"Save %(name)s": "Enregistrer %(name)s", "Save": "Enregistrer"}
    left_out = Counter()
    pairs = read_localization("en-fr", wheels(django, wagtail)[:2], left_out)
    assert [pair.source[:10] for pair in pairs] == [
        "Press <b>S",
        "word word ",
        "Save %(nam",
        "Save",
    ]
    assert left_out == {
        "not translated": 1,
        "the same in both languages": 1,
        "without a letter outside of placeholders": 3,
        "more than a third of it markup": 1,
        "longer than 60 words": 2,
        "that were there before": 1,
    }


def test_wheel_without_the_language(wheels):
    with pytest.raises(DataError, match=r"django.whl: holds no messages in 'es'"):
        list(read_localization("en-es", wheels({}), Counter()))


# === The real ones ===


def test_messages_equal_what_gettext_reads_from_the_compiled_files():
    """The wheels hold each file compiled, too, which the standard library reads."""
    try:
        django = fetch(localization_sources("de")[0]).path
    except UserError as error:
        pytest.skip(f"the wheel cannot be fetched: {error}")
    catalogs = [
        gettext.GNUTranslations(io.BytesIO(content))
        for _, content in read_members(django, r".*/locale/de/LC_MESSAGES/\w+\.mo")
    ]
    num_equal = num_messages = 0
    for message in read_messages(django, "de"):
        if not message.target:
            continue
        known = {catalog.gettext(message.source) for catalog in catalogs}
        for number in (1, 5):
            known |= {c.ngettext(message.source, "", number) for c in catalogs}
        known = {" ".join(text.split()) for text in known} - {message.source, ""}
        num_messages += 1
        # Not found there: plurals, messages of a context, of several lines.
        num_equal += bool(known) and message.target in known
        assert not known or message.target in known
    assert num_messages > 900
    assert num_equal > 0.8 * num_messages
