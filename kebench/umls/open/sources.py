"""open-kb's sources: one card each (cards/*.toml), and the function that reads it from its wheel.

A card says where a source comes from, in which version, under which licence, and which members of which
wheel hold it. The wheels themselves are in wheels.toml.
"""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

from kebench.cards import Card, read_card
from kebench.errors import UserError
from kebench.umls.open.genes import read_families, read_genes
from kebench.umls.open.mesh import read_mappings, read_mesh
from kebench.umls.open.ontology_tables import read_ontology_table
from kebench.umls.open.phenotypes import read_annotations, read_phenotypes
from kebench.umls.open.terms import Content, SourceFile, Vocabulary

CARDS = Path(__file__).parent / "cards"

MOST_MEMBER_BYTES = 1 << 30  # of a wheel, unpacked; ours, open-kb's largest wheel has 44 MB


class SourceCard(Card):
    """One source of open-kb.

    name: SAB of its relations. wheel: the distribution its tables are in. members: their paths in it.
    version: of the source, where its tables do not say it themselves; empty if nothing does.
    """

    name: str
    title: str
    wheel: str
    members: tuple[str, ...]
    version: str = ""
    licence: str
    homepage: str
    citation: str
    note: str = ""


# By the name of a card. A reader gets the bytes of the card's members, in the card's order.
READERS: dict[str, Callable[..., Content]] = {
    "BIOMAPPINGS": read_mappings,
    "CHEBI": read_ontology_table,
    "DOID": read_ontology_table,
    "FPLX": read_families,
    "GO": read_ontology_table,
    "HGNC": read_genes,
    "HPO": read_phenotypes,
    "HPOA": read_annotations,
    "MONDO": read_ontology_table,
    "MSH": read_mesh,
}


def source_cards() -> list[SourceCard]:
    """Return the cards of open-kb's sources, in the order of their names."""
    return sorted((read_card(path, SourceCard) for path in CARDS.glob("*.toml")), key=lambda card: card.name)


def read_source(card: SourceCard, wheel: Path) -> Vocabulary:
    """Return the vocabulary of one source; nothing of the wheel is installed or run."""
    contents = _members(card, wheel)
    files = tuple(
        SourceFile(f"{wheel.name}/{name}", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in zip(card.members, contents, strict=True)
    )
    try:
        content = READERS[card.name](*contents)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{wheel}: {', '.join(card.members)} is not as expected ({error!r}); "
            "use the version in wheels.toml"
        ) from None
    return Vocabulary(
        name=card.name,
        title=card.title,
        files=files,
        terms=content.terms,
        triples=content.triples,
        mappings=content.mappings,
        version=content.version or card.version,
        licence=card.licence,
        homepage=card.homepage,
        citation=card.citation,
        note=card.note,
    )


def _members(card: SourceCard, wheel: Path) -> list[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            sizes = {name: archive.getinfo(name).file_size for name in card.members}
            if large := [name for name, size in sizes.items() if size > MOST_MEMBER_BYTES]:
                raise UserError(
                    f"{wheel}: {large[0]} has {sizes[large[0]]:,} bytes; use the one of wheels.toml"
                )
            return [archive.read(name) for name in card.members]
    except KeyError as error:
        raise UserError(f"{wheel}: {error.args[0]}; use the version in wheels.toml") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{wheel}: not a readable wheel ({error}); fetch it again") from None
