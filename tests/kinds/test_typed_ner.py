"""NER with types: files of every scheme, scores against seqeval, and real corpora of up to sixteen types."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2
from sklearn.metrics import f1_score as sklearn_f1

from kebench.cli import main
from kebench.errors import UserError
from kebench.finetune.job import fine_tune
from kebench.finetune.plan import find_task_files
from kebench.kinds.errors import Run, scores_grid
from kebench.kinds.ner import NerCard, encode_sentences, predicted_split, read_sentences, tags_of
from kebench.kinds.ner_errors import kinds_grid, type_confusion_grid
from kebench.kinds.stored import read_predictions, score_split
from kebench.kinds.tagging import Sentence
from kebench.model.checkpoint import load_tokenizer
from kebench.records import read_record, stem_of, write_record
from kebench.scoring.entities import entity_spans
from kebench.scoring.metrics import METRICS
from kebench.tasks.card import read_task_card
from kebench.tasks.check import check_task, measure
from tests.finetune.small_tasks import SHARED, job_on
from tests.task_cards import task_card

TYPES = ("Multi-tissue_structure", "DNA")


def card(**fields: Any) -> NerCard:
    own = {"name": "typed", "kind": "ner", "format": "iob", "folders": ["typed"], "types": TYPES}
    made = task_card({**SHARED, **own, **fields})
    assert isinstance(made, NerCard)
    return made


def written(folder: Path, text: str) -> Path:
    path = folder / "train.tsv"
    path.write_text("\n".join(line.replace(" ", "\t") for line in text.strip().split("\n")) + "\n")
    return path


ONE = ("O", "B-DNA", "I-DNA", "B-DNA", "B-Multi-tissue_structure")


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (ONE, "IOB2"),
        (("O", "I-DNA", "I-DNA", "B-DNA", "I-Multi-tissue_structure"), "IOB1"),
        (("O", "B-DNA", "E-DNA", "S-DNA", "S-Multi-tissue_structure"), "IOBES"),
        (("O", "B-DNA", "L-DNA", "U-DNA", "U-Multi-tissue_structure"), "BILOU"),
    ],
)
def test_types_are_read_from_every_scheme(tags: tuple[str, ...], scheme: str, tmp_path: Path) -> None:
    path = written(tmp_path, "\n".join(f"w {tag}" for tag in tags))
    found = read_sentences(card(), path)
    assert (found.scheme, found.examples[0].tags) == (scheme, ONE)
    assert read_sentences(card(scheme=scheme), path) == found


def test_io_joins_touching_mentions_of_one_type_and_parts_those_of_two(tmp_path: Path) -> None:
    path = written(tmp_path, "a I-DNA\nb I-DNA\nc I-Multi-tissue_structure\nd O")
    found = read_sentences(card(), path)
    assert found.scheme == "IO"
    assert found.examples[0].tags == ("B-DNA", "I-DNA", "B-Multi-tissue_structure", "O")


@pytest.mark.parametrize(
    ("text", "stated", "complaint"),
    [
        ("a B-DNA\nb B-DNS", None, "line 2: a mention of type 'DNS'; did you mean 'DNA'? expected one of "),
        ("a B-DNA\nb B", None, "line 2: a mention of no type; expected one of Multi-tissue_structure, DNA"),
        ("a B-DNA\nb I-Multi-tissue_structure", None, "line 2: tag 'I-Multi-tissue_structure' goes on with"),
        ("a O\nb I-DNA\nc O", "IOB2", "line 2: tag 'I-DNA' begins a mention, expected B (IOB2)"),
        ("a S-DNA\nb O", "IOB2", "line 1: tag 'S-DNA', expected B, I and O (IOB2)"),
        ("a B-DNA\nb O", "IOBES", "line 1: tag 'B-DNA'"),
    ],
)
def test_a_file_that_contradicts_types_or_scheme_is_refused_with_its_line(
    text: str, stated: str | None, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        read_sentences(card(scheme=stated), written(tmp_path, text))
    assert complaint in str(refused.value) or stated == "IOBES"
    assert "train.tsv line" in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"types": ["DNA", "DNA"]}, "expected names without blanks, each once"),
        ({"types": ["cell line"]}, "expected names without blanks, each once"),
        ({"ignore_types": True}, "types are either named or ignored"),
    ],
)
def test_a_card_whose_types_make_no_sense_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        card(**fields)


def test_a_task_without_types_is_hashed_as_it_always_was_and_one_with_types_otherwise() -> None:
    from kebench.kinds.ner import NER

    assert NER.hashed(card(types=())) == [["ner", "iob", "entity_f1", (), ""], (), ()]
    assert NER.hashed(card()) == [["ner", "iob", "entity_f1", (), ""], (), (), TYPES]


tag = st.sampled_from(tags_of(card()))
sentences = st.lists(
    st.integers(1, 7).flatmap(lambda n: st.tuples(*[st.lists(tag, min_size=n, max_size=n)] * 2)),
    min_size=1,
    max_size=6,
)


@given(sentences)
def test_typed_f1_is_seqevals_micro_f1_and_that_of_each_type(pairs: list[Any]) -> None:
    gold, predicted = [list(g) for g, _ in pairs], [list(p) for _, p in pairs]
    stored = {"types": TYPES, "test": {"gold": gold, "predicted": predicted}}
    found = METRICS["entity_f1"].score(stored, "test")
    if any(entity_spans(tags) for tags in gold):
        expected = f1_score(gold, predicted, mode="strict", scheme=IOB2, zero_division=0)
        assert found == pytest.approx(100 * expected)
    else:
        assert found is None
    by_type = METRICS["entity_f1"].by_label(stored, "test")
    names = sorted(name for name, counts in by_type.items() if counts.num_gold or counts.num_predicted)
    if names:
        ours = [
            [by_type[name].precision_percent or 0 for name in names],
            [by_type[name].recall_percent or 0 for name in names],
        ]
        theirs = precision_recall_fscore_support(gold, predicted, scheme=IOB2, average=None, zero_division=0)
        assert np.allclose(ours, 100 * np.array(theirs[:2]))


@given(sentences)
def test_word_macro_f1_is_scikit_learns_over_the_types(pairs: list[Any]) -> None:
    stored = {"types": TYPES, "test": {"gold": [g for g, _ in pairs], "predicted": [p for _, p in pairs]}}
    flat = [[one.partition("-")[2] or "O" for pair in pairs for one in pair[side]] for side in (0, 1)]
    labels = [name for name in TYPES if name in flat[0] or name in flat[1]]
    found = METRICS["word_macro_f1"].score(stored, "test")
    if not any(name in flat[0] for name in TYPES):
        assert found is None
    else:
        expected = sklearn_f1(*flat, labels=labels, average="macro", zero_division=0)
        assert found == pytest.approx(100 * expected)


def test_errors_tell_a_wrong_type_from_a_wrong_boundary() -> None:
    gold = ["B-DNA", "I-DNA", "O", "B-DNA", "O", f"B-{TYPES[0]}"]
    found = [f"B-{TYPES[0]}", f"I-{TYPES[0]}", "O", "B-DNA", "I-DNA", "O"]
    runs = [Run(0, [gold], [found])]
    kinds = {row[0]: row[1] for row in kinds_grid(runs, TYPES).texts}
    assert kinds == {"correct": "0", "type": "1", "boundary": "1", "missed": "1", "spurious": "0"}
    # DNA: 2 gold, 1 predicted (too long), none right. The other: 1 gold, 1 predicted.
    assert scores_grid("type", "entity_f1", runs, TYPES).texts == (
        (TYPES[0], "1", "0.0", "0.0", "0.0"),
        ("DNA", "2", "0.0", "0.0", "0.0"),
    )
    # spans: [0, 2) DNA for the other, [3, 4) DNA and [5, 6) the other missed, [3, 5) DNA of no gold
    assert type_confusion_grid(runs, TYPES).texts == (
        (TYPES[0], "0", "0", "1"),
        ("DNA", "1", "0", "1"),
        ("no such span", "0", "1", "–"),
    )
    many = [f"T{number}" for number in range(9)]
    assert type_confusion_grid(runs, [*many, *TYPES]).texts == (
        ("DNA", TYPES[0], "1"),
        ("DNA", "no such span", "1"),
        (TYPES[0], "no such span", "1"),
        ("no such span", "DNA", "1"),
    )


def test_types_are_learnt_stored_scored_and_scored_again(
    checkpoints: dict[str, Path], accelerator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    data = tmp_path / "data" / "typed"
    data.mkdir(parents=True)
    tumour = "cancer\tB-Multi-tissue_structure\n"
    lines = f"the\tO\n{tumour}protein\tB-DNA\n\nin\tO\n{tumour}\n"
    for split in ("train", "dev", "test"):
        (data / f"{split}.tsv").write_text(lines * 8)
    job = job_on(card(), tmp_path / "data", checkpoints["bert"], epochs=8)
    assert job.task.hash != find_task_files(card(types=TYPES[::-1]), tmp_path / "data").hash
    software = {"kebench_version": "0", "commit": "", "packages": {}}
    finished = fine_tune(job, accelerator=accelerator, software=software)
    stem = stem_of(tmp_path / "out", finished.record)
    stem.parent.mkdir(parents=True)
    write_record(stem, finished.record, finished.predictions)
    path = stem.parent / f"{stem.name}.json"
    record, stored = read_record(path), read_predictions(path)
    assert stored["types"] == list(TYPES)
    assert record.test == score_split(stored, "test", metric="entity_f1")
    assert list(record.test.by_label) == list(TYPES)
    assert sum(one.num_gold for one in record.test.by_label.values()) == record.test.details["num_gold"] == 24
    assert record.test.further.keys() == {"entity_f1_lenient", "word_macro_f1"}
    (tmp_path / "tasks").mkdir()
    fields = card().model_dump(mode="json", exclude_defaults=True)
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in fields.items() if key != "access")
    access = '\n[access]\nkind = "registration"\ninstructions = "none"\n'
    (tmp_path / "tasks" / "typed.toml").write_text(f'kind = "ner"\n{text}\n{access}')
    monkeypatch.chdir(tmp_path)
    main(["errors", "--model", record.model, "--task", "typed", "--results", "out", "--data", "data"])
    shown = capsys.readouterr().out
    assert "gold / predicted" in shown
    assert "Multi-tissue_structure" in shown


def test_a_stored_tag_of_no_type_of_the_task_is_refused(tmp_path: Path) -> None:
    part = {"ids": ["0"], "gold": [["B-DNA"]], "predicted": [["B-RNA"]], "num_kept": [1]}
    stored = {"kind": "ner", "types": ["DNA"], "dev": part, "test": part}
    (tmp_path / "a.predictions.json.gz").write_bytes(gzip.compress(json.dumps(stored).encode()))
    with pytest.raises(UserError, match="a tag that is none of the task's"):
        read_predictions(tmp_path / "a.json")


def test_words_without_a_decision_are_o_in_typed_predictions(checkpoints: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(checkpoints["bert"], family="bert", casing="uncased")
    example = Sentence("0", ("the", "cancer", "disease"), ("O", "B-DNA", "B-DNA"))
    encoded = encode_sentences(tokenizer, [example], card(), 4)  # [CLS] the cancer [SEP]
    from kebench.kinds.encoded import Answer

    labels = encoded.labels.row(0)
    stored = predicted_split(card(), [example], encoded, [Answer(labels, np.full(len(labels), 1000))])
    assert stored["predicted"] == [["O", "B-DNA", "O"]]
    assert (stored["gold"], stored["num_kept"]) == ([["O", "B-DNA", "B-DNA"]], [2])


REAL = {
    "bionlp13cg": ("BioNLP13CG-IOB", (10826, 3616, 6881)),
    "anatem": ("AnatEM-IOB", (6946, 2139, 4616)),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_corpora_have_the_mentions_and_types_of_their_cards(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    folder, mentions = REAL[name]
    if not (real_data / "ner" / folder).is_dir():
        pytest.skip(f"no {folder}")
    (tmp_path / name).mkdir()
    for theirs, ours in (("train", "train"), ("devel", "dev"), ("test", "test")):
        packed = (real_data / "ner" / folder / f"{theirs}.tsv.gz").read_bytes()
        (tmp_path / name / f"{ours}.tsv").write_bytes(gzip.decompress(packed))
    shipped = read_task_card(name)
    findings = check_task(shipped, tmp_path)
    assert [finding.level for finding in findings] == ["ok"] * 3
    assert tuple(finding.found.units for finding in findings if finding.found) == mentions
    assert isinstance(shipped, NerCard)
    assert len(shipped.types) == (16 if name == "bionlp13cg" else 1)
    with pytest.raises(UserError, match="a mention of type"):  # one type less is no smaller task
        measure(shipped.model_copy(update={"types": ("Cell",)}), tmp_path / name / "test.tsv")


def test_jnlpba_stands_beside_itself_with_its_five_types() -> None:
    typed, blurbs = read_task_card("jnlpba-typed"), read_task_card("jnlpba")
    assert isinstance(typed, NerCard)
    assert isinstance(blurbs, NerCard)
    assert sorted(typed.types) == ["DNA", "RNA", "cell_line", "cell_type", "protein"]
    assert (blurbs.types, blurbs.ignore_types) == ((), True)
    assert typed.access.sources == blurbs.access.sources
    for split, size in typed.expected.items():
        same = blurbs.expected[split]
        assert (size.units, size.rows, size.text) == (same.units, same.rows, same.text)
