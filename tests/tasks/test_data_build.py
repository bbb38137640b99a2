"""The converters: made-up documents by hand, hostile archives, and the real data byte for byte."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.files import sha256_of
from kebench.kinds.card import SPLITS
from kebench.kinds.pairs import Pair
from kebench.tasks.card import read_task_card
from kebench.tasks.convert import CONVERTERS, build_task, pairs_form
from kebench.tasks.convert.bioasq import convert_test_year
from kebench.tasks.convert.chemprot import convert_chemprot
from kebench.tasks.convert.ddi import convert_ddi, split_documents
from kebench.tasks.convert.ebm_pico import CLASSES, convert_ebm_pico
from kebench.tasks.convert.hoc import LABELS
from kebench.tasks.convert.originals import split_ids

# "Zinc binds ABC.": Zinc 0-4, ABC 11-14; after the tab at 15 "Zincase β is a zinc enzyme. It stops ABC."
ABSTRACTS = "7\tZinc binds ABC.\tZincase β is a zinc enzyme. It stops ABC.\n"
ENTITIES = (
    "7\tT1\tCHEMICAL\t0\t4\tZinc\n"
    "7\tT2\tGENE-Y\t11\t14\tABC\n"
    "7\tT3\tGENE-N\t16\t23\tZincase\n"
    "7\tT4\tCHEMICAL\t16\t20\tZinc\n"
    "7\tT5\tGENE-Y\t53\t56\tABC\n"
)
RELATIONS = (
    "7\tCPR:3\tY \tACTIVATOR\tArg1:T1\tArg2:T2\n"
    "7\tCPR:4\tY \tINHIBITOR\tArg1:T1\tArg2:T2\n"  # the last row of a pair wins
    "7\tCPR:2\tN \tDIRECT-REGULATOR\tArg1:T4\tArg2:T3\n"  # not evaluated: false
    "7\tCPR:9\tY \tSUBSTRATE\tArg1:T1\tArg2:T5\n"  # across sentences: lost, as in BLURB
)
EXPECTED = [
    Pair("7.T1.T2", "@CHEMICAL$ binds @GENE$.", "CPR:4"),
    Pair("7.T3.T4", "@CHEM-GENE$ β is a zinc enzyme.", "false"),
]


def _write_chemprot(folder: Path, *, test_name: str = "test_{}_gs") -> Path:
    folder.mkdir()
    contents = {"abstracts": ABSTRACTS, "entities": ENTITIES, "relations": RELATIONS}
    for part in ("training_{}", "development_{}", test_name):
        for kind, content in contents.items():
            (folder / f"chemprot_{part.format(kind)}.tsv").write_text(content)
    return folder


@pytest.mark.parametrize("test_name", ["test_{}_gs", "test_gs_{}"])
def test_chemprot_pairs_share_a_sentence_and_take_the_last_label(test_name: str, tmp_path: Path) -> None:
    splits = convert_chemprot(_write_chemprot(tmp_path / "raw", test_name=test_name))
    assert splits == dict.fromkeys(SPLITS, EXPECTED)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "11\t14",
            "11\t140",
            "abstracts.tsv line 1: an entity lies outside the text; fetch the original again",
        ),
        ("11\t14", "11\tx", "entities.tsv line 2: offsets '11' and 'x', expected numbers; fetch it again"),
        ("11\t14\t", "11\t14", "entities.tsv line 2: 5 columns, expected 6; fetch the original again"),
    ],
)
def test_a_damaged_chemprot_is_named_with_its_line(
    old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    folder = _write_chemprot(tmp_path / "raw")
    (folder / "chemprot_training_entities.tsv").write_text(ENTITIES.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        convert_chemprot(folder)
    assert str(error.value).endswith(complaint)


def test_a_chemprot_without_one_of_its_files_says_which(tmp_path: Path) -> None:
    folder = _write_chemprot(tmp_path / "raw")
    (folder / "chemprot_test_relations_gs.tsv").unlink()
    with pytest.raises(UserError) as error:
        convert_chemprot(folder)
    assert str(error.value) == (
        f"{folder}: no file chemprot_test_relations_gs.tsv or chemprot_test_gs_relations.tsv; "
        "unpack all of ChemProt there (kebench data get chemprot)"
    )


def test_tabs_and_newlines_inside_a_text_become_spaces() -> None:
    assert pairs_form([Pair("1", "a\nb\tc\r", "x")]) == b"1\ta b c \tx\n"


# "Both ab cd and ab rise.\n": drugs ab..cd 5-9 (in two parts), ab 15-16, and "cd" 8-9 inside the first.
DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<document id="DDI-MedLine.d1"><sentence id="s0" text="Both ab cd and ab rise.&#10;">
<entity id="e0" charOffset="5-6;8-9" type="drug" text="ab cd"/>
<entity id="e1" charOffset="15-16" type="drug" text="ab"/>
<entity id="e2" charOffset="8-9" type="drug" text="cd"/>
<pair id="p0" e1="e1" e2="e0" ddi="true" type="int"/><pair id="p1" e1="e0" e2="e2" ddi="false"/>
</sentence></document>"""
DOCUMENT_PAIRS = [
    Pair("p0", "Both @DRUG$ and @DRUG$ rise.\n", "DDI-int"),
    Pair("p1", "Both @DRUG-DRUG$ and ab rise.\n", "DDI-false"),
]


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def _one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kebench.tasks.convert.ddi.split_documents", lambda: {"train": ("DDI-MedLine.d1",)})


