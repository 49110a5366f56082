"""The settings under `data` of translation: pairs of a source and a target."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seqloom.pipelines.config_fields import Count, CountOrZero, Name, Section

Ratio = Annotated[float, Field(ge=1)]


class PairDataConfig(Section):
    """Which pairs of sentences are read, and how."""

    corpus: Literal["localization", "multi30k", "tatoeba", "copy", "reverse"] | None = (
        Field(
            None,
            description="a corpus that seqloom fetches; unused once `train` is set",
        )
    )
    pair: Name = Field(
        "en-fr", description="source and target language of the corpus, such as en-fr"
    )
    train: Name | None = Field(
        None,
        description="a training file of your own: a table (TSV), or the sources alone",
    )
    train_target: Name | None = Field(
        None, description="the targets, a line each; null: `train` is a table"
    )
    dev: Name | None = Field(
        None, description="a validation file of your own; null takes a tenth of `train`"
    )
    dev_target: Name | None = Field(
        None, description="the targets, a line each; null: `dev` is a table"
    )
    test: Name | None = Field(
        None, description="a test file of your own; null takes a tenth of `train`"
    )
    test_target: Name | None = Field(
        None, description="the targets, a line each; null: `test` is a table"
    )
    source_column: CountOrZero | Name = Field(
        0,
        description="the column of the source in a table: a number from 0 on, or its "
        "name in the first line",
    )
    target_column: CountOrZero | Name = Field(
        1, description="the column of the target, given as that of the source"
    )
    max_words: Count | None = Field(
        100, description="training leaves out pairs with a side of more words than this"
    )
    max_ratio: Ratio | None = Field(
        4.0,
        description="training leaves out pairs with a side of more than so many times "
        "the characters of the other",
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="training pairs that were there before: drop or keep them"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="at a malformed pair: stop, or skip and count it"
    )
    limit: Count | None = Field(
        None, description="read only this many pairs of every split"
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
        for name in ("train", "dev", "test"):
            if getattr(self, f"{name}_target") and not getattr(self, name):
                raise ValueError(
                    f"data.{name}_target set but not data.{name}: targets without "
                    f"sources. Set data.{name} to the file of the sources"
                )
        if not self.train and not self.corpus:
            raise ValueError(
                "there is nothing to learn from: data.corpus and data.train are both "
                "null. Set data.corpus=localization, or data.train to a file of your "
                "own"
            )
        return self

    @model_validator(mode="after")
    def _columns_are_of_one_kind(self) -> Self:
        columns = (self.source_column, self.target_column)
        if isinstance(columns[0], int) != isinstance(columns[1], int):
            raise ValueError(
                f"data.source_column={columns[0]!r} and data.target_column="
                f"{columns[1]!r}: a table has a header or none. Give both by name, or "
                "both by number"
            )
        if columns[0] == columns[1]:
            raise ValueError(
                f"data.source_column and data.target_column are both {columns[0]!r}. "
                "Give each its own column"
            )
        return self

    @model_validator(mode="after")
    def _pair_is_two_languages(self) -> Self:
        languages = re.fullmatch(r"(\w+)-(\w+)", self.pair)
        if not languages or languages[1] == languages[2]:
            raise ValueError(
                f"data.pair={self.pair!r} is no pair of languages. Write the source, a "
                "hyphen and the target, as in en-fr"
            )
        return self
