"""Options of the commands that run a suite; each field of a class is an option."""

import logging
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xdcbench.cli.completion import (
    complete_executors,
    complete_methods,
    complete_settings,
    complete_suites,
    complete_worlds,
)
from xdcbench.cli.options import (
    RESULTS,
    DataRootOption,
    DeviceOption,
    NumWorkersOption,
    ResultsOption,
    ShardsOption,
    TrustOption,
    numbers,
    words,
)
from xdcbench.errors import UserError
from xdcbench.utils.terminal import tell_from

if TYPE_CHECKING:
    from xdcbench.pipeline.launch import Request

PolicyName = Literal["missing", "always", "never"]
PrecisionName = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class SuiteOptions:
    """What `run` and `check` take from the command line alike; each field is an option."""

    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            metavar="NAME|FILE",
            help="Suite to run; see `xdcbench list suites`.",
            autocompletion=complete_suites,
        ),
    ]
    synthetic: Annotated[
        str,
        typer.Option(
            "--synthetic",
            metavar="NAME|FILE",
            help="Run the suite on this synthetic world, at reduced size and without real data, e.g. `small`.",
            autocompletion=complete_worlds,
        ),
    ] = ""
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting, e.g. pretrain.rounds=3. Repeatable.",
            autocompletion=complete_settings,
        ),
    ] = None
    methods: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Run only these methods of the suite.", autocompletion=complete_methods
        ),
    ] = ""
    seeds: Annotated[str, typer.Option(metavar="0,1", help="Pretraining seeds, instead of the suite's.")] = ""
    data_root: DataRootOption = None
    shards: ShardsOption = None
    scratch: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the node to which prepared shards are copied before they are read. A variable in single "
            "quotes, such as '$TMPDIR', is that of the node.",
        ),
    ] = None
    cache_bytes: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="BYTES", help="Disk space for cached ranges of remote shards. Default: 20 GiB."
        ),
    ] = None
    decoded_bytes: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="BYTES",
            help="Memory in which small datasets are kept decoded, each file decoded once. Default: a quarter of what "
            "is free. Results do not depend on it.",
        ),
    ] = None
    results: ResultsOption = RESULTS
    device: DeviceOption = "auto"
    num_workers: NumWorkersOption = None
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Stages to run side by side: on a CPU each with its share of the cores, else each on its own GPU. "
            "Default: on a CPU, for a suite with a synthetic world, one per core, at most 4; otherwise 1.",
        ),
    ] = None
    trust_code: TrustOption = False
    accept_license: Annotated[
        bool,
        typer.Option(
            "--accept-license",
            help="Download released weights whose license forbids commercial use, also without a terminal.",
        ),
    ] = False
    fingerprint: Annotated[
        Literal["size", "content"],
        typer.Option(
            help="Identify original files by their sizes or by a hash of their content. `content` reads every file. "
            "The two give different keys."
        ),
    ] = "size"

    def request(self, **more: Any) -> "Request":
        """The request of these options and of ``more`` fields of it."""
        from xdcbench.pipeline.launch import Request

        lists = {"overrides": tuple(self.overrides or ()), "shards": tuple(self.shards or ())}
        asked = {field.name: getattr(self, field.name) for field in fields(SuiteOptions)}
        return Request(
            **asked | lists | {"methods": words(self.methods), "seeds": numbers(self.seeds)} | more
        )


@dataclass(frozen=True)
class RunOptions(SuiteOptions):
    """What `run` takes from the command line."""

    filter: Annotated[
        str,
        typer.Option(
            "--filter", metavar="GLOB", help="Run only stages whose name matches, and their inputs."
        ),
    ] = ""
    stage: Annotated[
        str,
        typer.Option(
            metavar="KEY",
            help="Run only the stage with this key. Its inputs must exist. Tables are written if nothing is missing "
            "then, of the suite or of what --filter selects.",
        ),
    ] = ""
    policy: Annotated[
        PolicyName,
        typer.Option(
            help="Which stages to run: those that are missing, all of them again, or none (print the tables)."
        ),
    ] = "missing"
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, what is done, and the cost of the rest.")
    ] = False
    devices: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --dry-run: GPUs that are to share the work.")
    ] = None
    clips_per_second: Annotated[
        float | None,
        typer.Option(
            min=1e-3,
            metavar="RATE",
            help="With --dry-run: clips on which one GPU trains both encoders. Default: as `doctor --speed` measured.",
        ),
    ] = None
    require_all: Annotated[
        bool,
        typer.Option(
            "--require-all",
            help="Fail if a dataset or weights are missing, instead of skipping stages.",
        ),
    ] = False
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Minimum time between two checkpoints.")
    ] = 60.0
    keep_checkpoints: Annotated[
        int, typer.Option(min=1, help="Checkpoints to keep while a stage runs, newest first.")
    ] = 2
    micro_batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Clips per forward pass on one device, to fit its memory. Gradients are accumulated. Default: the "
            "whole share of the batch.",
        ),
    ] = None
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the trained models with torch.compile.")
    ] = False
    auto_precision: Annotated[
        PrecisionName | None,
        typer.Option(
            help="Precision that `precision: auto` stands for. Default: the one that suits this device. "
            "It is part of the keys."
        ),
    ] = None
    executor: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Where stages run: `local`, as jobs of `slurm`, or as a YAML file with changes to `slurm` says.",
            autocompletion=complete_executors,
        ),
    ] = "local"
    plan_json: Annotated[
        bool,
        typer.Option(
            "--plan-json", help="Print the plan as JSON: stages, inputs, commands, resources. Run nothing."
        ),
    ] = False

    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Also print what the logs of the runs hold: epochs, clusterings, choices."
        ),
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only warnings and where the tables are.")
    ] = False

    def tell(self) -> None:
        """Let the terminal show as much as is asked for.

        Raises:
            UserError: both more and less are asked for.
        """
        if self.verbose and self.quiet:
            raise UserError("--verbose and --quiet do not go together. Try: one of them")
        if self.verbose or self.quiet:
            tell_from(logging.DEBUG if self.verbose else logging.WARNING)

    def run_request(self) -> "Request":
        """The request of these options."""
        return self.request(
            filter=self.filter,
            stage=self.stage,
            checkpoint_seconds=self.checkpoint_seconds,
            keep_checkpoints=self.keep_checkpoints,
            micro_batch_size=self.micro_batch_size,
            compile=self.compile,
            auto_precision=self.auto_precision,
        )


def require_suite(options: SuiteOptions) -> None:
    """Refuse a suite that cannot be read as asked at once, before what runs it is loaded, which takes seconds.

    Raises:
        UserError: as `load_suite`.
    """
    options.request().load()
