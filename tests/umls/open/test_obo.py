"""Ontologies in both formats, and what is said of broken ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.umls.open.ontology import read_ontology
from kebench.umls.open.terms import Synonym, Term, Vocabulary, describe_noted

HEADER = """format-version: 1.2
data-version: test/releases/2024-05-01
property_value: terms:license https://creativecommons.org/publicdomain/zero/1.0/
import: http://nowhere.invalid/never-fetched.owl
ontology: test

"""
Ontology = Callable[[str], Path]


@pytest.fixture
def obo(tmp_path: Path) -> Ontology:
    """Return a function that writes an OBO file of some frames."""

    def write(frames: str) -> Path:
        path = tmp_path / "test.obo"
        path.write_text(HEADER + frames, encoding="utf-8")
        return path

    return write


def test_a_term_has_its_names_references_and_relations(obo: Ontology) -> None:
    vocabulary = read_ontology(
        obo("""[Term]
id: DOID:1
name: a  big disease
alt_id: DOID:7
synonym: "disease of size" EXACT plural_form [url:x]
synonym: "something large" BROAD []
xref: UMLS_CUI:C0000001 {source="MONDO:equivalentTo"}
xref: MSH:D000001 "Big Disease"
is_a: DOID:4 ! disease
relationship: RO:0004029 HP:9 ! has feature

[Typedef]
id: RO:0004029
name: disease has feature
""")
    )
    assert vocabulary.terms == [
        Term(
            "DOID:1",
            "a big disease",
            synonyms=(Synonym("disease of size", "EXACT"), Synonym("something large", "BROAD")),
            xrefs=("UMLS:C0000001", "MESH:D000001"),
            relations=(("isa", "DOID:4"), ("disease_has_feature", "HP:9")),
            alternates=("DOID:7",),
        )
    ]


def test_a_parent_that_stands_in_an_import_is_no_mistake(obo: Ontology) -> None:
    [term] = read_ontology(obo("[Term]\nid: DOID:1\nname: a\nis_a: BFO:0000016\n")).terms
    assert term.relations == (("isa", "BFO:0000016"),)


def test_a_definition_out_of_format_does_no_harm(obo: Ontology) -> None:
    frames = '[Term]\nid: DOID:1\nname: a\ndef: "x" [JA:Epilepsy Genetics Kiel, url:http\\://x.org]\n'
    assert len(read_ontology(obo(frames)).terms) == 1


def test_letters_beyond_ascii_are_kept(obo: Ontology) -> None:
    assert (
        read_ontology(obo("[Term]\nid: DOID:1\nname: Ménière disease\n")).terms[0].name == "Ménière disease"
    )


def test_obsolete_terms_are_marked(obo: Ontology) -> None:
    assert read_ontology(obo("[Term]\nid: DOID:1\nname: a\nis_obsolete: true\n")).terms[0].is_obsolete


def test_branches_of_the_gene_ontology_have_their_own_types(obo: Ontology) -> None:
    frames = "[Term]\nid: GO:1\nname: nucleus\nnamespace: cellular_component\n"
    assert read_ontology(obo(frames)).terms[0].types == ("T026",)


def test_the_header_says_version_and_licence(obo: Ontology) -> None:
    vocabulary = read_ontology(obo("[Term]\nid: DOID:1\nname: a\n"))
    assert (vocabulary.name, vocabulary.title, vocabulary.version) == ("DOID", "test", "2024-05-01")
    assert "creativecommons.org/publicdomain/zero/1.0" in vocabulary.licence


def test_a_date_stands_in_for_a_version(tmp_path: Path) -> None:
    path = tmp_path / "old.obo"
    path.write_text("format-version: 1.2\ndate: 14:05:2015 16:40\n\n[Term]\nid: DOID:1\nname: a\n")
    assert read_ontology(path).version == "2015-05-14"


def graph(nodes: list[dict[str, object]], edges: list[dict[str, str]]) -> str:
    meta = {"version": "http://purl.obolibrary.org/obo/doid/releases/2024-01-31/doid.owl"}
    address = "http://purl.obolibrary.org/obo/doid.owl"
    return json.dumps({"graphs": [{"id": address, "meta": meta, "nodes": nodes, "edges": edges}]})


IN_OBO = """[Term]
id: DOID:1
name: a
alt_id: DOID:7
synonym: "aa" EXACT []
synonym: "ab" RELATED []
xref: UMLS_CUI:C0000001
is_a: DOID:4
relationship: RO:0004029 DOID:2

