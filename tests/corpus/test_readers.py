"""Readers of annotated and plain files: offsets, faults, and how formats are told apart."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from kebench.corpus.passage import MAX_CHARACTERS, GoldMention, Passage, Removed
from kebench.corpus.readers import READERS, check_format, detect_format, read_passages
from kebench.errors import UserError

PUBTATOR = """\
1|t|β-Carotene in gout.
1|a|It cures gouty arthritis.
1\t0\t10\tβ-Carotene\tChemical\tMESH:D019207
1\t14\t18\tgout\tDisease\tD006073|D001172
1\t29\t44\tgouty arthritis\tDisease\t-1
1\tCID\tD019207\tD006073

2|t|Nothing here.
2|a|
"""
BIOC = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE collection SYSTEM "BioC.dtd">
<collection><source>x</source><date>d</date><key>k</key>
<document><id>7</id>
<passage><infon key="type">title</infon><offset>0</offset><text>β-Carotene in gout.</text>
<annotation id="1"><infon key="type">Disease</infon><infon key="identifier">MESH:D006073</infon>
<location offset="14" length="4"/><text>gout</text></annotation></passage>
<passage><offset>20</offset><text>It cures gout.</text>
<annotation id="2"><infon key="type">Disease</infon><infon key="MESH">D006073</infon>
<location offset="29" length="4"/><text>gout</text></annotation></passage>
</document></collection>
"""


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def passages(path: Path, *, form: str | None = None, on_error: str = "stop") -> list[Passage | Removed]:
    return list(read_passages(path, form or detect_format(path), on_error=on_error, faults=Counter()))


def spelt(passage: Passage | Removed) -> list[str]:
    assert isinstance(passage, Passage)
    return [passage.text[mention.char_start : mention.char_end] for mention in passage.gold]


def test_pubtator_s_offsets_run_over_title_blank_abstract(tmp_path: Path) -> None:
    first, second = passages(written(tmp_path / "a.txt", PUBTATOR))
    assert first == Passage(
        "1",
        0,
        "β-Carotene in gout. It cures gouty arthritis.",
        (
            GoldMention(0, 10, "Chemical", ("MESH:D019207",)),
            GoldMention(14, 18, "Disease", ("D006073", "D001172")),
            GoldMention(29, 44, "Disease", ()),
        ),
        notes=("relations passed over",),
    )
    assert spelt(first) == ["β-Carotene", "gout", "gouty arthritis"]
    assert second == Passage("2", 0, "Nothing here. ")


BIORED = """\
9|t|BRCA1 and 1,2-dimethylhydrazine in tumours.
9|a|Both matter.
9\t0\t5\tBRCA1\tGeneOrGeneProduct\t672,672
9\t10\t31\t1,2-dimethylhydrazine\tChemicalEntity\tD019813
9\t35\t42\ttumours\tDiseaseOrPhenotypicFeature\tD009369;D001943
9\tAssociation\t672\tD009369\tNovel
9\tPositive_Correlation\tD019813\tD009369\tNo
9\tBind\t672\t7157\tNovel
9\tCID\t672\t7157
9\tassociate\tGene|672\tDisease|MESH:D009369
"""


def test_relations_of_biored_are_no_mentions_whatever_their_ids(tmp_path: Path) -> None:
    (found,) = passages(written(tmp_path / "a.txt", BIORED))
    assert isinstance(found, Passage)
    assert [(one.kind, one.ids) for one in found.gold] == [
        ("GeneOrGeneProduct", ("672", "672")),
        ("ChemicalEntity", ("D019813",)),
        ("DiseaseOrPhenotypicFeature", ("D009369", "D001943")),
    ]
    assert Counter(found.notes) == {"relations passed over": 5}


