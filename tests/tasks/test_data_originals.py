"""The converters of the tasks beside NER and relations: made-up originals by hand, and what is refused."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.kinds.card import SPLITS
from kebench.tasks.convert import CONVERTERS
from kebench.tasks.convert.bioasq import convert_bioasq
from kebench.tasks.convert.biosses import COLUMNS, convert_biosses
from kebench.tasks.convert.ebm_pico import convert_ebm_pico, convert_ebm_pico_dev
from kebench.tasks.convert.hoc import convert_hoc
from kebench.tasks.convert.pubmedqa import convert_pubmedqa

Converter = Callable[[Path], dict[str, bytes]]


@pytest.fixture(autouse=True)
def _one_example_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each split of a made-up original have one example: 1, 2 and 3."""
    for module in ("biosses", "hoc", "pubmedqa", "bioasq", "ebm_pico"):
        ids = {split: (str(place),) for place, split in enumerate(SPLITS, 1)}
        if module == "bioasq":
            del ids["test"]
        if module == "ebm_pico":
            del ids["train"]
        monkeypatch.setattr(f"kebench.tasks.convert.{module}.split_ids", lambda task, ids=ids: ids)
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.NUM_TRAINING", 1)
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.TRAINING_IDS", "")
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.DEV_DOCUMENTS_TO_TRAIN", 1)


def complaint_of(convert: Converter, source: Path) -> str:
    with pytest.raises(UserError) as error:
        convert(source)
    return str(error.value)


# BIOSSES

BIOSSES = (
    "\t".join(COLUMNS)
    + "\n1\t One\u00a0a . \tTwo.\t4\t4\t4\t4\t3\n2\tA\tB\t0\t0\t0\t0\t0\r\n3\tC\tD\t1\t2\t1\t2\t1\n"
)


def test_a_score_is_the_mean_of_five_annotators_and_texts_are_stripped(tmp_path: Path) -> None:
    (tmp_path / "annotation_pairs_scores.tsv").write_text(BIOSSES, newline="")
    header = "pair_id\tsent1\tsent2\tscore\n"
    built = {split: content.decode() for split, content in convert_biosses(tmp_path).items()}
    assert built == {  # 19 / 5; 0 / 5; 7 / 5
        "train": f"{header}1\tOne\u00a0a .\tTwo.\t3.8\n",
        "dev": f"{header}2\tA\tB\t0.0\n",
        "test": f"{header}3\tC\tD\t1.4\n",
    }


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\t4\t3\n", "\t4\t5\n", "line 2: score '5', expected 0, 1, 2, 3 or 4; fetch it again"),
        ("\t4\t3\n", "\t4\tnan\n", "line 2: score 'nan', expected 0, 1, 2, 3 or 4; fetch it again"),
        ("\t4\t3\n", "\t4\n", "line 2: 7 columns, expected 8; fetch it again"),
        ("2\tA", "1\tA", "line 3: pair 1 is there twice; fetch it again"),
        ("3\tC\tD\t1\t2\t1\t2\t1\n", "", ": 1 of 3 pairs are missing, first 3; give the whole original"),
        ("sentence_id", "id", f"line 1: expected the header {' TAB '.join(COLUMNS)}; fetch it again"),
    ],
)
def test_a_damaged_biosses_is_one_line(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "annotation_pairs_scores.tsv"
    assert old in BIOSSES
    path.write_text(BIOSSES.replace(old, new, 1), newline="")
    blank = "" if complaint.startswith(":") else " "
    assert complaint_of(convert_biosses, path) == f"{path}{blank}{complaint}"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("BIOSSES-Dataset.rar", "an archive of two Word files, which is not read"),
        ("Annotation-Pairs.docx", "a Word file, which is not read"),
    ],
)
def test_the_authors_archive_and_its_word_files_are_refused_with_what_to_give(
    name: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"Rar!")
    for source in (tmp_path, tmp_path / name):
        said = complaint_of(convert_biosses, source)
        assert said.startswith(f"{tmp_path / name}: {what}; give the same pairs and scores as text, ")
        assert "annotation_pairs_scores.tsv (bigbio/" in said
    (tmp_path / "annotation_pairs_scores.tsv").write_text(BIOSSES, newline="")
    assert convert_biosses(tmp_path)  # beside which nobody minds the archive


