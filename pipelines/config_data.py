"""The settings under `data`: a section for each kind of record."""

from typing import Literal, Self

from pydantic import Field, model_validator

from seqloom.pipelines.config_fields import Count, CountOrZero, Name, Section


class DataConfig(Section):
    """Which sentences are read, and how."""

    corpus: Literal["conll2003", "wnut17", "ud_ewt", "synthetic"] | None = Field(
        None, description="a corpus that seqloom fetches; unused once `train` is set"
    )
    train: Name | None = Field(None, description="a training file of your own")
    dev: Name | None = Field(
        None, description="a validation file of your own; goes with `train` and `test`"
    )
    test: Name | None = Field(
        None, description="a test file of your own; goes with `train` and `dev`"
    )
    format: Literal["auto", "conll", "conllu"] = Field(
        "auto", description="how the files are laid out; auto goes by their name"
    )
    token_column: CountOrZero = Field(
        0, description="CoNLL: the column of the word, counted from 0"
    )
    tag_column: int | Name | None = Field(
        None,
        description="the column of the tag: a number (-1: the last), a name such as "
        "UPOS, or null",
    )
    scheme: Literal["auto", "iob1", "iob2", "bioes", "none"] = Field(
        "auto", description="how the tags mark spans; none means they mark words alone"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="at a malformed sentence: stop, or skip and count it"
    )
    limit: Count | None = Field(
        None, description="read only this many sentences of every split"
    )
    max_length: Count = Field(
        256, description="training leaves out sentences of more tokens than this"
    )

    @model_validator(mode="after")
    def _own_files_come_together(self) -> Self:
        files = {"train": self.train, "dev": self.dev, "test": self.test}
        given = [f"data.{name}" for name, path in files.items() if path]
        missing = [f"data.{name}" for name, path in files.items() if not path]
        if given and missing:
            raise ValueError(
                f"{' and '.join(given)} set but not {' and '.join(missing)}: files of "
                "your own come as all three. Set the rest, or leave them all null and "
                "name a data.corpus"
            )
        if not given and not self.corpus:
            raise ValueError(
                "there is nothing to learn from: data.corpus and data.train are both "
                "null. Set data.corpus=conll2003, or data.train, data.dev and data.test"
            )
        return self


class TextDataConfig(Section):
    """Which labelled texts are read, and how."""

    corpus: Literal["vader", "sst2", "sst5", "synthetic"] | None = Field(
        None, description="a corpus that seqloom fetches; unused once `train` is set"
    )
    train: Name | None = Field(None, description="a training file of your own")
    dev: Name | None = Field(
        None, description="a validation file of your own; null takes a tenth of `train`"
    )
    test: Name | None = Field(
        None, description="a test file of your own; null takes a tenth of `train`"
    )
    format: Literal["auto", "tsv", "csv", "jsonl"] = Field(
        "auto", description="how the files are laid out; auto goes by their name"
    )
    text_column: CountOrZero | Name = Field(
        "text",
        description="the column of the text: its name, or a number from 0 on in a file "
        "without a header",
    )
    label_column: CountOrZero | Name = Field(
        "label", description="the column of the label, given as that of the text"
    )
    phrases: bool = Field(
        False, description="sst2 and sst5: train on the labelled parts of sentences too"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="at a malformed text: stop, or skip and count it"
    )
    limit: Count | None = Field(
        None, description="read only this many texts of every split"
    )

    @model_validator(mode="after")
    def _there_is_something_to_learn_from(self) -> Self:
        given = [f"data.{name}" for name in ("dev", "test") if getattr(self, name)]
        if given and not self.train:
            raise ValueError(
                f"{' and '.join(given)} set but not data.train: there is nothing to "
                "learn from. Set data.train too, or leave them null and name a "
                "data.corpus"
            )
        if not self.train and not self.corpus:
            raise ValueError(
                "there is nothing to learn from: data.corpus and data.train are both "
                "null. Set data.corpus=vader, or data.train to a file of your own"
            )
        return self

    @model_validator(mode="after")
    def _columns_are_of_one_kind(self) -> Self:
        columns = (self.text_column, self.label_column)
        if isinstance(columns[0], int) != isinstance(columns[1], int):
            raise ValueError(
                f"data.text_column={columns[0]!r} and data.label_column={columns[1]!r}:"
                " a file has a header or none. Give both by name, or both by number"
            )
        if columns[0] == columns[1]:
            raise ValueError(
                f"data.text_column and data.label_column are both {columns[0]!r}. Give "
                "each its own column"
            )
        return self

    @model_validator(mode="after")
    def _phrases_come_of_trees(self) -> Self:
        if self.phrases and (self.train or self.corpus not in ("sst2", "sst5")):
            used = "data.train" if self.train else f"data.corpus={self.corpus}"
            raise ValueError(
                f"data.phrases=true, but {used} has no labelled phrases: only sst2 and "
                "sst5 have. Set data.phrases=false, or data.corpus=sst2"
            )
        return self