@pytest.mark.parametrize(
    "line",
    [
        "1\tO\t4\tGout\tDisease\tD1",
        "1\tx\t4\tGout\tDisease",
        "1\t\t4\tGout\tDisease\tD1",
        "1\tzero\t999\tGout\tDisease\tD1",
        "1\tzero\t999\tGout\tDisease",
        "1\tzero\t999\tGoat",
        "1\tzero\t9\t672\tGene",
        "1\tzero\tfour\tGout\tDisease",
        "1\tzero\t-1\t-1\tDisease",
        "1\tCID\tD001172",
        "1\tCID\tD001172\tgout",
    ],
)
def test_a_mention_with_a_damaged_start_is_no_relation(line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", f"1|t|Gout is bad\n1|a|\n{line}\n")
    with pytest.raises(UserError, match=r"line 3: expected PMID, start, end, text, type, id, .* two ids"):
        passages(path)


def test_a_composite_mention_may_repeat_its_parts(tmp_path: Path) -> None:
    line = "1\t0\t20\tbreast or lung cancer\tDisease\tD001943|D008175|-1\tbreast cancer|lung cancer"
    text = "breast or lung cancer"
    path = written(tmp_path / "a.txt", f"1|t|{text}\n1|a|\n{line.replace('20', str(len(text)))}\n")
    (found,) = passages(path)
    assert isinstance(found, Passage)
    assert found.gold == (GoldMention(0, len(text), "Disease", ("D001943", "D008175")),)


def test_documents_of_pubtator_without_a_blank_line_between_are_two(tmp_path: Path) -> None:
    text = "1|t|One\n1|a|gout\n1\t4\t8\tgout\tDisease\tD1\n2|t|Two\n2|a|gout\n2\t4\t8\tgout\tDisease\tD1\n"
    assert [one.document_id for one in passages(written(tmp_path / "a", text))] == ["1", "2"]


@pytest.mark.parametrize("zipped", [False, True])
def test_bioc_s_offsets_are_those_of_each_passage(zipped: bool, tmp_path: Path) -> None:
    content = gzip.compress(BIOC.encode()) if zipped else BIOC.encode()
    first, second = passages(written(tmp_path / "a.xml", content))
    assert (spelt(first), spelt(second)) == (["gout"], ["gout"])
    assert isinstance(second, Passage)
    assert (second.document_id, second.number) == ("7", 1)
    assert second.gold == (GoldMention(9, 13, "Disease", ("D006073",)),)


def test_a_bioc_offset_in_bytes_is_understood(tmp_path: Path) -> None:
    text = BIOC.replace('offset="14" length="4"', 'offset="15" length="4"')  # β takes two bytes
    assert spelt(passages(written(tmp_path / "a.xml", text))[0]) == ["gout"]


def test_json_lines_hold_title_and_abstract_or_text_and_mentions(tmp_path: Path) -> None:
    lines = [
        {
            "id": 1,
            "title": "Gout",
            "abstract": "A joint.",
            "mentions": [{"start": 0, "end": 4, "ids": ["D1"]}],
        },
        {"pmid": "2", "text": "No gout.", "mentions": [{"start": 3, "end": 7, "cui": "C1", "text": "gout"}]},
    ]
    path = written(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    first, second = passages(path)
    assert first == Passage("1", 0, "Gout A joint.", (GoldMention(0, 4, "", ("D1",)),))
    assert second == Passage("2", 0, "No gout.", (GoldMention(3, 7, "", ("C1",)),))


def test_pubmedds_is_told_by_its_links(tmp_path: Path) -> None:
    mention = {
        "start_offset": 3,
        "end_offset": 7,
        "link_id": "C1|C2",
        "mention": "gout",
        "category": "Disease",
    }
    path = written(tmp_path / "a.json", json.dumps({"_id": "1", "text": "No gout.", "mentions": [mention]}))
    assert detect_format(path) == "pubmedds"
    assert passages(path) == [Passage("1", 0, "No gout.", (GoldMention(3, 7, "Disease", ("C1", "C2")),))]


@pytest.mark.parametrize("first", [{}, {"mentions": []}, {"note": "x" * 5000}])
def test_pubmedds_is_told_wherever_its_first_mention_stands(first: dict[str, object], tmp_path: Path) -> None:
    mention = {"start_offset": 3, "end_offset": 7, "link_id": "C1", "mention": "gout"}
    documents = [
        {"_id": "0", "text": "x" * 5000} | first,
        {"_id": "1", "text": "No gout.", "mentions": [mention]},
    ]
    path = written(tmp_path / "a.json", "\n".join(map(json.dumps, documents)))
    assert detect_format(path) == "pubmedds"
    assert spelt(passages(path)[1]) == ["gout"]


def sentences(*texts: str, offsets: tuple[int, ...], length: int = 11) -> dict[str, object]:
    """Return a BioC document of one passage in sentences; the last begins with a mention."""
    made = [{"offset": offset, "text": text} for text, offset in zip(texts, offsets, strict=True)]
    where = [{"offset": offsets[-1], "length": length}]
    mention = {"id": "1", "infons": {"type": "X"}, "text": texts[-1][:11], "locations": where}
    return {"id": "1", "passages": [{"offset": offsets[0], "sentences": made, "annotations": [mention]}]}


def test_bioc_s_sentences_stand_as_far_apart_as_their_offsets_say(tmp_path: Path) -> None:
    document = sentences("Bad gout.", "Allopurinol helps.", offsets=(10, 21))
    (passage,) = passages(written(tmp_path / "a.json", json.dumps({"documents": [document]})))
    assert isinstance(passage, Passage)
    assert passage.text == "Bad gout.  Allopurinol helps."
    assert spelt(passage) == ["Allopurinol"]


@pytest.mark.parametrize("offset", [3, 10**9])
def test_offsets_of_sentences_that_cannot_be_meant_leave_one_blank(offset: int, tmp_path: Path) -> None:
    document = sentences("Bad gout.", "Allopurinol helps.", offsets=(0, offset))
    path = written(tmp_path / "a.json", json.dumps({"documents": [document]}))
    (passage,) = passages(path, on_error="skip")
    assert isinstance(passage, Passage)
    assert passage.text == "Bad gout. Allopurinol helps."


def test_a_mention_of_a_sentence_counts_from_that_sentence_in_bytes_or_characters(tmp_path: Path) -> None:
    passage = (
        "<passage><offset>0</offset><sentence><offset>0</offset><text>β is bad.</text></sentence>"
        '<sentence><offset>11</offset><text>It is gout.</text><annotation id="1"><infon key="type">D</infon>'
        '<location offset="17" length="4"/><text>gout</text></annotation></sentence></passage>'
    )
    head = "<collection><source>x</source><date>d</date><key>k</key><document><id>7</id>"
    path = written(tmp_path / "a.xml", f"{head}{passage}</document></collection>")
    assert spelt(passages(path)[0]) == ["gout"]


PUBTATOR_API = {
    "_id": "7|None", "id": "7", "infons": {},
    "passages": [{"infons": {"type": "title"}, "offset": 0, "text": "Bad gout.", "annotations": [
        {"id": "1", "infons": {"identifier": "MESH:D006073", "type": "Disease"}, "text": "gout",
         "locations": [{"offset": 4, "length": 4}]},
    ]}],
}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"documents": [PUBTATOR_API]}),
        json.dumps({"PubTator3": [PUBTATOR_API]}),
        json.dumps({"source": "x", "PubTator3": [PUBTATOR_API]}, indent=1),
        json.dumps(PUBTATOR_API) + "\n",
    ],
)
def test_bioc_json_as_pubtator_writes_it_is_read(content: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", content)
    assert detect_format(path) == "bioc"
    assert passages(path) == [
        Passage("7", 0, "Bad gout.", (GoldMention(4, 8, "Disease", ("MESH:D006073",)),))
    ]


def test_a_bad_document_of_bioc_does_not_lose_the_rest(tmp_path: Path) -> None:
    bad = {"id": "8", "passages": [{"text": "a"}]}
    texts = [
        json.dumps({"documents": [bad, PUBTATOR_API]}),
        json.dumps(bad) + "\n{\n" + json.dumps(PUBTATOR_API),
        BIOC.replace(
            "<document>", "<document><id>8</id><passage><text>a</text></passage></document><document>"
        ),
    ]
    for number, text in enumerate(texts):
        faults: Counter[str] = Counter()
        path = written(tmp_path / str(number), text)
        found = list(read_passages(path, "bioc", on_error="skip", faults=faults))
        assert {one.document_id for one in found} == {"7"}
        assert faults == {"record": 1 + (number == 1)}


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("<html>pubmed</html>", None),
        ("<!-- <collection> --><html/>", None),
        ('<?xml version="1.0"?>\n<!-- x > y -->\n<!DOCTYPE a [<!ENTITY b "c">]>\n<PubmedArticle/>', "pubmed"),
        ('<!DOCTYPE collection SYSTEM "BioC.dtd">\n<collection/>', "bioc"),
    ],
)
def test_xml_is_told_by_its_root(content: str, form: str | None, tmp_path: Path) -> None:
    path = written(tmp_path / "a.xml", content)
    if form:
        assert detect_format(path) == form
    else:
        with pytest.raises(UserError, match="no known format"):
            detect_format(path)