@pytest.mark.usefixtures("_one_document")
def test_a_ddi_entity_runs_from_its_first_start_to_its_last_end(tmp_path: Path) -> None:
    source = _tar(tmp_path / "ddi.tar.gz", {"x/train/a.xml": DOCUMENT.encode(), "x/._a.xml": b"\0"})
    assert convert_ddi(source) == {"train": DOCUMENT_PAIRS}


@pytest.mark.usefixtures("_one_document")
def test_a_folder_and_a_zip_are_read_like_the_tar(tmp_path: Path) -> None:
    (tmp_path / "corpus" / "train").mkdir(parents=True)
    (tmp_path / "corpus" / "train" / "a.xml").write_text(DOCUMENT)
    with zipfile.ZipFile(tmp_path / "ddi.zip", "w") as archive:
        archive.writestr("corpus/train/a.xml", DOCUMENT)
        archive.writestr("corpus/ner/a.xml", '<document id="DDI-MedLine.d1"/>')  # a copy without pairs
    for source in (tmp_path / "corpus", tmp_path / "ddi.zip"):
        assert convert_ddi(source) == {"train": DOCUMENT_PAIRS}


HOSTILE = {
    "path": ("../../a.xml", DOCUMENT, "a path that leads out of the archive; fetch the corpus again"),
    "absolute": ("/a.xml", DOCUMENT, "a path that leads out of the archive; fetch the corpus again"),
    "entity": (
        "a.xml",
        '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><document id="&x;"/>',
        "declares a DOCTYPE or ENTITY, which the corpus does not; fetch it again",
    ),
    "huge": ("a.xml", " " * 5_000_001, "5,000,001 bytes, expected at most 5,000,000; fetch it again"),
    "no XML": ("a.xml", "<document", "not a DDI document (ParseError"),
    "no id": ("a.xml", "<document/>", "not a DDI document (KeyError('id')); fetch the corpus again"),
    "span": ("a.xml", DOCUMENT.replace("15-16", "15-99"), "an entity lies outside the sentence"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_or_broken_archive_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    name, content, complaint = HOSTILE[kind]
    source = _tar(tmp_path / "ddi.tar.gz", {name: content.encode()})
    with pytest.raises(UserError) as error:
        convert_ddi(source)
    assert str(error.value).startswith(f"{source}: {name}: ")
    assert complaint in str(error.value)


def test_a_link_in_the_archive_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "ddi.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("a.xml")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match=r"a.xml: a link or device, expected a file; fetch the corpus again"):
        convert_ddi(tmp_path / "ddi.tar.gz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b\x08\0cut off"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ddi.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"ddi.tar.gz: cannot be read as a folder, .tar.gz or .zip \("):
        convert_ddi(tmp_path / "ddi.tar.gz")


def test_a_part_of_the_ddi_corpus_is_refused(tmp_path: Path) -> None:
    source = _tar(tmp_path / "ddi.tar.gz", {"a.xml": DOCUMENT.encode()})
    with pytest.raises(  # the corpus has a document of that id
        UserError, match=r"904 of 905 documents are missing, first DDI-DrugBank.d302; give the"
    ):
        convert_ddi(source)


def test_blurbs_ddi_splits_share_no_document() -> None:
    splits = split_documents()
    assert {split: len(names) for split, names in splits.items()} == {"train": 624, "dev": 90, "test": 191}
    assert len(set().union(*splits.values())) == 905


def test_a_conversion_that_is_not_what_the_card_expects_writes_nothing(tmp_path: Path) -> None:
    source = _write_chemprot(tmp_path / "raw")
    with pytest.raises(UserError) as error:
        build_task(read_task_card("chemprot"), source, tmp_path / "data")
    assert str(error.value) == (
        f"{source}: converted to train, 2 instances, expected 18035; "
        "nothing written, fetch the original again"
    )
    assert list((tmp_path / "data").iterdir()) == []


def test_files_that_are_there_are_replaced_only_with_force(tmp_path: Path) -> None:
    card = read_task_card("chemprot").model_copy(update={"expected": {}})
    source, data = _write_chemprot(tmp_path / "raw"), tmp_path / "data"
    build_task(card, source, data)
    (data / "chemprot" / "dev.tsv").write_text("mine")
    (data / "chemprot" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"chemprot/train.tsv is there already; --force replaces it"):
        build_task(card, source, data)
    assert (data / "chemprot" / "dev.tsv").read_text() == "mine"
    build_task(card, source, data, force=True)
    assert (data / "chemprot" / "dev.tsv").read_bytes() == pairs_form(EXPECTED)
    assert (data / "chemprot" / "notes.txt").read_text() == "mine"


def test_a_task_without_converter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no converter for task 'gad'; there is one for each of bioasq, biosses"
    ):
        build_task(read_task_card("gad"), tmp_path, tmp_path / "data")


def test_help_names_every_task_that_has_a_converter(capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "build", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{task} " in said.replace(",", " ").replace(";", " ") for task in CONVERTERS)


def test_the_shipped_lists_of_ids_have_blurbs_sizes_and_share_none() -> None:
    sizes = {
        "biosses": [64, 16, 20],
        "hoc": [1295, 186, 371],
        "pubmedqa": [450, 50, 500],
        "bioasq": [670, 75],
        "ebm-pico": [960, 191],
    }
    for task, expected in sizes.items():
        splits = split_ids(task)
        assert [len(names) for names in splits.values()] == expected
        assert len(set().union(*splits.values())) == sum(expected)


def test_the_numbers_of_hocs_labels_are_the_cards_shipped() -> None:
    assert read_task_card("hoc").model_dump()["labels"] == LABELS


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("chemprot", "chemprot", marks=pytest.mark.slow),
        pytest.param("ddi", "ddi/DDIextraction_2013.tar.gz", marks=pytest.mark.slow),
        ("biosses", "biosses/original"),
        ("hoc", "hoc/original/Hallmarks-of-Cancer.tar.gz"),
        ("pubmedqa", "pubmedqa/original"),
    ],
)
def test_the_originals_become_blurbs_files_byte_for_byte(
    name: str, source: str, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "build", name, "--from", str(real_data / "raw" / source), "--data", str(tmp_path)])
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:4]] == ["ok", "ok", "ok"]
    for file in read_task_card(name).files.values():
        assert sha256_of(tmp_path / name / file) == sha256_of(real_data / "blurb" / name / file)


