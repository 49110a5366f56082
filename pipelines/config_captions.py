"""The settings under `data` of captioning: images and what people say of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seqloom.pipelines.config_fields import Count, Name, Section

Pixels = Annotated[int, Field(ge=8, le=1024)]


class CaptionDataConfig(Section):
    """Which images and captions are read, and how."""

    corpus: Literal["scenes", "circles", "flickr8k"] | None = Field(
        "scenes",
        description="drawn scenes or circles, or a corpus that seqloom finds; unused "
        "once `train` is set",
    )
    train: Name | None = Field(
        None, description="a file of captions of your own, for training"
    )
    dev: Name | None = Field(
        None, description="one for validation; null takes a tenth of the images"
    )
    test: Name | None = Field(
        None, description="one for testing; null takes a tenth of the images"
    )
    images: Name | None = Field(
        None,
        description="the folder that the names of images start at; null: that of the "
        "file of captions",
    )
    format: Literal["auto", "csv", "tsv", "jsonl", "coco", "karpathy"] = Field(
        "auto", description="how the files are laid out; auto goes by name and content"
    )
    image_size: Pixels = Field(
        64, description="pixels of each side that images are brought to"
    )
    max_words: Count | None = Field(
        50, description="training leaves out captions of more words than this"
    )
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="at a bad caption or image: stop, or skip and count it"
    )
    limit: Count | None = Field(
        None, description="read only this many images of every split"
    )

    @model_validator(mode="after")
    def _there_is_something_to_learn_from(self) -> Self:
        keys = ("dev", "test", "images")
        given = [f"data.{name}" for name in keys if getattr(self, name)]
        if given and not self.train:
            raise ValueError(
                f"{' and '.join(given)} set but not data.train: there is nothing to "
                "learn from. Set data.train to a file of captions too, or leave them "
                "null and name a data.corpus"
            )
        if not self.train and not self.corpus:
            raise ValueError(
                "there is nothing to learn from: data.corpus and data.train are both "
                "null. Set data.corpus=scenes, or data.train to a file of captions of "
                "your own"
            )
        return self