def test_a_mention_that_is_not_its_text_is_shown_where_they_differ(tmp_path: Path) -> None:
    name = "autosomal dominant nonsyndromic sensorineural deafness"
    mention = f"1\t0\t{len(name)}\t{name}"
    text = f"1|t|{name} of many\n1|a|\n{mention.replace('deafness', 'deafnes')}\tDisease\tD1\n"
    with pytest.raises(UserError, match=r": '\.\.\.al deafness' in the text, '\.\.\.al deafnes' in the file"):
        passages(written(tmp_path / "a", text))


def test_a_format_that_a_file_does_not_look_like_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "a.jsonl", '{"id": 1, "text": "gout"}\n')
    check_format(path, "jsonl")
    check_format(written(tmp_path / "b.csv", "gout, pain\n"), "text")
    assert caplog.records == []
    check_format(path, "text")
    assert f"{path}: read as text, as --format says, but it looks like jsonl" in caplog.text


def test_plain_text_is_a_document_a_line(tmp_path: Path) -> None:
    found = passages(written(tmp_path / "a.txt", "One.\r\n\n Two\n"))
    assert found == [Passage("a.txt:1", 0, "One."), Passage("a.txt:3", 0, " Two")]


def test_a_file_of_no_known_format_is_refused_with_what_to_say(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv: no known format in its first bytes; name it with --format"):
        detect_format(written(tmp_path / "a.csv", "a,b\n"))


FAULTS = {
    "a mention beyond its text": (
        "pubtator", "1|t|Gout\n1|a|\n1\t2\t9\tut\tDisease\tD1\n",
        r"line 3: mention 2-9 is not within its text of 5 characters", 1,
    ),
    "a mention that is not its text": (
        "pubtator", "1|t|Gout is bad\n1|a|\n1\t0\t4\tGoat\tDisease\tD1\n",
        r"line 3: mention 0-4 is not what the file says: 'Gout' in the text, 'Goat' in the file", 1,
    ),
    "a mention without offsets": (
        "pubtator", "1|t|Gout\n1|a|\n1\t0\tGout\n", r"line 3: expected PMID, start, end, text, type, id", 1,
    ),
    "lines before a title": ("pubtator", "gout\n", r"line 1: expected PMID\|t\|title", 0),
    "a NUL character": ("text", "a\0b\ngout\n", r"document a:1: a NUL character at character 1", 1),
    "an empty document": ("jsonl", '{"id": "9", "text": " "}\n', r"document 9: no text", 0),
    "no text at all": ("jsonl", '{"id": "9"}\n', r"line 1: no text, expected text or title and abstract", 0),
    "a long document": (
        "jsonl", json.dumps({"id": "9", "text": "a" * 5_000_000}),
        rf"document 9: a text of 5,000,000 characters, at most {MAX_CHARACTERS:,} are taken; split it", 0,
    ),
    "no JSON": ("jsonl", '{"id": "9"\n{"id": "1", "text": "gout"}\n', r"line 1: not JSON", 1),
    "bytes that are not UTF-8": ("text", b"gout\n\xff\n", r"line 2: not UTF-8 at byte 1 of the line", 1),
    "a document without id": ("jsonl", '{"text": "gout"}\n', r"line 1: no id", 0),
    "mentions that are none": ("jsonl", '{"id": "1", "text": "x", "mentions": [3]}', r"line 1: a mention", 1),
    "broken BioC": ("bioc", BIOC[:-200], r"line 8: not valid XML at column \d+ \(no element found\)", 0),
    "BioC JSON without documents": ("bioc", "{}", r"document 1: not valid BioC \(no 'passages'\)", 0),
    "BioC JSON that breaks off": ("bioc", '{"documents": [\n{"id": "1",\n', r"after document 0: not JSON", 0),
    "a BioC document without id": (
        "bioc", '{"passages": [{"offset": 0, "text": "gout"}]}', r"document 1: no id", 0
    ),
    "a BioC passage without offset": (
        "bioc", '{"id": "1", "passages": [{"text": "gout"}]}',
        r"document 1: not valid BioC \(no 'offset'\)", 0,
    ),
    "a BioC offset that is no number": (
        "bioc", BIOC.replace("<offset>0</offset>", "<offset>x</offset>"),
        r"document 1: not valid BioC \(invalid literal", 0,
    ),
    "a BioC passage that is no object": (
        "bioc", '{"id": "1", "passages": [3]}',
        r"document 1: not valid BioC \(a field is missing or of a wrong type: int where an object", 0,
    ),
    "half a surrogate pair in a text": (
        "jsonl", r'{"id": "1", "text": "gout \ud800"}',
        r"line 1: not JSON \(half a surrogate pair, which is no character\)", 0,
    ),
    "half a surrogate pair in an id": (
        "jsonl", r'{"id": "\ud800", "text": "gout"}',
        r"line 1: not JSON \(half a surrogate pair, which is no character\)", 0,
    ),
    "half a surrogate pair in a mention's id": (
        "jsonl", r'{"id": "1", "text": "gout", "mentions": [{"start": 0, "end": 4, "ids": ["x:\ud800"]}]}',
        r"line 1: not JSON \(half a surrogate pair, which is no character\)", 0,
    ),
    "JSON that is nested deeply": (
        "jsonl", '{"id": ' + "[" * 100_000, r"line 1: not JSON \(nested too deeply\)", 0
    ),
    "ids that are a number": (
        "jsonl", '{"id": "1", "text": "gout", "mentions": [{"start": 0, "end": 4, "ids": 5}]}',
        r"line 1: a mention whose ids is neither a string nor a list of such", 1,
    ),
    "a type that is a number": (
        "jsonl", '{"id": "1", "text": "gout", "mentions": [{"start": 0, "end": 4, "type": 5}]}',
        r"line 1: a mention whose type is neither a string nor a list of such", 1,
    ),
    "an offset of thousands of digits": (
        "pubtator", f"1|t|Gout\n1|a|\n1\t0\t{'9' * 5000}\tGout\tDisease\tD1\n",
        r"line 3: expected PMID, start, end", 1,
    ),
    "an abstract of another PMID": (
        "pubtator", "1|t|Gout.\n2|a|Allopurinol.\n1\t0\t4\tGout\tDisease\tD1\n",
        r"line 2: PMID 2 within document 1", 1,
    ),
    "a mention of another PMID": (
        "pubtator", "1|t|Gout.\n1|a|x\n3\t0\t4\tGout\tDisease\tD1\n", r"line 3: PMID 3 within document 1", 1,
    ),
    "XML in an unknown encoding": (
        "pubmed", '<?xml version="1.0" encoding="bogus-9"?><PubmedArticleSet/>',
        r"line 1: XML in an encoding that cannot be read \(unknown encoding: bogus-9\)", 0,
    ),
    "HTML": ("pubmed", "<html>pubmed</html>", r"no document in it, read as pubmed", 0),
    "an empty file": ("jsonl", "", r"the file is empty", 0),
    "a file of blank lines": ("text", "\n \n", r"no document in it, read as text", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_record_that_cannot_be_used_is_one_clear_line(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    form, content, message, kept = FAULTS[name]
    path = written(tmp_path / "a", content)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message) as caught:
        passages(path, form=form)
    assert str(caught.value).startswith((f"{path} ", f"{path}: "))
    assert str(caught.value).endswith("; mend it, or leave such records out with --on-error skip")
    assert "\n" not in str(caught.value)
    faults: Counter[str] = Counter()
    assert len(list(read_passages(path, form, on_error="skip", faults=faults))) == kept
    assert faults.total() == 1
    assert len(caplog.records) == 1


def citation(number: int) -> str:
    start = "<PubmedArticleSet>" if number == 0 else ""
    title = f"<ArticleTitle>gout {number * 7919}</ArticleTitle>"
    return f"{start}<MedlineCitation><PMID>{number}</PMID>{title}</MedlineCitation>"


def json_line(number: int) -> str:
    return json.dumps({"_id": str(number), "text": f"gout {number * 7919}"}) + "\n"


LONG_FILES = {
    "pubmed": citation,
    "pubmedds": json_line,
    "jsonl": json_line,
    "pubtator": lambda number: f"{number}|t|gout {number * 7919}\n{number}|a|\n\n",
    "text": lambda number: f"gout {number * 7919}\n",
}


def test_every_format_of_lines_or_xml_has_a_long_file() -> None:
    assert set(LONG_FILES) == set(READERS) - {"bioc"}


@pytest.mark.parametrize("form", LONG_FILES)
def test_a_gzip_file_that_is_cut_off_ends_there(form: str, tmp_path: Path) -> None:
    text = "".join(map(LONG_FILES[form], range(5000)))
    whole = gzip.compress(text.encode())
    path = written(tmp_path / "a.gz", whole[: len(whole) // 2])
    faults: Counter[str] = Counter()
    kept = list(read_passages(path, form, on_error="skip", faults=faults))
    assert faults == {"cut off": 1}
    assert len(kept) > 100
    with pytest.raises(UserError, match=r"the gzip file is cut off or damaged; nothing after it can be read"):
        passages(path, form=form)


def test_many_faults_are_counted_and_twenty_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faults: Counter[str] = Counter()
    path = written(tmp_path / "a", "{\n" * 30)
    assert list(read_passages(path, "jsonl", on_error="skip", faults=faults)) == []
    assert faults.total() == 30
    assert len(caplog.records) == 21
    assert "more of this file are counted" in caplog.text


REAL = {  # file: documents, mentions, without an id, faults; PROVENANCE.md of each
    "bc5cdr-pubtator/CDR_TrainingSet.PubTator.txt": (500, 9385, 76, 0),
    "bc5cdr-pubtator/CDR_DevelopmentSet.PubTator.txt": (500, 9591, 59, 0),
    "bc5cdr-pubtator/CDR_TestSet.PubTator.txt": (500, 9809, 91, 0),
    "ncbi-disease-pubtator/NCBItrainset_corpus.txt": (593, 5144, 0, 1),
    "ncbi-disease-pubtator/NCBIdevelopset_corpus.txt": (100, 787, 0, 0),
    "ncbi-disease-pubtator/NCBItestset_corpus.txt": (100, 960, 0, 0),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_every_mention_of_the_real_files_is_its_text(name: str, real_data: Path) -> None:
    path = real_data / "linked" / name
    faults: Counter[str] = Counter()
    assert detect_format(path) == "pubtator"
    found = list(read_passages(path, "pubtator", on_error="skip", faults=faults))
    gold = [mention for one in found if isinstance(one, Passage) for mention in one.gold]
    assert (len(found), len(gold), sum(not one.ids for one in gold), faults.total()) == REAL[name]
    said = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if len(fields) > 4:
            said[fields[0], fields[1], fields[2]] = fields[3]
    for one in found:
        assert isinstance(one, Passage)
        for mention in one.gold:
            start, end = mention.char_start, mention.char_end
            assert one.text[start:end] == said[one.document_id, str(start), str(end)]


@pytest.mark.realdata
def test_the_real_abstracts_are_read(real_data: Path) -> None:
    path = real_data / "text" / "pubmed-abstracts" / "abstracts.jsonl.gz"
    assert detect_format(path) == "jsonl"
    assert len(passages(path)) == 7504