# HoC

HOC = {
    "text/1.txt": "One .\nTwo\tand . \n",
    "labels/1.txt": "< Resisting cell death--Apoptosis AND Inducing angiogenesis--x--y <NULL",
    "text/2.txt": "Three .\n",
    "labels/2.txt": "< ",
    "text/3.txt": "Four .\n",
    "labels/3.txt": "<Cellular energetics ",
}


def _hoc(folder: Path, **changed: str) -> Path:
    for name, content in (
        HOC | {key.replace("_", "/") + ".txt": text for key, text in changed.items()}
    ).items():
        path = folder / "Hallmarks-of-Cancer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_labels_of_a_hallmark_are_its_top_level(tmp_path: Path) -> None:
    none = ",".join(f"{place}_0" for place in range(10))
    built = {split: content.decode() for split, content in convert_hoc(_hoc(tmp_path)).items()}
    assert built == {
        "train": "labels\tsentence\tindex\n"
        f"{none.replace('6_0', '6_1').replace('7_0', '7_1')}\tOne .\t1_s0\n{none}\tTwo and .\t1_s1\n",
        "dev": f"labels\tsentence\tindex\n{none}\tThree .\t2_s0\n",
        "test": f"labels\tsentence\tindex\n{none.replace('2_0', '2_1')}\tFour .\t3_s0\n",
    }


def test_the_corpus_packed_is_read_as_the_folder(tmp_path: Path) -> None:
    folder = _hoc(tmp_path / "corpus")
    with tarfile.open(tmp_path / "hoc.tar.gz", "w:gz") as archive:
        archive.add(folder, "x")
    assert convert_hoc(tmp_path / "hoc.tar.gz") == convert_hoc(folder)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"labels_2": "< <"}, "labels/2.txt: labels of 2 sentences, its text has 1; fetch the corpus again"),
        ({"labels_2": "<Age"}, "labels/2.txt: label 'age' is none of the ten; fetch the corpus again"),
    ],
)
def test_a_damaged_hoc_is_one_line(changed: dict[str, str], complaint: str, tmp_path: Path) -> None:
    assert complaint_of(convert_hoc, _hoc(tmp_path, **changed)).endswith(complaint)


def test_a_part_of_hoc_is_refused(tmp_path: Path) -> None:
    (_hoc(tmp_path) / "Hallmarks-of-Cancer/labels/3.txt").unlink()
    said = complaint_of(convert_hoc, tmp_path)
    assert said == f"{tmp_path}: 1 of 3 documents are missing, first 3; give the whole original"


# PubMedQA

QUESTIONS = {
    str(place): {
        "QUESTION": f" Is it {place}? ",
        "CONTEXTS": ["A. ", "\u03b2."],
        "final_decision": answer,
        "LONG_ANSWER": "secret",
    }
    for place, answer in enumerate(("yes", "no", "maybe"), 1)
}


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_question_has_its_contexts_and_not_its_conclusion(is_packed: bool, tmp_path: Path) -> None:
    content = json.dumps(QUESTIONS).encode()
    path = tmp_path / ("ori_pqal.json.gz" if is_packed else "ori_pqal.json")
    path.write_bytes(gzip.compress(content) if is_packed else content)
    built = convert_pubmedqa(tmp_path)
    assert built["dev"] == (
        b'{"id": "2", "sentence1": "Is it 2?", "sentence2": "A. \\u03b2.", "label": "no"}\n'
    )
    assert b"secret" not in b"".join(built.values())
    without = {
        name: {key: value for key, value in fields.items() if key != "LONG_ANSWER"}
        for name, fields in QUESTIONS.items()
    }
    path.write_bytes(json.dumps(without).encode())
    assert convert_pubmedqa(path) == built


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[]", "expected a JSON object; fetch the original again"),
        ("{", "not JSON ("),
        (json.dumps({"1": QUESTIONS["1"]}), "2 of 3 questions are missing, first 2; give the whole original"),
        (
            json.dumps(QUESTIONS | {"3": {"QUESTION": "?"}}),
            "question 3: CONTEXTS: Field required; fetch the original again",
        ),
    ],
)
def test_a_damaged_pubmedqa_is_one_line(content: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "ori_pqal.json"
    path.write_text(content)
    assert complaint_of(convert_pubmedqa, tmp_path).startswith(f"{path}: {complaint}")


# BioASQ


def _question(name: str, kind: str = "yesno", **fields: object) -> dict[str, object]:
    snippets = [{"text": "One\nline."}, {"text": ""}, {"text": "A\ttab."}]
    given = {"id": name, "type": kind, "body": "Is it\nso? ", "snippets": snippets, "exact_answer": "Yes"}
    return given | fields


def _bioasq(folder: Path, training: object, *, batches: int = 5) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "trainining7b.json").write_text(json.dumps(training))
    for number in range(1, batches + 1):
        batch = {"questions": [_question(f"t{number}", exact_answer="no"), _question("x", "factoid")]}
        (folder / f"7B{number}_golden.json").write_text(json.dumps(batch))
    return folder