[Term]
id: DOID:2
name: b
is_obsolete: true

[Typedef]
id: RO:0004029
name: disease has feature
"""
PLACE = "http://purl.obolibrary.org/obo/"
IN_JSON = graph(
    [
        {
            "id": PLACE + "DOID_1",
            "lbl": "a",
            "type": "CLASS",
            "meta": {
                "synonyms": [
                    {"pred": "hasExactSynonym", "val": "aa"},
                    {"pred": "hasRelatedSynonym", "val": "ab"},
                ],
                "xrefs": [{"val": "UMLS_CUI:C0000001"}],
                "basicPropertyValues": [
                    {"pred": "http://www.geneontology.org/formats/oboInOwl#hasAlternativeId", "val": "DOID:7"}
                ],
            },
        },
        {"id": PLACE + "DOID_2", "lbl": "b", "type": "CLASS", "meta": {"deprecated": True}},
        {"id": PLACE + "RO_0004029", "lbl": "disease has feature", "type": "PROPERTY"},
    ],
    [
        {"sub": PLACE + "DOID_1", "pred": "is_a", "obj": PLACE + "DOID_4"},
        {"sub": PLACE + "DOID_1", "pred": PLACE + "RO_0004029", "obj": PLACE + "DOID_2"},
    ],
)


def test_both_formats_say_the_same(obo: Ontology, tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(IN_JSON)
    first, second = read_ontology(obo(IN_OBO)), read_ontology(tmp_path / "test.json")
    assert first.terms == second.terms
    assert second.version == "2024-01-31"


def test_a_gzipped_ontology_is_read(obo: Ontology, tmp_path: Path) -> None:
    packed = tmp_path / "test.obo.gz"
    packed.write_bytes(gzip.compress(obo(IN_OBO).read_bytes()))
    assert len(read_ontology(packed).terms) == 2


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        read_ontology(path)
    return str(refused.value).replace(str(path), path.name)


def test_a_broken_line_is_named(obo: Ontology) -> None:
    assert refusal(obo("[Term]\nid: DOID:1\nname: a\nis_a:\n")).startswith("test.obo line 10: not OBO (")


@pytest.mark.parametrize(
    ("where", "line", "kind"),
    [
        ("header", "date: 05:20:2021 12:00", "dates_not_read"),
        ("header", "! a comment", "comment_lines"),
        ("header", "!", "comment_lines"),
        ("header", "a line broken in two", "lines_without_tag"),
        ("term", "xref: http://wiki.example.org/Page\\:Cough", "xrefs_without_id"),
        ("term", 'xref: KEGG COMPOUND:C00001 "CAS number"', "xref_not_read"),
        ("term", "xref:", "xref_not_read"),
        ("term", "xref: 12345", "xrefs_without_id"),
        ("term", "its second half", "lines_without_tag"),
        ("term", "synonyms: tussis", "unknown_tags"),
        ("term", "is_a: respiratory_symptom", "relations_without_id"),
        ("term", "alt_id: 17", "alternates_without_id"),
    ],
)
def test_a_line_that_states_no_fact_is_passed_over_and_counted(
    where: str, line: str, kind: str, tmp_path: Path
) -> None:
    header, term = "format-version: 1.2\nontology: lab\n", "[Term]\nid: LAB:0001\nname: cough\n"
    path = tmp_path / "lab.obo"
    last = 'synonym: "tussis" EXACT []\n'
    path.write_text(f"{header}{line}\n{term}{last}" if where == "header" else f"{header}{term}{line}\n{last}")
    vocabulary = read_ontology(path)
    assert vocabulary.terms == [Term("LAB:0001", "cough", synonyms=(Synonym("tussis", "EXACT"),))]
    assert vocabulary.noted == {kind: 1}
    assert vocabulary.version == ""
    assert vocabulary.examples == {kind: f"line {3 if where == 'header' else 6}: {line}"}


@pytest.mark.parametrize(
    "line",
    [
        'def: "x" [JA:Epilepsy Genetics Kiel]', 'def: "a "b" c"', "def: no quotes", "comment: a\\",
        "subset: a b",
        "creation_date: yesterday", "created_by:", "property_value: x", "intersection_of: a b c d",
        'synonym: "x" EXACT [JA:Epilepsy Genetics Kiel]',
    ],
)  # fmt: skip
def test_what_is_wrong_where_nothing_is_read_does_no_harm(line: str, obo: Ontology) -> None:
    vocabulary = read_ontology(obo(f"[Term]\nid: DOID:1\nname: a\n{line}\n"))
    assert (len(vocabulary.terms), vocabulary.noted) == (1, {})


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        ('synonym: "5" chain" EXACT []', "synonym",
         "a name in quotes, then EXACT, BROAD, NARROW or RELATED"),
        ("synonym: tussis EXACT []", "synonym", "a name in quotes, then EXACT, BROAD, NARROW or RELATED"),
        ('synonym: "x" EXCAT []', "synonym", "a name in quotes, then EXACT, BROAD, NARROW or RELATED"),
        ("is_a: DOID:4 DOID:5", "is_a", "one id"),
        ("is_a:", "is_a", "one id"),
        ("relationship: part_of", "relationship", "a relation and an id"),
        ("is_obsolete: 1", "is_obsolete", "true or false"),
        ("alt_id: a b", "alt_id", "one id"),
        ("name: another", "name", "one name"),
    ],
)  # fmt: skip
def test_a_fact_that_cannot_be_read_is_refused_or_counted(
    line: str, kind: str, expected: str, obo: Ontology
) -> None:
    path = obo(f"[Term]\nid: DOID:1\nname: a\n{line}\n")
    assert refusal(path) == (
        f"test.obo line 10: not OBO (expected {expected}): {line!r}; mend the line, or leave such lines out: "
        "--on-error skip"
    )
    vocabulary = read_ontology(path, skip_faults=True)
    assert vocabulary.terms == [Term("DOID:1", "a")]
    assert vocabulary.noted == {f"{kind}_not_read": 1}
    assert vocabulary.examples == {f"{kind}_not_read": f"line 10: {line}"}


@pytest.mark.parametrize("stanza", ["[ Term ]", "[TERM]", "[term] ! ours"])
def test_a_term_is_read_however_its_stanza_is_spelt(stanza: str, obo: Ontology) -> None:
    vocabulary = read_ontology(obo(f"{stanza}\nid: DOID:1\nname: a\n"))
    assert (vocabulary.terms, vocabulary.noted) == ([Term("DOID:1", "a")], {})


def test_stanzas_of_another_kind_are_counted(obo: Ontology) -> None:
    stanzas = "[Instance]\nid: x\n\n[Terms]\nid: DOID:2\nname: b\n\n[Annotation]\nsubject: DOID:1\n"
    vocabulary = read_ontology(obo(f"[Term]\nid: DOID:1\nname: a\n\n{stanzas}"))
    assert vocabulary.terms == [Term("DOID:1", "a")]
    assert vocabulary.noted == {"unknown_stanzas": 2}
    assert vocabulary.examples == {"unknown_stanzas": "line 14: [Terms]"}


def test_each_kind_has_an_example_facts_first(obo: Ontology) -> None:
    text = "! x\n[Term]\nid: DOID:1\nname: a\nxref: 12\nxref: 13\nsynonym: b\nsynonym: c\n\n[Term]\nid: d\n"
    vocabulary = read_ontology(obo(text), skip_faults=True)
    assert list(vocabulary.examples.items()) == [
        ("synonym_not_read", "line 13: synonym: b"),
        ("comment_lines", "line 7: ! x"),
        ("xrefs_without_id", "line 11: xref: 12"),
        ("terms_without_prefix", "line 17: id: d"),
    ]
    assert list(vocabulary.noted.items()) == [
        ("synonym_not_read", 2), ("comment_lines", 1), ("xrefs_without_id", 2), ("terms_without_prefix", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "one", "two"),
    [
        ("dates_not_read", "1 date not read", "2 dates not read"),
        ("xrefs_without_id", "1 xref without id", "2 xrefs without id"),
        ("ids_from_urls", "1 id from url", "2 ids from urls"),
        ("synonym_not_read", "1 synonym line not read", "2 synonym lines not read"),
        ("is_a_not_read", "1 is_a line not read", "2 is_a lines not read"),
        ("lines_without_tag", "1 line without tag", "2 lines without tag"),
        ("terms_without_name", "1 term without name", "2 terms without name"),
    ],
)
def test_what_was_passed_over_is_said_in_the_right_number(kind: str, one: str, two: str) -> None:
    assert (describe_noted(1, kind), describe_noted(2, kind)) == (one, two)


def test_ids_written_as_addresses_are_taken_and_ids_without_a_prefix_are_counted(obo: Ontology) -> None:
    vocabulary = read_ontology(
        obo("""[Term]
