"""Task cards: one generated test a card, the sizes of the paper's Table 1, and what is refused."""

import re
from pathlib import Path

import pytest

import kebench.cli
from kebench.errors import UserError
from kebench.kinds.registry import KINDS
from kebench.tasks.card import (
    all_task_cards,
    data_folder,
    read_task_card,
    select_tasks,
    task_card_paths,
)

# KeBioLM, Table 1: mentions (NER) or instances (RE) of train, dev and test as printed.
TABLE_1 = {
    "bc5cdr-chem": (5203, 5347, 5385),
    "bc5cdr-disease": (4182, 4244, 4424),
    "ncbi-disease": (5137, 787, 960),
    "bc2gm": (15197, 3061, 6325),
    "jnlpba": (46750, 4551, 8662),
    "chemprot": (18035, 11268, 15745),
    "ddi": (25296, 2496, 5716),
    "gad": (4261, 535, 534),
}
FOLDERS = ("BC5CDR-chem", "BC5CDR-disease", "NCBI-disease", "BC2GM", "JNLPBA", "chemprot", "DDI", "GAD")
SHIPPED = sorted(path.stem for path in (Path(__file__).parents[2] / "kebench/tasks/cards").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_card_reads_and_describes_itself(name: str) -> None:
    card = read_task_card(name)
    assert card.title
    assert card.licence
    assert card.citation
    assert card.heading
    assert card.metric in KINDS[card.kind].metrics


@pytest.mark.parametrize("name", TABLE_1)
def test_expected_sizes_are_those_of_table_1_or_say_why_not(name: str) -> None:
    card = read_task_card(name)
    printed = [size.published or size.units for size in card.expected.values()]
    assert list(card.expected) == ["train", "dev", "test"]
    assert tuple(printed) == TABLE_1[name]


@pytest.mark.parametrize("name", TABLE_1)
def test_expected_labels_add_up(name: str) -> None:
    card = read_task_card(name)
    assert card.expected
    for size in card.expected.values():
        counted = size.labels["B"] if card.kind == "ner" else sum(size.labels.values())
        assert counted == size.units


@pytest.mark.parametrize(("name", "folder"), list(zip(TABLE_1, FOLDERS, strict=True)))
def test_blurbs_own_folder_name_is_found_like_ours(name: str, folder: str, tmp_path: Path) -> None:
    card = read_task_card(name)
    (tmp_path / "theirs" / folder).mkdir(parents=True)
    (tmp_path / "ours" / name).mkdir(parents=True)
    assert card.find_folder(tmp_path / "theirs").name == folder
    assert card.find_folder(tmp_path / "ours").name == name


def test_the_paper_lists_four_ddi_classes_and_the_data_has_five() -> None:
    card = read_task_card("ddi")
    assert card.negative == "DDI-false"
    assert card.labels == ("DDI-false", "DDI-mechanism", "DDI-effect", "DDI-advise", "DDI-int")


def test_kebiolm_is_eight_tasks_in_the_order_of_the_table() -> None:
    assert tuple(card.name for card in select_tasks("kebiolm")) == tuple(TABLE_1)


def test_blurb_is_thirteen_tasks_of_six_kinds() -> None:
    chosen = [card.name for card in select_tasks("blurb")]
    assert len(chosen) == 13
    assert {*TABLE_1} < {*chosen}
    for kind, names in {
        "ner": [*TABLE_1][:5],
        "pico": ["ebm-pico"],
        "re": [*TABLE_1][5:],
        "similarity": ["biosses"],
        "classification": ["hoc"],
        "qa": ["pubmedqa", "bioasq"],
    }.items():
        assert [card.name for card in select_tasks(kind)] == list(names)


def test_a_task_of_ones_own_joins_no_suite_that_has_a_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = task_card_paths()["gad"].read_text().replace('"gad"', '"my-gad"', 1)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "my-gad.toml").write_text(card)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"my-gad\.toml: suite 'blurb' has a score over tasks of its own"):
        all_task_cards()


def test_a_card_of_ones_own_is_no_other_task_under_the_name_of_blurbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = task_card_paths()["hoc"].read_text()
    (tmp_path / "tasks").mkdir()
    own = tmp_path / "tasks" / "hoc.toml"
    monkeypatch.chdir(tmp_path)
    own.write_text(card.replace('folders = ["hoc", "HoC"]', 'folders = ["elsewhere"]'))
    assert next(card for card in all_task_cards() if card.name == "hoc").folders == ("elsewhere",)
    for old, new in (
        ('suite = "blurb"', 'suite = "mine"'),
        ('"cellular energetics"', '"energetics"'),
        ("max_length = 512", "max_length = 128"),
    ):
        own.write_text(card.replace(old, new))
        with pytest.raises(UserError, match=r"hoc\.toml: another task than the one of this name in suite"):
            all_task_cards()