@pytest.mark.realdata
def test_the_organisers_test_year_becomes_blurbs_file_byte_for_byte(real_data: Path) -> None:
    built = convert_test_year(real_data / "raw" / "bioasq" / "original").encode()
    assert built == (real_data / "blurb" / "bioasq" / "test.tsv").read_bytes()
    assert built.count(b"\n") == 140


@pytest.mark.realdata
def test_blurbs_pico_files_come_back_from_a_corpus_made_of_them(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The original is not at hand; a corpus with the words and classes of BLURB's files must give those files.
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.NUM_TRAINING", 0)
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.TRAINING_IDS", "")
    with tarfile.open(tmp_path / "ebm_nlp_2_00.tar.gz", "w:gz", compresslevel=1) as archive:

        def add(name: str, words: list[str]) -> None:
            content = "\n".join(words).encode()
            member = tarfile.TarInfo(f"ebm_nlp_2_00/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        for split, part in (("dev", "train"), ("test", "test/gold")):
            text = (real_data / "blurb" / "ebm-pico" / f"{split}.tsv").read_text(encoding="utf-8")
            for document in text.split("-DOCSTART- ")[1:]:
                name, *lines = filter(None, document.split("\n"))
                rows = [line.split("\t") for line in lines]
                add(f"documents/{name[1:-1]}.tokens", [token for token, _ in rows])
                for element, tag in zip(CLASSES, ("I-PAR", "I-INT", "I-OUT"), strict=True):
                    path = (
                        f"annotations/aggregated/starting_spans/{element}/{part}/{name[1:-1]}.AGGREGATED.ann"
                    )
                    add(path, [str(int(one == tag)) for _, one in rows])
    built = convert_ebm_pico(tmp_path / "ebm_nlp_2_00.tar.gz")
    for split in ("dev", "test"):
        assert built[split] == (real_data / "blurb" / "ebm-pico" / f"{split}.tsv").read_bytes()


@pytest.mark.realdata
def test_the_protocol_on_picos_dev_set_has_768_192_and_191_documents(real_data: Path, tmp_path: Path) -> None:
    card = read_task_card("ebm-pico-dev")
    found = build_task(card, real_data / "blurb" / "ebm-pico", tmp_path)
    assert [finding.level for finding in found] == ["ok", "ok", "ok"]
    counts = [(tmp_path / card.name / f"{split}.tsv").read_text().count("-DOCSTART-") for split in SPLITS]
    assert counts == [768, 192, 191]
