"""From files of one's own to the three tables: ontologies, tables of terms, tables of triples."""

from collections.abc import Sequence
from pathlib import Path

from kebench.errors import UserError
from kebench.umls.open.drugs import with_named_drugs
from kebench.umls.open.manifest import FileEntry, OpenManifest, SourceEntry
from kebench.umls.open.ontology import read_ontology
from kebench.umls.open.resolve import Facts, resolve_relations
from kebench.umls.open.tables import write_tables
from kebench.umls.open.terms import Vocabulary
from kebench.umls.open.tsv import read_terms, read_triples
from kebench.umls.open.unify import unify


def tables_from_obo(
    paths: Sequence[Path],
    *,
    terms: Sequence[Path] = (),
    triples: Sequence[Path] = (),
    skip_faults: bool = False,
    into: Path,
) -> OpenManifest:
    """Write MRCONSO, MRREL and MRSTY (.parquet) of some ontologies and tables into a folder that exists.

    paths: OBO or OBO-JSON files, read by `read_ontology`. terms, triples: tables as
    `kebench.umls.open.tsv` describes them.
    The outcome does not depend on the order of the files.
    """
    vocabularies = [
        *(read_ontology(path, skip_faults=skip_faults) for path in paths),
        *map(read_terms, terms),
        *map(read_triples, triples),
    ]
    return build_tables(vocabularies, into=into)


def build_tables(
    vocabularies: Sequence[Vocabulary], *, into: Path, release: str = "", notes: Sequence[str] = ()
) -> OpenManifest:
    """Unify vocabularies, write the three tables, and return the manifest."""
    if not any(vocabulary.terms for vocabulary in vocabularies):
        raise UserError("no ontology and no table of terms: nothing to build a knowledge base from; name one")
    ordered = with_named_drugs(sorted(vocabularies, key=lambda one: (one.name, one.files, one.title)))
    unified = unify(ordered)
    facts = resolve_relations(ordered, unified)
    write_tables(ordered, unified, facts, into)
    entries = tuple(_entry(vocabulary, one) for vocabulary, one in zip(ordered, facts, strict=True))
    return OpenManifest(release=release, sources=entries, unification=unified.report, notes=tuple(notes))


def _entry(vocabulary: Vocabulary, facts: Facts) -> SourceEntry:
    return SourceEntry(
        name=vocabulary.name,
        title=vocabulary.title,
        version=vocabulary.version,
        licence=vocabulary.licence,
        homepage=vocabulary.homepage,
        citation=vocabulary.citation,
        note=vocabulary.note,
        files=tuple(FileEntry(**file._asdict()) for file in vocabulary.files),
        terms=len(vocabulary.terms),
        names=sum(
            len({term.name, *(synonym.name for synonym in term.synonyms)}) for term in vocabulary.terms
        ),
        relations=len(facts.rows),
        unresolved=facts.unresolved,
        unresolved_example=facts.unresolved_example,
        within=facts.within,
        negations=facts.negations,
        noted=vocabulary.noted,
        noted_examples=vocabulary.examples,
    )