def test_yes_no_questions_alone_with_all_their_snippets(tmp_path: Path) -> None:
    training = {"questions": [_question("2"), _question("list", "list"), _question("1"), _question("other")]}
    built = convert_bioasq(_bioasq(tmp_path, training))
    assert built == {
        "train": b"1\tIs it so? \tOne line.  A tab.\tyes\n",
        "dev": b"2\tIs it so? \tOne line.  A tab.\tyes\n",
        "test": b"".join(b"t%d\tIs it so? \tOne line.  A tab.\tno\n" % number for number in range(1, 6)),
    }


@pytest.mark.parametrize(
    ("training", "complaint"),
    [
        ({"questions": [_question("1")]}, ": 1 of 2 yes/no questions are missing, first 2; give the whole"),
        ({}, ": no list 'questions'; fetch the original again"),
        ({"questions": [_question("1", exact_answer=[])]}, ": question 1 is not as BioASQ's are (Attr"),
        ({"questions": ["?"]}, ": question 1 is not as BioASQ's are (TypeError"),
    ],
)
def test_a_damaged_bioasq_is_one_line(training: object, complaint: str, tmp_path: Path) -> None:
    said = complaint_of(convert_bioasq, _bioasq(tmp_path, training))
    assert said.startswith(f"{tmp_path}/deep/trainining7b.json{complaint}")


def test_a_batch_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = _bioasq(tmp_path, {"questions": [_question("1"), _question("2")]}, batches=4)
    assert complaint_of(convert_bioasq, folder) == (
        f"{folder}: no file 7B5_golden.json; put the original there"
    )


# EBM PICO

# "Old men took zinc . It helped .": participants are words 1 and 2, interventions 2 and 4, outcomes 4 and 7.
WORDS = "Old men took zinc .\nIt helped ."
NAMED = {"participants": "3 1 0 0 0 0 0 0", "interventions": "0 2 0 1 0 0 0 0", "outcomes": "0 0 0 1 0 0 6 0"}
TAGGED = "Old\tI-PAR\nmen\tI-INT\ntook\tO\nzinc\tI-OUT\n.\tO\n\nIt\tO\nhelped\tI-OUT\n.\tO\n\n"


@pytest.mark.realdata
def test_the_digest_is_that_of_blurbs_list_of_training_documents(real_data: Path) -> None:
    listed = (real_data / "raw" / "ebm-pico" / "index" / "train_pmid.tsv").read_text()
    ids = sorted(listed.replace(".txt", "").strip().split(","))
    assert len(ids) == 3842
    assert hashlib.sha256("\n".join(ids).encode()).hexdigest().startswith("b64cf27f87ee74fd")


def _ebm_nlp(folder: Path) -> Path:
    for document in ("1", "2", "3"):
        (folder / "ebm_nlp_2_00/documents").mkdir(parents=True, exist_ok=True)
        (folder / f"ebm_nlp_2_00/documents/{document}.tokens").write_text(WORDS)
        (folder / f"ebm_nlp_2_00/documents/{document}.text").write_text("not read")
        for element, labels in NAMED.items():
            part = "test/gold" if document == "3" else "train"
            for kind in ("starting_spans", "hierarchical_labels"):
                path = folder / f"ebm_nlp_2_00/annotations/aggregated/{kind}/{element}/{part}"
                path.mkdir(parents=True, exist_ok=True)
                held = labels if kind == "starting_spans" else "wrong"
                (path / f"{document}.AGGREGATED.ann").write_text("\n".join(held.split()))
    return folder


