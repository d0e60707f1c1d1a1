"""The folder of an exported pair of encoders: what it says of itself, and whether that still holds. Without torch."""

from pathlib import Path
from typing import NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from xdcbench.config.base import Config, Modality
from xdcbench.config.models import Input, Models
from xdcbench.errors import UserError
from xdcbench.utils.documents import check, check_schema, read_as, read_json
from xdcbench.utils.io import file_hash
from xdcbench.utils.names import Name

SCHEMA_VERSION = 2
MANIFEST = "export.json"
METADATA_FILE = "encoders.json"
FIX = "export the run again"


class Program(Config):
    """An ExportedProgram: what it takes beside any batch size B, and how far it was found from the encoder."""

    file: Name
    takes: str = Field(description="type and shape of its only input, in words")
    difference: float = Field(description="largest from the encoder's features, when it was exported")


class Exported(Config):
    """One encoder of an export."""

    architecture: str
    source: str = Field(description="r2plus1d, resnet, torchvision:NAME or module:object")
    features: int
    parameters: int
    input: Input
    weights: Name = Field(description="name of the safetensors file")
    program: Program | None = None
    untraced: str = Field("", description="why there is no program")


class Export(Config):
    """What an exported folder holds and where it comes from; ``encoders.json`` beside it is the run's own metadata.

    ``versions`` and ``commit`` are those that made the run; ``exported_with`` those that made the programs.
    """

    schema_version: int = SCHEMA_VERSION
    run: str
    name: str
    suite: str
    method: str
    pretrain_data: str
    pretrain_items: int
    pretrain_subset: str
    seed: int
    round: int
    epochs: int
    config_hash: str
    versions: dict[str, str]
    commit: str
    exported_with: dict[str, str]
    encoders: dict[Modality, Exported]
    sha256: dict[Name, str] = Field(description="of each file but this one and the model card")


class Stated(TypedDict):
    """What planning reads of ``encoders.json``: the encoders, how they are built, and those that others build."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    encoders: NotRequired[tuple[Modality, ...]]
    models: Models
    sources: NotRequired[dict[Modality, str]]


def read_stated(folder: Path) -> Stated:
    """What the metadata in a run directory or exported folder states.

    Raises:
        UserError: it is missing or damaged.
    """
    stated: Stated = read_as(Stated, folder / METADATA_FILE)
    return stated


def is_export(folder: Path) -> bool:
    """Whether a folder was written by ``xdcbench export``."""
    return (folder / MANIFEST).is_file()


def read_export(folder: Path) -> Export:
    """What an exported folder says of itself.

    Raises:
        UserError: its manifest is unreadable, incomplete or of another schema.
    """
    path = folder / MANIFEST
    content = read_json(path, fix=FIX)
    if isinstance(content, dict):
        check_schema(content.get("schema_version"), SCHEMA_VERSION, f"{path} is an export of", fix=FIX)
    export: Export = check(Export, content, str(path), fix=FIX)
    return export


def verified(folder: Path) -> Export:
    """What an exported folder says of itself, once all its files were found to be those that were exported.

    Programs may be left out of a copy; the weights and the metadata may not.

    Raises:
        UserError: as ``read_export``; a file is missing or has another hash.
    """
    export = read_export(folder)
    needed = {METADATA_FILE, *(encoder.weights for encoder in export.encoders.values())}
    for name in sorted(needed | export.sha256.keys()):
        path = folder / name
        if not path.is_file():
            if name in needed:
                raise UserError(
                    f"{path} is missing; copy the whole exported folder, or export {export.run} again"
                )
            continue
        expected, found = export.sha256.get(name, "none"), file_hash(path)
        if found != expected:
            raise UserError(
                f"{path} has the SHA-256 {found[:12]}..., but {MANIFEST} says {expected[:12]}...: it was changed or "
                f"cut short; copy it again, or export {export.run} again"
            )
    return export
