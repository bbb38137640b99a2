"""`EntityEmbeddings`: one vector a CUI, one a relation, and where they came from; a directory on disk.

embeddings.safetensors holds `entity` and `relation`, entities.parquet and relations.parquet the name of each
row, embeddings.json everything else. docs/FORMATS.md has every field.
"""

# N entities, R relations, D dimensions

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kebench.cards import Part, read_json_as
from kebench.errors import UserError
from kebench.files import atomic_folder, sha256_of
from kebench.records import Provenance
from kebench.transe.rank import Numbers
from kebench.transe.recipe import Settings

CARD, VECTORS, ENTITIES, RELATIONS = (
    "embeddings.json", "embeddings.safetensors", "entities.parquet", "relations.parquet",
)  # fmt: skip


class EmbeddingsCard(Part):
    """What embeddings.json says.

    identity: hash of everything that can move a vector: source, settings, what was held out.
    source, source_hash: the source's name, and the hash of its content.
    num_triples: of each split; only "train" was trained on.
    left_out, pairs_in_train: as in `Graph`; None in older files, which did not count them.
    evaluation: {split: {side: {ties: {"mrr", ...}}}}; None if nothing was held out.
    resumed_after_epoch: 0 if one process made it all; else `provenance` tells of the epochs after it.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    identity: str
    source: str
    source_hash: str
    settings: Settings
    num_entities: int
    num_relations: int
    num_triples: dict[str, int]
    left_out: dict[str, dict[str, int]] | None = None
    pairs_in_train: dict[str, int] | None = None
    loss_by_epoch: tuple[float, ...]
    evaluation: dict[str, Numbers] | None
    sha256: str = Field(description="of embeddings.safetensors")
    resumed_after_epoch: int
    provenance: Provenance


class EntityEmbeddings(NamedTuple):
    """Vectors on the CPU, float32, and the name of each row. Entities have length one."""

    entity_ND: Tensor
    relation_RD: Tensor
    cuis: pa.StringArray
    relations: pa.StringArray
    card: EmbeddingsCard

    @classmethod
    def open(cls, folder: Path) -> "EntityEmbeddings":
        """Read embeddings. Raises UserError if a part is missing, cut off, or does not fit the others."""
        card = read_embeddings_card(folder)
        cuis, relations = (read_names(folder / name) for name in (ENTITIES, RELATIONS))
        path = folder / VECTORS
        try:
            if sha256_of(path) != card.sha256:
                raise _damaged(path, f"not the file that {CARD} describes")
            vectors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise _damaged(path, f"cannot be read ({error})") from None
        rows = {"entity": len(cuis), "relation": len(relations)}
        expected = {name: (num_rows, card.settings.dimension) for name, num_rows in rows.items()}
        if {name: tuple(vector.shape) for name, vector in vectors.items()} != expected:
            raise _damaged(folder, f"vectors and names do not fit; expected the shapes {expected}")
        return cls(vectors["entity"], vectors["relation"], cuis, relations, card)

    def save(self, folder: Path) -> EmbeddingsCard:
        """Write embeddings; all of `folder` appears at once. Returns the card with its sha256 filled in."""
        with atomic_folder(folder, point="embeddings") as temporary:
            save_file({"entity": self.entity_ND, "relation": self.relation_RD}, temporary / VECTORS)
            write_names(temporary / ENTITIES, "cui", self.cuis)
            write_names(temporary / RELATIONS, "relation", self.relations)
            card = self.card.model_copy(update={"sha256": sha256_of(temporary / VECTORS)})
            text = card.model_dump_json(indent=1, by_alias=True) + "\n"
            (temporary / CARD).write_text(text, encoding="utf-8")
        if read_embeddings_card(folder).identity != card.identity:
            raise UserError(
                f"{folder}: another process has just written other embeddings there; choose another --out"
            )
        return card

    def rows(self, cuis: pa.StringArray) -> NDArray[np.int64]:
        """Return the row of each CUI, -1 for those that have none."""
        places = pc.fill_null(pc.index_in(cuis, self.cuis), -1)
        return np.asarray(places.to_numpy(zero_copy_only=False), dtype=np.int64)


def read_embeddings_card(folder: Path) -> EmbeddingsCard:
    """Read embeddings.json. Raises UserError if it is missing or not one of ours."""
    return read_json_as(
        folder / CARD,
        EmbeddingsCard,
        refused="not embeddings ({}); remove the folder and run 'kebench embed' again",
        unreadable="cannot be read ({}); name a folder made by 'kebench embed'",
    )


def write_names(path: Path, column: str, names: pa.StringArray) -> None:
    """Write the name of each row of a table of vectors."""
    row = pa.array(np.arange(len(names), dtype=np.int32))
    pq.write_table(pa.table({"row": row, column: names}), path)


def read_names(path: Path, *, command: str = "embed") -> pa.StringArray:
    """Read the name of each row. command: what makes such a file, for the error."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, f"cannot be read ({error})", command) from None
    if not np.array_equal(table["row"].to_numpy(), np.arange(len(table))):
        raise _damaged(path, "its rows are not in order", command)
    return table.column(1).combine_chunks()


def _damaged(path: Path, what: str, command: str = "embed") -> UserError:
    return UserError(f"{path}: {what}; remove the folder and run 'kebench {command}' again")