def _annotation(folder: Path, element: str, document: str = "2") -> Path:
    spans = folder / "ebm_nlp_2_00/annotations/aggregated/starting_spans"
    return spans / element / "train" / f"{document}.AGGREGATED.ann"


def test_of_overlapping_classes_the_last_wins_and_a_full_stop_ends_a_sentence(tmp_path: Path) -> None:
    built = {split: content.decode() for split, content in convert_ebm_pico(_ebm_nlp(tmp_path)).items()}
    assert built == {
        split: f"-DOCSTART- ({place})\n\n{TAGGED}" for place, split in enumerate(("dev", "test"), 2)
    } | {"train": f"-DOCSTART- (1)\n\n{TAGGED}"}


def test_the_corpus_of_pico_packed_is_read_as_the_folder(tmp_path: Path) -> None:
    folder = _ebm_nlp(tmp_path / "corpus")
    with tarfile.open(tmp_path / "ebm_nlp_2_00.tar.gz", "w:gz") as archive:
        archive.add(folder / "ebm_nlp_2_00", "ebm_nlp_2_00")
    assert convert_ebm_pico(tmp_path / "ebm_nlp_2_00.tar.gz") == convert_ebm_pico(folder)


def test_the_shortest_list_ends_a_document_without_a_blank_line(tmp_path: Path) -> None:
    folder = _ebm_nlp(tmp_path)
    _annotation(folder, "outcomes").write_text("0 0 0 1 0 0")
    assert convert_ebm_pico(folder)["dev"].decode() == (
        "-DOCSTART- (2)\n\nOld\tI-PAR\nmen\tI-INT\ntook\tO\nzinc\tI-OUT\n.\tO\n\nIt\tO\n"
    )


def test_a_damaged_ebm_nlp_is_one_line(tmp_path: Path) -> None:
    folder = _ebm_nlp(tmp_path)
    path = _annotation(folder, "interventions")
    path.write_text("0 1,0")
    assert complaint_of(convert_ebm_pico, folder) == (
        f"{path}: '1,0', expected numbers; fetch the corpus again"
    )
    path.unlink()
    assert complaint_of(convert_ebm_pico, folder) == (
        f"{folder}: 1 of 3 lists of labels are missing, first 2 interventions; give the whole original"
    )
    for element in NAMED:
        _annotation(folder, element, "1").unlink()
    assert complaint_of(convert_ebm_pico, folder) == (
        f"{folder}: 0 documents beside BLURB's dev and test set, expected 1; give the whole of ebm_nlp_2_00"
    )


def test_a_dev_set_is_cut_by_the_hash_of_its_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SHA-256 of "a" begins with ca, of "b" with 3e, of "c" with 2e: c is the first, then b.
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.split_ids", lambda task: {"dev": ("a", "b", "c")})
    monkeypatch.setattr("kebench.tasks.convert.ebm_pico.DEV_DOCUMENTS_TO_TRAIN", 2)
    documents = {name: f"-DOCSTART- ({name})\r\n\n{name}\tO\n" for name in "abc"}
    (tmp_path / "dev.tsv").write_text("\ufeff" + "".join(documents.values()), newline="")
    (tmp_path / "test.tsv").write_text("the test set")
    assert convert_ebm_pico_dev(tmp_path) == {
        "train": (documents["b"] + documents["c"]).encode(),
        "dev": documents["a"].encode(),
        "test": b"the test set",
    }
    (tmp_path / "dev.tsv").write_text(documents["a"])
    assert complaint_of(convert_ebm_pico_dev, tmp_path) == (
        f"{tmp_path}/dev.tsv: 1 documents (-DOCSTART- lines), expected 3; "
        "fetch it again (kebench data get ebm-pico)"
    )


def test_what_is_not_there_is_said_by_each_converter(tmp_path: Path) -> None:
    for task, convert in CONVERTERS.items():
        assert str(tmp_path / "nowhere") in complaint_of(convert, tmp_path / "nowhere"), task


def test_a_hostile_member_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "hoc.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("../text/1.txt")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    said = complaint_of(convert_hoc, tmp_path / "hoc.tar.gz")
    assert said.endswith("a path that leads out of the archive; fetch the corpus again")
