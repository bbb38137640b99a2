"""scispaCy's own linker on an index of ours: what benchmarks and tests hold ours against."""

from collections.abc import Set
from types import SimpleNamespace
from typing import Any

from kebench.corpus.linking import LinkingSettings
from kebench.corpus.name_index import NameIndex
from kebench.corpus.nearest import EF_SEARCH


def scispacy_s_linker(index: NameIndex, settings: LinkingSettings, defined: Set[str] = frozenset()) -> Any:
    """Return scispaCy's EntityLinker on our graph and names.

    defined: concepts that have a definition; its filter for definitions is on if there are any.
    """
    from scispacy.candidate_generation import CandidateGenerator
    from scispacy.linking import EntityLinker

    names = index.names.to_pylist()
    begins, concepts = index.cuis_of_names
    cuis = index.cuis.to_pylist()
    owners = {name: {cuis[c] for c in concepts[begins[i] : begins[i + 1]]} for i, name in enumerate(names)}
    entities = {cui: SimpleNamespace(definition="so" if cui in defined else None) for cui in cuis}
    knowledge: Any = SimpleNamespace(alias_to_cuis=owners, cui_to_entity=entities)
    index.graph.setQueryTimeParams({"efSearch": EF_SEARCH})
    return EntityLinker(
        candidate_generator=CandidateGenerator(index.graph, index.vectorizer, names, knowledge),
        resolve_abbreviations=False,
        k=settings.k,
        threshold=settings.threshold,
        max_entities_per_mention=settings.max_entities,
        filter_for_definitions=bool(defined),
        no_definition_threshold=settings.no_definition_threshold,
    )
