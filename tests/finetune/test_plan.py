"""A task's files before anything runs: what their hash covers."""

from pathlib import Path

import pytest

from kebench.errors import UserError
from kebench.files import hash_of, sha256_of
from kebench.finetune.plan import TaskFiles, find_task_files, read_budget
from kebench.kinds.card import SPLITS
from kebench.kinds.registry import KINDS
from kebench.tasks.card import select_tasks
from tests.finetune.small_tasks import NER

IOB2 = "a\tB\nb\tI\nc\tO\nd\tB\n\nx\tB\ny\tB\n"
IOB1 = "a\tI\nb\tI\nc\tO\nd\tI\n\nx\tI\ny\tB\n"


def _files(data: Path, *, train: str, test: str) -> TaskFiles:
    folder = data / "small-ner"
    folder.mkdir(parents=True)
    for split in SPLITS:
        (folder / f"{split}.tsv").write_text(test if split == "test" else train)
    return find_task_files(NER, data)


def _hash_of_before(files: TaskFiles) -> str:
    """Return what the hash was when every file was read as IOB2."""
    sha256 = {split: sha256_of(path) for split, path in files.paths.items()}
    return hash_of([sha256, ["ner", "iob", "entity_f1", (), ""], (), ()])


def test_files_of_iob2_keep_the_hash_that_records_carry(tmp_path: Path) -> None:
    files = _files(tmp_path, train=IOB2, test=IOB2)
    assert files.schemes == dict.fromkeys(SPLITS, "IOB2")
    assert files.hash == _hash_of_before(files)
    untagged = _files(tmp_path / "untagged", train=IOB2, test="a\tO\n")
    assert untagged.hash == _hash_of_before(untagged)


def test_files_of_another_scheme_are_another_task_than_records_of_before(tmp_path: Path) -> None:
    files = _files(tmp_path, train=IOB2, test=IOB1)
    assert files.converted == {"test": "IOB1"}
    assert files.hash != _hash_of_before(files)


def test_a_file_that_was_cut_off_is_told_as_data_check_tells_it(tmp_path: Path) -> None:
    _files(tmp_path, train=IOB2, test=IOB2)
    (tmp_path / "small-ner" / "test.tsv").write_text("a\tB\nb")
    with pytest.raises(UserError) as refused:
        find_task_files(NER, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/small-ner/test.tsv line 2: 1 column, expected 2 (token TAB tag); the file looks cut off "
        "(its last line has no newline); mend the file"
    )


def test_paper_is_another_papers_grid_where_the_kind_is_not_kebiolms() -> None:
    paper, quick = read_budget("paper", {}), read_budget("quick", {})
    seeds = {card.name: paper.seeds_of(card.kind) for card in select_tasks("blurb")}
    assert {name for name, number in seeds.items() if number == 10} == {"biosses", "pubmedqa", "bioasq"}
    assert {*seeds.values()} == {5, 10}
    assert {name for name, one in paper.kinds.items() if one.origin == "Gu et al. 2022"} == {*KINDS} - {
        card.kind for card in select_tasks("kebiolm")
    }
    assert {quick.seeds_of(kind) for kind in KINDS} == {5}
    assert paper.seeds_of("qa", 3) == 3


@pytest.mark.realdata
def test_blurbs_files_keep_the_hashes_of_the_shipped_records(real_data: Path) -> None:
    hashes = {card.name: find_task_files(card, real_data / "blurb").hash for card in select_tasks("kebiolm")}
    assert {name: hashed[:16] for name, hashed in hashes.items()} == {
        "bc5cdr-chem": "51dc9ac2e026c723",
        "bc5cdr-disease": "060260d41c0e660f",
        "ncbi-disease": "c2309d5fdd6717fe",
        "bc2gm": "803ecf75c7ce6bb0",
        "jnlpba": "bd5cd511f5b9e311",
        "chemprot": "591dfb7cd55cc258",
        "ddi": "e4726dc171b55ab7",
        "gad": "6e8e8bc1ab0bf746",
    }