id: http://purl.obolibrary.org/obo/DOID_1
name: a
is_a: http://purl.obolibrary.org/obo/DOID_4 ! disease

[Term]
id: http://wiki.example.org/Category:Diseases
name: b

[Term]
id: cough
name: c

[Term]
id: DOID:2
""")
    )
    assert vocabulary.terms == [Term("DOID:1", "a", relations=(("isa", "DOID:4"),))]
    assert vocabulary.noted == {"ids_from_urls": 1, "terms_without_prefix": 2, "terms_without_name": 1}


def test_a_file_of_nothing_but_ids_without_a_prefix_is_refused_with_their_number(obo: Ontology) -> None:
    assert refusal(obo("[Term]\nid: cough\nname: c\n")) == (
        "test.obo: no term in it with a name and an id (1 term without prefix); "
        "expected an OBO or OBO-JSON ontology"
    )


def test_synonyms_of_older_versions_of_the_format_are_read(obo: Ontology) -> None:
    [term] = read_ontology(
        obo("""[Term]
id: DOID:1
name: a \\{b\\} \\"c\\" {source="x"} ! a comment
exact_synonym: "one" []
narrow_synonym: "two" [A:1]
synonym: "three" []
synonym: "say \\"four\\"" broad ABBREVIATION []
xref_analog: MSH:D000001
""")
    ).terms
    assert term.name == 'a {b} "c"'
    assert [(one.name, one.scope) for one in term.synonyms] == [
        ("one", "EXACT"), ("two", "NARROW"), ("three", "RELATED"), ('say "four"', "BROAD"),
    ]  # fmt: skip
    assert term.xrefs == ("MESH:D000001",)


def test_what_is_left_out_of_obo_json_is_counted(tmp_path: Path) -> None:
    nodes = [{"id": PLACE + "DOID_1", "lbl": "a", "type": "CLASS"}, {"id": PLACE + "DOID_2"}]
    nodes.append({"id": "http://x.org/cough", "lbl": "c"})
    edges = [{"sub": PLACE + "DOID_1", "pred": "is_a", "obj": "http://x.org/symptom"}]
    (tmp_path / "test.json").write_text(graph(nodes, edges))
    vocabulary = read_ontology(tmp_path / "test.json")
    assert vocabulary.noted == {"terms_without_name": 1, "terms_without_prefix": 1, "relations_without_id": 1}


def test_a_term_that_stands_twice_is_refused_with_both_lines(obo: Ontology) -> None:
    frames = "[Term]\nid: DOID:1\nname: a\n\n[Term]\nid: DOID:1\nname: b\n"
    assert refusal(obo(frames)) == "test.obo line 12: the term DOID:1 is in line 8 already; remove one"


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.obo"
    path.write_bytes((HEADER + "[Term]\nid: DOID:1\nname: Ménière\n").encode("latin-1"))
    assert refusal(path) == "latin.obo line 9: not UTF-8 (invalid continuation byte); convert the file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "x line 1: not OBO (expected a tag and a colon): 'hello'; mend the line"),
        ("format-version: 1.2\n", "x: no term in it; expected an OBO or OBO-JSON ontology"),
        ('{"a": 1}', "x: JSON without 'graphs'; expected an OBO-JSON (obographs) file"),
        ('{"graphs": [', "x line 1: not JSON (Expecting value); mend the file"),
        (
            '{"graphs": [{"nodes": [{}]}]}',
            "x: a node or an edge lacks what obographs asks for ('id'); mend it",
        ),
    ],
)
def test_what_is_no_ontology_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(content)
    assert refusal(tmp_path / "x") == message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "none.obo")


@pytest.mark.realdata
def test_the_disease_ontology_is_read_whole(real_data: Path) -> None:
    path = real_data / "kb" / "obo" / "HumanDO.obo"
    vocabulary: Vocabulary = read_ontology(path)
    live = [term for term in vocabulary.terms if not term.is_obsolete]
    assert (len(vocabulary.terms), len(live)) == (8948, 6574)
    # 12,769 lines of synonyms; 545 repeat one of the same term, 3 of them but for blanks at the end.
    assert sum(len(term.synonyms) for term in live) == 12769 - 545
    assert sum(relation == "isa" for term in live for relation, _ in term.relations) == 6921
    xrefs = [xref.partition(":")[0] for term in live for xref in term.xrefs]
    counts = {prefix: xrefs.count(prefix) for prefix in ("MESH", "UMLS", "OMIM", "NCIT")}
    # Less what cannot be an id: five of UMLS (0265205, C002067 ...), two of MeSH (562492, 563466).
    assert counts == {"MESH": 2868 - 2, "UMLS": 6295 - 5, "OMIM": 3392, "NCIT": 3877}


@pytest.mark.parametrize(
    "change",
    [
        {"id": ["x"]},
        {"meta": ["x"]},
        {"meta": {"basicPropertyValues": ["x"]}},
        {"nodes": [{"id": PLACE + "DOID_1", "lbl": ["a"], "type": "CLASS"}]},
        {"nodes": [{"id": PLACE + "DOID_1", "lbl": "a", "meta": {"synonyms": [{"val": 1}]}}]},
        {"edges": [{"sub": ["x"], "pred": "is_a", "obj": "y"}]},
    ],
)
def test_a_value_of_another_kind_in_obo_json_is_one_line(change: dict[str, object], tmp_path: Path) -> None:
    document = json.loads(IN_JSON)
    document["graphs"][0] |= change
    (tmp_path / "test.json").write_text(json.dumps(document))
    assert "lacks what obographs asks for" in refusal(tmp_path / "test.json")


def test_half_a_surrogate_pair_in_obo_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(IN_JSON.replace('"lbl": "a"', '"lbl": "a\\ud800"'))
    assert "not JSON (half a surrogate pair" in refusal(tmp_path / "test.json")


def test_obo_json_nested_too_deep_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text('{"graphs": ' + "[" * 100_000)
    assert refusal(tmp_path / "test.json") == "test.json: not JSON (nested too deeply); mend the file"
