"""`kebench data check`: what it counts, what is a note, and one exact line for each kind of damage."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kebench.cli import main
from kebench.errors import UserError
from kebench.kinds.card import SPLITS, TaskCard
from kebench.kinds.ner import read_sentences as read_tagged_split
from kebench.kinds.pairs import Pair
from kebench.kinds.tagging import Sentence
from kebench.tasks.card import read_task_card, select_tasks
from kebench.tasks.check import check_data, check_task, digest_gold, measure
from tests.task_cards import task_card

Write = Callable[..., TaskCard]


def _levels(card: TaskCard, data: Path) -> list[str]:
    return [finding.level for finding in check_task(card, data)]


def _message(card: TaskCard, data: Path) -> str:
    """Return the message of the test split, after making sure that the others are fine."""
    findings = check_task(card, data)
    assert [finding.level for finding in findings[:2]] == ["ok", "ok"]
    return findings[2].message


def test_right_files_are_green(ner_task: Write, relation_task: Write, tmp_path: Path) -> None:
    assert _levels(ner_task(tmp_path), tmp_path) == ["ok", "ok", "ok"]
    assert _levels(relation_task(tmp_path), tmp_path) == ["ok", "ok", "ok"]


def test_mentions_are_b_tags_and_adjacent_ones_count_twice(ner_task: Write, tmp_path: Path) -> None:
    size = measure(ner_task(tmp_path), tmp_path / "small-ner" / "test.tsv")
    assert (size.units, size.rows) == (3, 2)
    assert size.labels == {"B": 3, "I": 1, "O": 6}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n", "\r\n"),
        ("\tB\n", "\tB-Disease\n"),
        ("gout", "-DOCSTART- 91\n\ngout"),
        (".\tO\n\n", ".\tO\n\n\n"),
    ],
)
def test_right_counts_in_another_form_are_a_note(old: str, new: str, ner_task: Write, tmp_path: Path) -> None:
    card = ner_task(tmp_path)
    path = tmp_path / "small-ner" / "test.tsv"
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    assert _levels(card, tmp_path) == ["ok", "ok", "note"]
    assert _message(card, tmp_path).startswith(f"{path}: right counts, another sha256 (")


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("rare\tO\nones\tO\n.\tO\n\n", "ra", " line 9: 1 column, expected 2 (token TAB tag); "
         "the file looks cut off (its last line has no newline)"),
        ("ones\tO\n.\tO\n\n", "ones\tO", ": tag 'O' 5 times, expected 6; "
         "the file looks cut off (last line 10 has no newline)"),
        ("Tay\tB\nSachs\tI\nGaucher\tB\nare\tO\nrare\tO\nones\tO\n.\tO\n\n", "",
         ": 1 mentions in 1 sentences, expected 3 in 2; the file looks cut off"),
        ("Gaucher\tB", "Gaucher\tX", " line 7: tag 'X', expected B, I or O"),
        ("Gaucher\tB", "Gaucher\tO", ": 2 mentions in 2 sentences, expected 3 in 2"),
        ("Sachs\tI", "Sachs\tO", ": tag 'I' 0 times, expected 1"),
        ("Gaucher\tB", "B\tGaucher", " line 7: tag 'Gaucher', expected B, I or O; the columns look swapped"),
        ("Sachs\tI\nGaucher\tB", "Sachs\tB\nGaucher\tI",
         ": right counts, but tags stand on other rows than in the published file"),
        ("Sachs\tI\nGaucher\tB\nare", "are\tI\nGaucher\tB\nSachs",
         ": right counts, but its texts stand beside other tags than in the published file"),
    ],
)  # fmt: skip
def test_damage_to_a_tagged_file_is_one_exact_line(
    old: str, new: str, complaint: str, ner_task: Write, tmp_path: Path
) -> None:
    card = ner_task(tmp_path)
    path = tmp_path / "small-ner" / "test.tsv"
    _edit(path, old, new)
    assert _message(card, tmp_path) == f"{path}{complaint}; fetch the file again"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("CPR:4\n1.T1.T3\t@CHEMICAL$ and @GENE$.\tfalse", "false\n1.T1.T3\t@CHEMICAL$ and @GENE$.\tCPR:4",
         ": right counts, but labels stand on other rows than in the published file"),
        ("@CHEMICAL$ blocks @GENE$.\tCPR:4\n1.T1.T3\t@CHEMICAL$ and @GENE$.",
         "@CHEMICAL$ and @GENE$.\tCPR:4\n1.T1.T3\t@CHEMICAL$ blocks @GENE$.",
         ": right counts, but its texts stand beside other labels than in the published file"),
        ("CPR:4", "false", ": label 'CPR:4' 0 times, expected 1"),
        ("1.T4.T5\tThe @CHEM-GENE$.\tfalse\n", "", ": 2 instances, expected 3; the file looks cut off"),
        ("1.T1.T2\t@CHEMICAL$ blocks @GENE$.", "@CHEMICAL$ blocks @GENE$.\t1.T1.T2", " line 1: no @CHEMICAL$ "
         "or @GENE$ or @CHEM-GENE$ in the text '1.T1.T2'; the columns look swapped"),
    ],
)  # fmt: skip
def test_damage_to_a_relation_file_is_one_exact_line(
    old: str, new: str, complaint: str, relation_task: Write, tmp_path: Path
) -> None:
    card = relation_task(tmp_path)
    path = tmp_path / "small-re" / "test.tsv"
    _edit(path, old, new)
    assert _message(card, tmp_path) == f"{path}{complaint}; fetch the file again"


def test_a_missing_file_and_a_missing_folder_say_how_to_get_them(ner_task: Write, tmp_path: Path) -> None:
    card = ner_task(tmp_path)
    path = tmp_path / "small-ner" / "test.tsv"
    path.unlink()
    assert _message(card, tmp_path) == f"{path}: missing; see 'kebench data get small-ner'"
    shutil.rmtree(tmp_path / "small-ner")
    assert [(row.split, row.level, row.message) for row in check_task(card, tmp_path)] == [
        (
            "all",
            "error",
            f"{tmp_path}: no folder small-ner for task 'small-ner'; see 'kebench data get small-ner'",
        )
    ]


def test_a_data_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nowhere: no such folder; name the one that holds the tasks' folders"
    ):
        check_data([read_task_card("gad")], tmp_path / "nowhere")


def test_the_gold_digest_ignores_the_order_of_rows_and_their_text() -> None:
    a, b = Sentence("0", ("x", "y"), "BO"), Sentence("1", ("z",), "O")
    ner, relation = read_task_card("bc2gm"), read_task_card("gad")
    assert digest_gold(ner, [a, b]) == digest_gold(ner, [b, a._replace(words=("x", "``"))])
    assert digest_gold(ner, [a, b]) != digest_gold(ner, [a._replace(tags="OB"), b])
    first, second = Pair("1", "t", "0"), Pair("2", "u", "1")
    assert digest_gold(relation, [first, second]) == digest_gold(
        relation, [second, first._replace(text="t ")]
    )
    exchanged = [first._replace(label="1"), second._replace(label="0")]
    assert digest_gold(relation, [first, second]) != digest_gold(relation, exchanged)


@pytest.mark.slow
@pytest.mark.realdata
def test_the_real_files_are_all_green_and_the_table_fits_80_columns(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "check", str(real_data / "blurb"), "--tasks", "kebiolm"])
    lines = capsys.readouterr().out.splitlines()
    table, remarks = lines[: 1 + 8 * 3 + 1], lines[1 + 8 * 3 + 1 :]
    assert all(line.split()[-1] == "ok" for line in table[1:-1])
    assert max(map(len, table)) <= 80
    assert (
        "jnlpba test: 98 of 3,856 sentences stand in train or dev too (26 with other labels): its score "
        "shows in part what a model remembers"
    ) in remarks


def _fail(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _swap_columns(path: Path) -> None:
    lines = path.read_text().split("\n")
    path.write_text("\n".join("\t".join(reversed(line.split("\t"))) for line in lines))


# What happens to the test split of NCBI-disease, and the one line that says so.
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (
        _truncate,
        "test.tsv: 955 mentions in 936 sentences, expected 960 in 940; "
        "the file looks cut off (last line 25309 has no newline); fetch the file again",
    ),
    "wrong tag": (
        lambda path: _edit(path, "\tO\n", "\tQ\n"),
        "test.tsv line 1: tag 'Q', expected B, I or O; fetch the file again",
    ),
    "missing": (Path.unlink, "test.tsv: missing; see 'kebench data get ncbi-disease'"),
    "shuffled column": (
        _swap_columns,
        "test.tsv line 1: tag 'Clustering', expected B, I or O; "
        "the columns look swapped; fetch the file again",
    ),
    "empty": (lambda path: path.write_bytes(b""), "test.tsv: empty; fetch the file again"),
    "binary": (
        lambda path: path.write_bytes(bytes(range(256)) * 40),
        "test.tsv: a binary file, expected tab-separated text; fetch the file again",
    ),
}


@pytest.mark.realdata
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_a_real_file_is_red_with_one_exact_line(
    damage: str, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(real_data / "blurb" / "ncbi-disease", tmp_path / "NCBI-disease")
    harm, complaint = DAMAGE[damage]
    folder.chmod(0o755)
    (folder / "test.tsv").chmod(0o644)
    harm(folder / "test.tsv")
    _fail(["data", "check", str(tmp_path), "--tasks", "ncbi-disease"])
    captured = capsys.readouterr()
    errors = [line for line in captured.out.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {folder}/{complaint}"]
    assert captured.err == f"kebench: {tmp_path}: 1 of 3 checks failed; each error line says what to do\n"


@pytest.mark.realdata
def test_labels_of_real_pairs_that_are_shuffled_are_red(real_data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(real_data / "blurb" / "gad", tmp_path / "GAD")
    path = folder / "dev.tsv"
    path.chmod(0o644)
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    labels = [row[2] for row in rows[1:]]
    shifted = [[*row[:2], label] for row, label in zip(rows[1:], labels[1:] + labels[:1], strict=True)]
    path.write_text("\n".join("\t".join(row) for row in [rows[0], *shifted]) + "\n")
    [finding] = [row for row in check_task(read_task_card("gad"), tmp_path) if row.level != "ok"]
    complaint = "right counts, but labels stand on other rows than in the published file"
    assert finding.message == f"{path}: {complaint}; fetch the file again"


@pytest.mark.realdata
def test_json_says_all_that_was_counted(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", str(real_data / "blurb"), "--tasks", "gad", "--format", "json"])
    findings = json.loads(capsys.readouterr().out)
    assert [finding["split"] for finding in findings] == list(SPLITS)
    assert findings[2]["found"]["labels"] == {"0": 253, "1": 281}
    assert findings[2]["expected"]["units"] == 534


def test_task_list_and_show_print_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    main(["task", "list", "--format", "json"])
    assert "ncbi-disease" in [task["name"] for task in json.loads(capsys.readouterr().out)]
    main(["task", "show", "ncbi-disease"])
    assert "the paper's Table 1 prints 5137" in " ".join(capsys.readouterr().out.split())
    _fail(["task", "show", "ncbi-disaese"])
    assert capsys.readouterr().err == (
        "kebench: no task 'ncbi-disaese'; did you mean 'ncbi-disease'? 'kebench task list' shows all\n"
    )


OWN = {
    "name": "own", "title": "Own", "suite": "mine", "kind": "ner", "format": "iob", "folders": ["own"],
    "licence": "none", "citation": "none", "access": {"kind": "registration", "instructions": "ask"},
}  # fmt: skip


def _own(data: Path, *, train: str, dev: str, test: str, **fields: object) -> TaskCard:
    (data / "own").mkdir(parents=True)
    for split, text in (("train", train), ("dev", dev), ("test", test)):
        (data / "own" / f"{split}.tsv").write_text("\n".join(text.split(" ")) + "\n")
    return task_card(OWN | fields)


def test_another_scheme_is_said_and_its_mentions_are_counted(tmp_path: Path) -> None:
    card = _own(tmp_path, train="a\tI b\tI c\tO d\tI e\tB", dev="a\tI b\tO", test="a\tS b\tO c\tB d\tE")
    findings = check_task(card, tmp_path)
    assert [finding.message.split("; ")[::2] for finding in findings] == [
        [f"{tmp_path}/own/{split}.tsv: {size} in 1 sentences",
         f"tagged in {scheme} and read so, while other files of the task are in {other}"]
        for split, size, scheme, other in (
            ("train", "3 mentions", "IOB1", "IOBES"),
            ("dev", "1 mentions", "IOB1", "IOBES"),
            ("test", "2 mentions", "IOBES", "IOB1"),
        )
    ]  # fmt: skip
    assert [finding.facts and finding.facts.tag_scheme for finding in findings] == ["IOB1", "IOB1", "IOBES"]


def test_io_is_said_to_tell_touching_mentions_not_apart(tmp_path: Path) -> None:
    card = _own(tmp_path, train="a\tI b\tI", dev="c\tI d\tO", test="e\tI")
    assert [finding.message.split("; ")[-1] for finding in check_task(card, tmp_path)] == [
        "tagged in IO (or IOB1 in which no two mentions touch) and read so"
    ] * 3


def test_a_file_of_another_type_than_train_is_refused(tmp_path: Path) -> None:
    files = {"train": "a\tB-Chemical", "dev": "a\tB", "test": "a\tO b\tB-Disease"}
    card = _own(tmp_path, **files)
    train, dev, test = check_task(card, tmp_path)
    assert (train.level, dev.level) == ("note", "note")  # no type contradicts none
    assert (test.level, test.message) == (
        "error",
        f"{tmp_path}/own/test.tsv line 2: a mention of type 'Disease', others of train.tsv are of type "
        "'Chemical', and no types are told apart; name them in the task's card (types = [...]), keep one "
        "type, or write ignore_types = true there",
    )
    ignoring = _own(tmp_path / "b", **files, ignore_types=True)
    assert [finding.level for finding in check_task(ignoring, tmp_path / "b")] == ["note"] * 3


def test_sizes_of_the_users_own_card_are_mended_with_the_file(tmp_path: Path) -> None:
    expected = {"train": {"units": 2, "rows": 1}}
    card = _own(tmp_path, train="a\tB b\tO", dev="a\tB", test="a\tB", expected=expected)
    train, *_ = check_task(card, tmp_path)
    assert train.message == (
        f"{tmp_path}/own/train.tsv: 1 mentions in 1 sentences, expected 2 in 1; "
        "mend the file, or the sizes that the card expects"
    )


@pytest.mark.realdata
def test_blurbs_tagged_files_are_iob2_without_types(real_data: Path) -> None:
    for card in select_tasks("ner"):
        for split in SPLITS:
            tagged = read_tagged_split(card, card.find_split(real_data / "blurb", split))
            assert (tagged.scheme, [*tagged.types]) == ("IOB2", [""])


@pytest.mark.realdata
@pytest.mark.parametrize("corpus", ["AnatEM-IOB", "BioNLP13CG-IOB"])
def test_real_corpora_of_one_type_pass_and_of_sixteen_do_not(
    corpus: str, real_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(gzip.decompress((real_data / "ner" / corpus / "train.tsv.gz").read_bytes()))
    if corpus == "AnatEM-IOB":
        assert measure(task_card(OWN), path).units == 6946
        return
    with pytest.raises(UserError, match="others of this file are of type"):
        measure(task_card(OWN), path)
    assert measure(task_card(OWN | {"ignore_types": True}), path).units == 10826


SHARED = {
    # card's fields, suffix, lines of train, dev and test by id and text, and what an example is called
    "similarity": (
        {"format": "scored-pairs", "lowest": 0, "highest": 4},
        "pair_id\tsent1\tsent2\tscore\n",
        "{id}\t{text} it.\tIt.\t{score}\n",
        "pair",
    ),
    "classification": (
        {"format": "hoc", "labels": ["a", "b"], "metric": "label_set_f1"},
        "labels\tsentence\tindex\n",
        "0_0,1_1\t{text}\t{id}_s0\n0_1,1_0\tIt.\t{id}_s1\n",
        "document",
    ),
    "qa": (
        {"format": "question-passage", "labels": ["yes", "no"]},
        "",
        "{id}\tIs it?\t{text}\tyes\n",
        "question",
    ),
    "pico": (
        {"format": "io", "types": ["PAR"]},
        "",
        "-DOCSTART- ({id})\n\n{text}\tI-PAR\n.\tO\n\n",
        "sentence",
    ),
}


def _write_shared(data: Path, kind: str, ids: str, texts: str) -> TaskCard:
    """Write train, dev and test with two examples each, of which `ids` and `texts` have one letter each."""
    fields, header, line, _ = SHARED[kind]
    (data / "own").mkdir(exist_ok=True)
    for place, split in enumerate(SPLITS):
        rows = zip(ids[2 * place : 2 * place + 2], texts[2 * place : 2 * place + 2], (0, 1), strict=True)
        # Long enough that its being there twice is no chance.
        content = header + "".join(
            line.format(id=one, text=f"{text * 9} reduces mortality in adults with sepsis", score=score)
            for one, text, score in rows
        )
        (data / "own" / f"{split}.tsv").write_text(content)
    return task_card({**OWN, "kind": kind, **fields})


@pytest.mark.parametrize("kind", SHARED)
def test_an_id_that_two_splits_share_is_an_error_with_both_lines(kind: str, tmp_path: Path) -> None:
    card = _write_shared(tmp_path, kind, ids="abcdeb", texts="uvwxyz")
    train, dev, test = check_task(card, tmp_path)
    assert (train.level, dev.level, test.level) == ("note", "note", "error")
    first, second = {  # lines of the second example of each file
        "similarity": ("train.tsv line 3", "test.tsv line 3"),
        "classification": ("train.tsv line 4", "test.tsv line 4"),
        "qa": ("train.tsv line 2", "test.tsv line 2"),
        "pico": ("train.tsv line 6", "test.tsv line 6"),
    }[kind]
    what = "document b begins" if kind == "pico" else "id b stands"
    assert test.message == f"{tmp_path}/own/{second}: {what} in {first} too; mend the file"


@pytest.mark.parametrize("kind", SHARED)
def test_a_text_that_two_splits_share_is_said(kind: str, tmp_path: Path) -> None:
    card = _write_shared(tmp_path, kind, ids="abcdef", texts="uvwxyv")
    train, dev, test = check_task(card, tmp_path)
    assert (train.remarks, dev.remarks) == ((), ())
    (said,) = test.remarks
    num = test.facts.num_examples if test.facts else 0
    assert said == (
        f"WARNING: 1 of {num} {SHARED[kind][3]}s stand in train or dev too: its score shows in part what a "
        "model remembers"
    )


def test_the_caption_says_what_the_tasks_shown_are_counted_in(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for tasks, caption in (
        ("bioasq", "units: questions; rows: questions; labels: equal counts"),
        ("hoc,gad", "units: instances or documents; rows: instances or documents; labels: equal counts"),
        (
            "ebm-pico,gad,biosses",
            "units: labelled words, instances or pairs; rows: sentences, instances or pairs; labels: "
            "equal counts",
        ),
    ):
        _fail(["data", "check", str(tmp_path), "--tasks", tasks])
        assert caption in capsys.readouterr().out.splitlines()
