"""Ontologies, in whichever of two formats: OBO, read by `obo`, and OBO-JSON (obographs), read here."""

import gzip
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from kebench.bounded import parse_json
from kebench.errors import UserError
from kebench.umls.open.ids import id_of_address, prefix_of, read_id, source_of
from kebench.umls.open.obo import read_obo
from kebench.umls.open.terms import (
    LICENCE,
    SCOPES,
    Content,
    Synonym,
    Term,
    Vocabulary,
    cleaned_term,
    date_or_whole,
    describe_noted,
    relation_name,
    source_file,
)

SCOPE_OF_PREDICATE = {f"has{scope.title()}Synonym": scope for scope in SCOPES}


def read_ontology(path: Path, *, skip_faults: bool = False) -> Vocabulary:
    """Return one ontology file (.obo or .json, also gzipped), seen by its first character, as a vocabulary.

    It is named after the namespace that most of its terms are in.
    skip_faults: count the lines of OBO that state a fact and cannot be read, instead of refusing them.
    Raises UserError with file and line where a file is broken, holds a term twice, or is no ontology.
    """
    try:
        with opened(path) as file:
            is_json = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
            file.seek(0)
            ontology = (
                read_obo_json(file, str(path))
                if is_json
                else read_obo(file, str(path), skip_faults=skip_faults)
            )
        described = source_file(path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); check the path") from None
    if not ontology.terms:
        left_out = ", ".join(describe_noted(num, kind) for kind, num in ontology.noted.items())
        raise UserError(
            f"{path}: no term in it{f' with a name and an id ({left_out})' if left_out else ''}; "
            "expected an OBO or OBO-JSON ontology"
        )
    counts = Counter(prefix_of(term.id) for term in ontology.terms)
    prefix = max(sorted(counts), key=lambda one: counts[one])
    named = {"name": source_of(prefix), "title": ontology.name or prefix}
    return Vocabulary(**ontology._asdict() | named, files=(described,))


def opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if is_gzip else path.open("rb")


def read_obo_json(file: IO[bytes], where: str) -> Content:
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
    licence = licences[0] if licences else ""
    return Content(terms, name=name, version=version, licence=licence, noted=dict(+noted))


def _graph_terms(graph: dict[str, Any], noted: Counter[str]) -> Iterator[Term]:
    nodes = graph.get("nodes") or ()
    names = {node["id"]: node.get("lbl") or "" for node in nodes if node.get("type") == "PROPERTY"}
    relations: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for edge in graph.get("edges") or ():
        name = relation_name(names.get(edge["pred"]) or _compact(edge["pred"]))
        relations[edge["sub"]].append((name, id_of_address(edge["obj"])))
    for node in nodes:
        if node.get("type", "CLASS") != "CLASS":
            continue
        stated, meta = relations[node["id"]], node.get("meta") or {}
        properties: dict[str, list[str]] = defaultdict(list)
        for value in meta.get("basicPropertyValues") or ():
            properties[re.split(r"[#/]", value.get("pred", ""))[-1]].append(str(value.get("val", "")))
        raw = Term(
            id=id_of_address(node["id"]),
            name=node.get("lbl") or "",
            synonyms=tuple(
                Synonym(synonym["val"], SCOPE_OF_PREDICATE.get(synonym.get("pred", ""), ""))
                for synonym in meta.get("synonyms") or ()
            ),
            xrefs=tuple(read_id(xref["val"]) for xref in meta.get("xrefs") or ()),
            relations=tuple(stated),
            alternates=tuple(read_id(former) for former in properties["hasAlternativeId"]),
            is_obsolete=bool(meta.get("deprecated")),
        )
        if term := cleaned_term(raw, noted, namespace=next(iter(properties["hasOBONamespace"]), "")):
            yield term


def _compact(address: str) -> str:
    """Return http://purl.obolibrary.org/obo/DOID_4 as DOID:4; anything else as it is."""
    local = address.rpartition("/")[2] if "://" in address else address
    prefix, underscore, rest = local.partition("_")
    return f"{prefix}:{rest}" if "://" in address and underscore and rest[:1].isdigit() else local
