"""Tables and their figures, as data."""

from typing import Any, Self

from pydantic import Field, model_validator

from xdcbench.config.base import Config


class Column(Config):
    """A column of a table: which records it holds and which published rows may stand under it.

    Measured and published numbers stand under one column only where protocol, dataset, split and
    frames agree; the published rows are matched on exactly these fields.
    """

    title: str = Field(description="above the column")
    evaluation: str = Field(description="name of the evaluation, as in a record")
    protocol: str = Field("", description="finetune, linear_probe, linear_svm: as in published.csv")
    dataset: str = Field("", description="name of the dataset")
    split: str = Field("", description="a split, or mean for the mean over all of a dataset's splits")
    frames: int | None = Field(None, description="frames per clip; none: any, published: none stated")
    metric: str = Field("top1", description="as in a record")
    hyperparameters: dict[str, Any] = Field(
        {}, description="values that a record's hyperparameters must have"
    )


class Chart(Config):
    """A table drawn: one panel per column, a line for rows that agree in all labels but one."""

    x: str = Field(description="field among the table's `rows`: numbers, or names with `names`")
    title: str = Field(description="of that axis")
    log: bool = Field(False, description="whether the axis is logarithmic")
    names: bool = Field(False, description="x holds names, in the table's order; points are not joined")

    @model_validator(mode="after")
    def _names_have_no_logarithm(self) -> Self:
        if self.names and self.log:
            raise ValueError("figure: names have no logarithm; leave out `log` or `names`")
        return self


class Table(Config):
    """A table of the paper or of this project, as data."""

    title: str = Field(description="above the table")
    rows: tuple[str, ...] = Field(("method", "pretrain_data"), description="record fields that name a row")
    methods: tuple[str, ...] = Field((), description="order of methods; others follow by name")
    pretrain_data: tuple[str, ...] = Field((), description="order of pretraining data, below that of methods")
    where: dict[str, tuple[Any, ...]] = Field({}, description="values that a record's fields may take")
    columns: tuple[Column, ...] = Field(min_length=1, description="from left to right")
    published: tuple[str, ...] = Field(
        (), description="ids of published rows, or table:N for all of one table"
    )
    intervals: bool = Field(False, description="cells show their 95 % intervals without being asked to")
    footnotes: tuple[str, ...] = Field((), description="below the table")
    figure: Chart | None = Field(None, description="how the table is also drawn")

    @model_validator(mode="after")
    def _chart_has_its_field(self) -> Self:
        if self.figure and self.figure.x not in self.rows:
            raise ValueError(f"figure: x is {self.figure.x!r}; name one of `rows`: {', '.join(self.rows)}")
        return self
