"""The manifest of a backup: what it contains, and how far it is. It is JSON."""

import json
from typing import Any

import msgspec
from bson import json_util
from msgspec import Struct, field

FORMAT = 1
COMPLETE = "manifest.json"
INCOMPLETE = "manifest.incomplete.json"


class ManifestError(Exception):
    """The manifest cannot be used. The text says what to change."""


class Chunk(Struct, frozen=True):
    """A file with documents in BSON, one after the other."""

    file: str
    documents: int
    bytes: int
    sha256: str


class CollectionCopy(Struct, kw_only=True):
    """A collection. `indexes`: as MongoDB lists them. `last`: a list with the `_id` of the last document, while
    `complete` is False. Both are extended JSON."""

    name: str
    indexes: list[dict[str, Any]] = field(default_factory=list)
    documents: int = 0
    bytes: int = 0
    chunks: list[Chunk] = field(default_factory=list)
    complete: bool = False
    last: list[Any] = field(default_factory=list)


class Manifest(Struct, kw_only=True):
    """A backup. `snapshot`: the time of the data, as seconds and increment of a BSON timestamp. `data_version`: the
    version of the stored data. `window_s`: MongoDB's history of snapshots before the backup raised it."""

    format: int = FORMAT
    hub_version: str
    data_version: int
    mongodb_version: str
    database: str
    snapshot: tuple[int, int] | None = None
    snapshot_at: str = ""
    finished_at: str = ""
    window_s: int | None = None
    collections: list[CollectionCopy] = field(default_factory=list)

    @property
    def documents(self) -> int:
        return sum(one.documents for one in self.collections)

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.collections)


def to_extended_json(value: Any) -> Any:
    """Return a BSON value in MongoDB's extended JSON, as the manifest contains it."""
    return json.loads(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS))


def from_extended_json(value: Any) -> Any:
    return json_util.loads(json.dumps(value))


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def decode(data: bytes) -> Manifest:
    """Return a manifest. Raise ManifestError."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ManifestError(f"The manifest cannot be read: {error}. The backup is damaged.") from None
    if manifest.format != FORMAT:
        raise ManifestError(f"The backup has format {manifest.format}. This hub reads format {FORMAT}.")
    return manifest
