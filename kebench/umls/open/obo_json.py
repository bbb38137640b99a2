"""Ontologies as OBO-JSON (obographs) files.

They are read as the plain JSON they are.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from kebench.bounded import parse_json
from kebench.errors import UserError
from kebench.umls.open.ids import id_of_address, read_id
from kebench.umls.open.terms import (
    LICENCE,
    SCOPES,
    Ontology,
    Synonym,
    Term,
    cleaned_term,
    date_or_whole,
    relation_name,
)

SCOPE_OF_PREDICATE = {f"has{scope.title()}Synonym": scope for scope in SCOPES}


def read_obo_json(file: IO[bytes], where: str) -> Ontology:
    """Read an OBO-JSON file (the obographs schema); all its graphs are one ontology."""
    try:
        document = parse_json(file.read())
    except json.JSONDecodeError as error:
        raise UserError(f"{where} line {error.lineno}: not JSON ({error.msg}); mend the file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 ({error.reason}); convert the file") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); mend the file") from None
    graphs = document.get("graphs") if isinstance(document, dict) else None
    if not isinstance(graphs, list) or not all(isinstance(graph, dict) for graph in graphs):
        raise UserError(f"{where}: JSON without 'graphs'; expected an OBO-JSON (obographs) file")
    try:
        noted: Counter[str] = Counter()
        terms = [term for graph in graphs for term in _graph_terms(graph, noted)]
        first = graphs[0] if graphs else {}
        name = (first.get("id") or "").rpartition("/")[2].partition(".")[0]
        meta = first.get("meta") or {}
        licences = [
            str(value.get("val", ""))
            for value in meta.get("basicPropertyValues") or ()
            if LICENCE.search(str(value.get("pred", "")))
        ]
        version = date_or_whole(str(meta.get("version") or ""))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{where}: a node or an edge lacks what obographs asks for ({error}); mend it"
        ) from None
    twice = [one for one, count in Counter(term.id for term in terms).items() if count > 1]
    if twice:
        raise UserError(f"{where}: the term {twice[0]} stands in it twice; remove one")
    return Ontology(name, version, licences[0] if licences else "", terms, dict(+noted))


def _graph_terms(graph: dict[str, Any], noted: Counter[str]) -> Iterator[Term]:
    nodes = graph.get("nodes") or ()
    names = {node["id"]: node.get("lbl") or "" for node in nodes if node.get("type") == "PROPERTY"}
    relations: dict[str, list[tuple[str, str]]] = {}
    for edge in graph.get("edges") or ():
        name = relation_name(names.get(edge["pred"]) or _compact(edge["pred"]))
        relations.setdefault(edge["sub"], []).append((name, id_of_address(edge["obj"])))
    for node in nodes:
        is_class = node.get("type", "CLASS") == "CLASS"
        if is_class and (term := _json_term(node, relations.get(node["id"], []), noted)):
            yield term


def _json_term(node: dict[str, Any], relations: list[tuple[str, str]], noted: Counter[str]) -> Term | None:
    meta = node.get("meta") or {}
    properties: dict[str, list[str]] = {}
    for value in meta.get("basicPropertyValues") or ():
        properties.setdefault(re.split(r"[#/]", value.get("pred", ""))[-1], []).append(
            str(value.get("val", ""))
        )
    raw = Term(
        id=id_of_address(node["id"]),
        name=node.get("lbl") or "",
        synonyms=tuple(
            Synonym(synonym["val"], SCOPE_OF_PREDICATE.get(synonym.get("pred", ""), ""))
            for synonym in meta.get("synonyms") or ()
        ),
        xrefs=tuple(read_id(xref["val"]) for xref in meta.get("xrefs") or ()),
        relations=tuple(relations),
        alternates=tuple(read_id(former) for former in properties.get("hasAlternativeId", [])),
        is_obsolete=bool(meta.get("deprecated")),
    )
    return cleaned_term(raw, noted, namespace=properties.get("hasOBONamespace", [""])[0])


def _compact(address: str) -> str:
    """Return http://purl.obolibrary.org/obo/DOID_4 as DOID:4; anything else as it is."""
    local = address.rpartition("/")[2] if "://" in address else address
    prefix, underscore, rest = local.partition("_")
    return f"{prefix}:{rest}" if "://" in address and underscore and rest[:1].isdigit() else local