def test_adding_a_task_is_adding_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = task_card_paths()["gad"].read_text().replace('"gad"', '"my-gad"', 1)
    card = card.replace('suite = "blurb"', 'suite = "mine"').replace("also_in", "# also_in")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "my-gad.toml").write_text(card)
    monkeypatch.chdir(tmp_path)
    assert read_task_card("my-gad").kind == "relation"
    assert "my-gad" in [card.name for card in all_task_cards()]


TEN_LINES = """
name = "anatomy"
title = "Anatomy mentions"
suite = "mine"
kind = "ner"
format = "iob"
folders = ["anatomy"]
licence = "CC BY 4.0"
citation = "Doe et al. 2024"
access = { kind = "registration", instructions = "Ask." }
"""
RELATION = (
    ('kind = "ner"', 'kind = "relation"\nlabels = ["0", "1"]\nnegative = "0"\nmarkers = ["@X$"]'),
    ('"iob"', '"pairs"'),
)


@pytest.mark.parametrize(("changes", "metric"), [((), "entity_f1"), (RELATION, "micro_f1")])
def test_a_card_that_leaves_them_out_has_version_1_its_kinds_metric_and_512_pieces(
    changes: tuple[tuple[str, str], ...], metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEN_LINES
    for old, new in changes:
        text = text.replace(old, new)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "anatomy.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    card = read_task_card("anatomy")
    assert (card.version, card.metric, card.max_length) == (1, metric, 512)
    stated = f'version = 1\nmetric = "{metric}"\nmax_length = 512\n{text}'
    (tmp_path / "tasks" / "anatomy.toml").write_text(stated)
    assert read_task_card("anatomy") == card


def test_a_task_of_the_working_folder_goes_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = task_card_paths()["gad"].read_text().replace("version = 1", "version = 2")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "gad.toml").write_text(card)
    monkeypatch.chdir(tmp_path)
    assert read_task_card("gad").version == 2


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            'metric = "micro_f1"',
            'metric = "entity_f1"',
            "metric = 'entity_f1': Input should be 'micro_f1', 'macro_f1' or 'accuracy'",
        ),
        ('licence = "CC BY 4.0"', "", "licence: Field required"),
        ('kind = "registration"', 'kind = "open"', "open access needs sources for train, dev and test"),
        ("units = 4261", "units = 4261\npublished = 4262", "published differs from units without a reason"),
        ("version = 1", "version = 1\ncolour = 1", "colour = 1: Extra inputs are not permitted"),
    ],
)
def test_a_card_that_is_not_complete_is_refused_with_file_and_field(
    old: str, new: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = task_card_paths()["gad"].read_text()
    assert old in card
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "gad.toml").write_text(card.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        read_task_card("gad")
    assert str(error.value).startswith("tasks/gad.toml: ")
    assert complaint in str(error.value)


def test_the_data_folder_is_the_environments_or_its_blurb_folder_or_the_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KEBENCH_DATA", raising=False)
    assert data_folder() == tmp_path / "cache" / "data"
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    (tmp_path / "blurb").mkdir()
    assert data_folder() == tmp_path / "blurb"


def test_a_folder_that_is_named_is_found_as_the_environments_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEBENCH_DATA", str(tmp_path))
    assert data_folder(None) == data_folder(tmp_path) == tmp_path
    (tmp_path / "blurb").mkdir()
    assert data_folder(None) == data_folder(tmp_path) == tmp_path / "blurb"
    assert data_folder(tmp_path / "blurb") == tmp_path / "blurb"


def test_tasks_of_the_users_own_are_found_beside_blurb(tmp_path: Path) -> None:
    card = read_task_card("gad")
    (tmp_path / "blurb").mkdir()
    (tmp_path / "gad").mkdir()
    assert card.find_folder(data_folder(tmp_path)) == tmp_path / "gad"
    (tmp_path / "blurb" / "GAD").mkdir()
    assert card.find_folder(data_folder(tmp_path)) == tmp_path / "blurb" / "GAD"


def test_every_command_takes_a_folder_of_data_through_the_same_function() -> None:
    reading = re.compile(r"(environ|getenv)\W.*KEBENCH_DATA")  # what data_folder does, and nobody else
    modules = Path(kebench.cli.__file__).parents[1].rglob("*.py")
    assert [path.name for path in modules if reading.search(path.read_text())] == ["card.py"]
