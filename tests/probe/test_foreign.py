"""Sets that come in from elsewhere: BioLAMA's lines and prompts, tables of queries and answers."""

import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import pytest

from kebench.errors import UserError
from kebench.probe.foreign import import_set
from kebench.probe.index import export_ids
from kebench.probe.query_set import QuerySet

LINE: dict[str, Any] = {
    "uuid": "C1-UR50",
    "predicate_id": "UR50",
    "sub_uri": "C1",
    "sub_label": "Propranolol",
    "sub_type": ["Organic Chemical"],
    "sub_aliases": ["Inderal"],
    "obj_uris": ["C2", "C3"],
    "obj_labels": ["Essential Tremor", "Migraine, NOS"],
    "obj_types": [[], []],
    "obj_aliases": [["tremor, essential"], []],
}
PROMPT = {"relation": "UR50", "template": "[X] may treat [Y] ."}


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def imported(tmp_path: Path, *lines: dict[str, Any], prompt: dict[str, Any] | None = None) -> QuerySet:
    triples = write_lines(tmp_path / "test.jsonl", *lines)
    prompts = write_lines(tmp_path / "manual.jsonl", PROMPT if prompt is None else prompt)
    import_set([triples], tmp_path / "set", prompts=prompts)
    return QuerySet.open(tmp_path / "set")


def imported_table(tmp_path: Path, text: str) -> QuerySet:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    import_set([tmp_path / "mine.csv"], tmp_path / "set")
    return QuerySet.open(tmp_path / "set")


def test_a_line_of_biolama_is_a_query_with_labels_and_aliases(tmp_path: Path) -> None:
    query_set = imported(tmp_path, LINE)
    assert query_set.table().to_pylist() == [
        {
            "query_id": 0,
            "text": "Propranolol may treat [MASK] .",
            "relation": "UR50",
            "direction": "tail",
            "given": ["C1"],
            "luis": [""],
            "answers": [
                {
                    "cui": "C2",
                    "name": "Essential Tremor",
                    "names": ["essential tremor", "tremor essential"],
                    "semantic_types": [],
                },
                {"cui": "C3", "name": "Migraine, NOS", "names": ["migraine"], "semantic_types": []},
            ],
            "is_type_1": False,
            "is_type_1_released": False,
        }
    ]
    assert query_set.manifest.mode == "fixed"
    assert query_set.manifest.knowledge_base is None
    assert [file.name for file in query_set.manifest.inputs] == ["test.jsonl", "manual.jsonl"]


def test_the_columns_are_those_of_a_set_of_our_own(tmp_path: Path, mini_sets: dict[str, QuerySet]) -> None:
    assert imported(tmp_path, LINE).table().schema.equals(mini_sets["fixed"].table().schema)


def test_lines_of_one_text_are_one_query_with_the_answers_of_all(tmp_path: Path) -> None:
    other = LINE | {"sub_uri": "C9", "obj_uris": ["C3", "C4"], "obj_labels": ["migraine attack", "Gout"]}
    (row,) = imported(tmp_path, LINE, other | {"obj_aliases": [[], []]}).table().to_pylist()
    assert row["given"] == ["C1", "C9"]
    names = {answer["cui"]: answer["names"] for answer in row["answers"]}
    assert names == {
        "C2": ["essential tremor", "tremor essential"],
        "C3": ["migraine", "migraine attack"],
        "C4": ["gout"],
    }


def test_a_line_may_have_its_own_prompt(tmp_path: Path) -> None:
    triples = write_lines(tmp_path / "own.jsonl", LINE | {"prompt": "[Y] is treated with [X]."})
    import_set([triples], tmp_path / "set")
    assert QuerySet.open(tmp_path / "set").table(["text"])["text"].to_pylist() == [
        "[MASK] is treated with Propranolol."
    ]


def test_a_table_has_queries_answers_and_if_wanted_relations(tmp_path: Path) -> None:
    text = "query,answers,relation\nGout is an [MASK].,arthritis|Joint Disease,isa\nA [Y] is a [x],tremor,\n"
    rows = imported_table(tmp_path, text).table().to_pylist()
    assert [(row["text"], row["relation"], row["given"]) for row in rows] == [
        ("Gout is an [MASK].", "isa", []),
        ("A [MASK] is a [x]", "query", []),
    ]
    assert [answer["names"] for answer in rows[0]["answers"]] == [["joint disease"], ["arthritis"]]
    assert [answer["cui"] for answer in rows[0]["answers"]] == ["Joint Disease", "arthritis"]


def test_type_1_of_a_table(tmp_path: Path) -> None:
    text = "query,answers\nacute gout is a [MASK] of toes.,gout\nmegout is [MASK].,gout\n"
    rows = imported_table(tmp_path, text).table(["is_type_1", "is_type_1_released"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [(True, True), (False, True)]


def test_the_same_import_does_nothing_and_another_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        imported(tmp_path, LINE)
    assert "holds this very set of queries already; nothing to do" in caplog.text
    with pytest.raises(UserError, match=r"holds another set of queries \(set, 1 queries\)"):
        imported(tmp_path, LINE | {"sub_label": "Inderal"})


def test_identifiers_do_not_give_an_imported_set_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not made of a knowledge base, so identifiers do not give it back"):
        export_ids(imported(tmp_path, LINE), tmp_path / "ids.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sub_label": ""}, "sub_label is missing or no text; mend this line"),
        ({"predicate_id": 3}, "predicate_id is missing or no text; mend this line"),
        ({"predicate_id": "UR1"}, "no prompt for the relation UR1; name a file that has one with --prompts"),
        ({"obj_labels": []}, "obj_labels is no list of names; mend this line"),
        ({"obj_labels": "gout"}, "obj_labels is no list of names; mend this line"),
        (
            {"obj_aliases": [[]]},
            "obj_uris and obj_aliases do not fit the 2 obj_labels; mend this line",
        ),
        ({"sub_label": "a [MASK]"}, "'a [MASK]' holds [MASK]; remove this line"),
        (
            {"prompt": "[X] treats"},
            "template '[X] treats', expected [X] and one [Y]; mend this line",
        ),
        ({"prompt": "it treats [Y]"}, "template 'it treats [Y]', expected [X] and one [Y]; mend this line"),
        ({"sub_uri": 7}, "sub_uri is missing or no text; mend this line"),
        ({"obj_aliases": 5}, "obj_uris and obj_aliases do not fit the 2 obj_labels; mend this line"),
        ({"obj_uris": 7}, "obj_uris and obj_aliases do not fit the 2 obj_labels; mend this line"),
        (
            {"sub_label": "\ud800"},
            "not JSON (half a surrogate pair, which is no character); mend this line",
        ),
        ({"obj_labels": ["a", "\x00"]}, "'\\x00' holds '\\x00', which is no text; mend this line"),
        ({"prompt": "[X] \x1b[Y]"}, "'[X] \\x1b[Y]' holds '\\x1b', which is no text; mend this line"),
    ],
)
def test_a_bad_line_is_one_line_of_error(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        imported(tmp_path, LINE, LINE | changes)
    assert str(caught.value) == f"{tmp_path / 'test.jsonl'} line 2: {message}"
    assert not (tmp_path / "set").exists()


def test_a_prompt_without_its_places_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        imported(tmp_path, LINE, prompt={"relation": "UR50", "template": "[X] may treat"})
    assert str(caught.value) == (
        f"{tmp_path / 'manual.jsonl'} line 1: template '[X] may treat', expected [X] and one [Y]; "
        "mend this line"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "text,answers\n",
            " line 1: no column query in 'text,answers'; expected query,answers[,relation] or a question of "
            "MMLU",
        ),
        ("", ": empty; expected query,answers[,relation] or a question of MMLU in line 1"),
        ("query,answers\n", ": no query in it; check the files"),
        ("query,answers\nGout is,x\n", " line 2: 'Gout is' does not hold [MASK] or [Y] once; mend this line"),
        (
            "query,answers\n[MASK] [MASK],x\n",
            " line 2: '[MASK] [MASK]' does not hold [MASK] or [Y] once; mend",
        ),
        ("query,answers\na [MASK],x|\n", " line 2: an empty answer; mend this line"),
        (
            "query,answers\na [MASK],x\x1b\n",
            " line 2: 'x\\x1b' holds '\\x1b', which is no text; mend this line",
        ),
        ("query,answers\na [MASK]\n", " line 2: not as many columns as in line 1; mend this line"),
    ],
)
def test_a_bad_table_is_one_line_of_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        imported_table(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.csv'}{message}")


def test_a_line_without_an_identifier_of_its_subject_gives_none(tmp_path: Path) -> None:
    assert imported(tmp_path, LINE | {"sub_uri": None}).table(["given"])["given"].to_pylist() == [[]]


def test_a_prompt_that_holds_a_control_character_is_refused_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manual\.jsonl line 1: '\[X\].* holds '.x07', which is no text"):
        imported(tmp_path, LINE, prompt=PROMPT | {"template": "[X] \x07 [Y]"})


def test_what_is_no_json_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n{\n")
    with pytest.raises(UserError, match=r"a\.jsonl line 1: predicate_id is missing"):
        import_set([tmp_path / "a.jsonl"], tmp_path / "set")
    (tmp_path / "b.jsonl").write_text("\n{\n")
    with pytest.raises(UserError, match=r"b\.jsonl line 2: not JSON \(.*\); mend this line"):
        import_set([tmp_path / "b.jsonl"], tmp_path / "set")
    (tmp_path / "c.tsv").write_text("")
    with pytest.raises(UserError, match=r"c\.tsv: expected .*; save it with commas, as \.csv"):
        import_set([tmp_path / "c.tsv"], tmp_path / "set")
    (tmp_path / "d.csv").write_text("query,answers\na [MASK],x\n")
    with pytest.raises(UserError, match=r"a\.jsonl: prompts are for \.jsonl; .* leave --prompts out"):
        import_set([tmp_path / "d.csv"], tmp_path / "set", prompts=tmp_path / "a.jsonl")
    with pytest.raises(
        UserError, match=r"d\.csv: a file, expected a set's folder; 'kebench probe import' makes"
    ):
        QuerySet.open(tmp_path / "d.csv")
    (tmp_path / "c.txt").write_text("")
    with pytest.raises(UserError, match=r"c\.txt: expected \.jsonl \(BioLAMA's triples\) or \.csv"):
        import_set([tmp_path / "c.txt"], tmp_path / "set")


FACT = {"predicate_id": "P19", "sub_uri": "Q1", "sub_label": "a", "obj_uri": "Q2", "obj_label": "b"}
STATEMENT = {"sub_id": "Q1", "sub_label": "a", "sub_aliases": [], "obj_id": "Q2", "obj_label": "b"}
FOREIGN = {
    "P19.jsonl": (
        STATEMENT | {"answer_idx": 0},
        r"a relation of BEAR \(lm-pub-quiz\): 'kebench probe import FILE --out SET'",
    ),
    "big.jsonl": (STATEMENT, r"a relation of BEAR"),
    "metadata_relations.json": (
        {"P6": {"templates": ["[X] is [Y]."]}},
        r"BEAR's templates and answer spaces \(lm-pub-quiz\): 'kebench probe import FOLDER",
    ),
    "relation_info.json": (
        {"P6": {"domains": ["Political"]}},
        "BEAR's domains of relations .*, which no set needs",
    ),
    "bear_lite_indices.json": (
        '{\n    "P6": [\n        4\n    ]\n}',
        "BEAR-lite's choice .*, which no set needs",
    ),
    "all_entities.json": ({}, "BEAR's entities .*, which no set needs"),
    "trex.jsonl": (
        FACT | {"evidences": []},
        "facts of LAMA, .* the list obj_labels, and name LAMA's relations",
    ),
    "squad.jsonl": (
        {"masked_sentences": ["a [MASK]."], "obj_label": "b"},
        "masked sentences of LAMA .* columns query",
    ),
    "prompts.jsonl": (
        {"relation": "P19", "template": "[X] in [Y] ."},
        "prompts, .*: name the file with --prompts",
    ),
    "may_treat_1000.csv": (
        "head_cui,head_name,rel,tail_names,tail_cuis",
        "a relation of MedLAMA: 'kebench probe import FILE --prompts prompts.csv",
    ),
    "prompts.csv": ("pid,default_prompt,human_prompt", "MedLAMA's prompts, .*: name the file with --prompts"),
    "ids.csv": (
        "cui,lui,relation,direction",
        "a set as identifiers only: 'kebench probe build KB --index FILE'",
    ),
    "build_index.csv": ("lui,relation,order", "a set as identifiers only"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_probe_is_named_as_what_it_is(name: str, tmp_path: Path) -> None:
    first, message = FOREIGN[name]
    path = tmp_path / name
    path.write_text((first if isinstance(first, str) else json.dumps(first)) + "\n")
    refusals = [lambda: QuerySet.open(path), lambda: import_set([path], tmp_path / "set")]
    for refused in refusals[: 1 if "kebench probe import FILE" in message or name == "big.jsonl" else 2]:
        with pytest.raises(UserError, match=rf"{name}: this looks like {message}") as caught:
            refused()
        assert "mend" not in str(caught.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip", "a.jsonl", "a.csv", "BEAR.tar.gz"]
)
def test_an_archive_is_to_be_unpacked(name: str, tmp_path: Path) -> None:
    path, form = tmp_path / name, Path(name).suffix.removeprefix(".")
    (tmp_path / "x.csv").write_text("query,answers\n")
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "x.csv")
    else:
        modes: dict[str, Literal["w:", "w:gz", "w:xz", "w:bz2"]] = {"tar": "w:", "xz": "w:xz", "bz2": "w:bz2"}
        with tarfile.open(path, modes.get(form, "w:gz")) as packed:
            packed.add(tmp_path / "x.csv")
    what = "an archive or a compressed file: unpack it first, .* in it"
    what += r", or its folder\. By its name it is of BEAR \(lm-pub-quiz\): " if name[0] == "B" else "$"
    for refused in (lambda: import_set([path], tmp_path / "set"), lambda: QuerySet.open(path)):
        with pytest.raises(UserError, match=f"{name}: this looks like {what}") as caught:
            refused()
        assert "rename" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.txt", "write its queries as one of them"),
        ("a.json", "write its"),
        ("a.tsv", "save it with commas, as .csv"),
    ],
)
def test_another_ending_is_refused_and_not_to_be_renamed(name: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("query\tanswers\n")
    with pytest.raises(UserError, match=rf"expected \.jsonl .* or \.csv .*; {remedy}") as caught:
        import_set([tmp_path / name], tmp_path / "set")
    assert "rename" not in str(caught.value)


def test_the_folder_of_another_probe_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "metadata_relations.json").write_text("{}")
    with pytest.raises(
        UserError, match=r"this looks like BEAR \(lm-pub-quiz\): 'kebench probe import FOLDER"
    ):
        QuerySet.open(tmp_path)
    with pytest.raises(UserError, match=r"metadata_relations\.json, and no relation \(P6\.jsonl\) beside it"):
        import_set([tmp_path], tmp_path / "set")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match=r"a folder; name the files in it, \.jsonl or \.csv"):
        import_set([tmp_path / "other"], tmp_path / "set")


def test_facts_of_lama_are_imported_as_the_message_says(tmp_path: Path) -> None:
    line = FACT | {"obj_labels": [FACT["obj_label"]]}
    (tmp_path / "P19.jsonl").write_text(json.dumps(line) + "\n")
    prompt = {
        "relation": "P19",
        "template": "[X] was born in [Y] .",
        "label": "place of birth",
        "type": "N-1",
    }
    (tmp_path / "relations.jsonl").write_text(json.dumps(prompt) + "\n")
    import_set([tmp_path / "P19.jsonl"], tmp_path / "set", prompts=tmp_path / "relations.jsonl")
    (row,) = QuerySet.open(tmp_path / "set").table(["text", "answers"]).to_pylist()
    assert (row["text"], [answer["names"] for answer in row["answers"]]) == (
        "a was born in [MASK] .",
        [["b"]],
    )


@pytest.mark.realdata
def test_bear_comes_in_whole_with_its_answer_spaces(real_data: Path, tmp_path: Path) -> None:
    with tarfile.open(real_data / "probe" / "bear" / "BEAR.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    import_set([tmp_path / "BEAR"], tmp_path / "set")
    query_set = QuerySet.open(tmp_path / "set")
    assert (len(query_set), len(query_set.manifest.by_relation)) == (7731, 60)
    metadata = json.loads((tmp_path / "BEAR" / "metadata_relations.json").read_text())
    candidates: dict[int, list[dict[str, Any]]] = {}
    for row in query_set.candidates().to_pylist():
        candidates.setdefault(row["pool_id"], []).append(row)
    for pool in candidates.values():
        space = metadata[pool[0]["relation"]]
        assert [row["cui"] for row in pool] == space["answer_space_ids"]
        assert [row["name"] for row in pool] == space["answer_space_labels"]
        assert list(query_set.wordings(pool[0]["relation"]).statements) == space["templates"]
    gold = {
        (path.stem, line["sub_label"]): line["answer_idx"]
        for path in (tmp_path / "BEAR").glob("P*.jsonl")
        for line in map(json.loads, path.read_text().splitlines())
    }
    relation_of = {pool_id: pool[0]["relation"] for pool_id, pool in candidates.items()}
    asked = query_set.asked().to_pylist()
    assert {(relation_of[row["pool_id"]], row["subject"]): row["true_places"] for row in asked} == {
        key: [place] for key, place in gold.items()
    }
    assert len(asked) == len(gold) == 7731
    import_set([tmp_path / "BEAR-big"], tmp_path / "big")
    big = QuerySet.open(tmp_path / "big").manifest
    assert (big.counts["queries"], len(big.by_relation), big.counts["left_out"]) == (
        40_914,
        78,
        {"empty_name": 1},
    )
    beside = real_data / "probe" / "bear"
    for name in ("BEAR.tar.gz", "relation_info.json", "bear_lite_indices.json"):
        with pytest.raises(UserError, match=r"this looks like .*BEAR"):
            import_set([beside / name], tmp_path / "other")


BEAR = {"sub_id": "Q1", "sub_label": "France", "obj_id": "Q9", "obj_label": "Paris", "answer_idx": 1}
SPACE = {
    "templates": ["The capital of [X] is [Y].", "[Y] is the capital of [X]."],
    "answer_space_labels": ["Rome", "Paris", "Bern", "Oslo", "Riga"],
    "answer_space_ids": ["Q5", "Q9", "Q3", "Q2", "Q7"],
}


def bear_folder(folder: Path, *lines: dict[str, Any], space: Any = SPACE) -> Path:
    folder.mkdir()
    (folder / "metadata_relations.json").write_text(json.dumps({"P36": space}))
    write_lines(folder / "P36.jsonl", *lines)
    return folder


def test_a_relation_of_bear_has_its_answer_space_and_all_its_templates(tmp_path: Path) -> None:
    folder = bear_folder(tmp_path / "BEAR", BEAR, BEAR | {"sub_id": "Q4", "sub_label": "Riga "})
    for path, out in ((folder, "set"), (folder / "P36.jsonl", "again")):
        import_set([path], tmp_path / out)
    query_set, again = (QuerySet.open(tmp_path / out) for out in ("set", "again"))
    assert again.manifest.content_hash == query_set.manifest.content_hash
    assert query_set.table(["text"])["text"].to_pylist()[0] == "The capital of France is [MASK]."
    assert query_set.candidates()["name"].to_pylist() == SPACE["answer_space_labels"]
    asked = query_set.asked().to_pylist()
    # Names stand as the file has them, blanks included; that of the subject is no distractor.
    assert [(row["subject"], row["true_places"], row["subject_places"]) for row in asked] == [
        ("France", [1], []),
        ("Riga ", [1], [4]),
    ]
    assert asked[1]["flags"] == ["names_subject"]
    assert query_set.wordings("P36").statements == tuple(SPACE["templates"])
    assert query_set.shots().num_rows == 0


def test_without_an_answer_space_candidates_are_the_answers_of_the_file(tmp_path: Path) -> None:
    lines = [
        BEAR | {"sub_label": f"land {n}", "obj_id": f"Q{n % 6}", "obj_label": f"town {n % 6}"}
        for n in range(9)
    ]
    folder = bear_folder(tmp_path / "big", *lines, space={"templates": SPACE["templates"]})
    import_set([folder], tmp_path / "set")
    candidates = QuerySet.open(tmp_path / "set").candidates()
    assert candidates["cui"].to_pylist() == [f"Q{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("changes", "space", "message"),
    [
        ({"answer_idx": 0}, SPACE, "P36.jsonl line 1: obj_id 'Q9' is not its answer_idx of"),
        ({"obj_id": "Q10"}, SPACE, "P36.jsonl line 1: obj_id 'Q10' is not its answer_idx of"),
        ({"sub_label": 3}, SPACE, "P36.jsonl line 1: sub_label is missing or no text; mend this line"),
        ({}, 5, "metadata_relations.json: P36: no templates; put the metadata of"),
        ({}, SPACE | {"templates": ["[X] is"]}, "template '[X] is', expected [X] and one [Y]"),
        (
            {},
            SPACE | {"answer_space_ids": ["Q5"]},
            "answer_space_labels and answer_space_ids do not fit; fetch it again",
        ),
    ],
)
def test_a_bad_folder_of_bear_is_one_line_of_error(
    changes: dict[str, Any], space: Any, message: str, tmp_path: Path
) -> None:
    folder = bear_folder(tmp_path / "BEAR", BEAR | changes, space=space)
    with pytest.raises(UserError) as caught:
        import_set([folder], tmp_path / "set")
    assert message in str(caught.value)
    assert not (tmp_path / "set").exists()


MEDLAMA = "head_cui,head_name,rel,tail_names,tail_cuis\n"
DRUGS = (
    "C1,imatinib,may_treat,Leukemia || Gout,C11 || C12\n"
    "C2,colchicine,may_treat,Gout,C12\n"
    "C3,insulin,may_treat,Diabetes,C13\nC4,ASA,may_treat,Pain || Fever,C14 || C15\n"
)
PROMPTS = "pid,default_prompt,human_prompt\nmay_treat,[X] may treat  [Y] .,[X] might treat [Y] .\n"


def medlama_folder(folder: Path, rows: str = DRUGS, prompts: str = PROMPTS) -> Path:
    (folder / "2021AA").mkdir(parents=True)
    (folder / "prompts.csv").write_text(prompts)
    (folder / "2021AA" / "may_treat_1000.csv").write_text(MEDLAMA + rows)
    (folder / "2021AA" / "may_treat_1_hard.csv").write_text(MEDLAMA + "C9,x,may_treat,Rash,C19\n")
    return folder


def test_medlama_comes_in_with_both_prompts_and_a_pool_a_relation(tmp_path: Path) -> None:
    folder = medlama_folder(tmp_path / "medlama")
    hashes = set()
    for number, path in enumerate((folder, folder / "2021AA", folder / "2021AA" / "may_treat_1000.csv")):
        import_set([path], tmp_path / f"{number}")  # the prompts stand beside or above, the hard part is left
        hashes.add(QuerySet.open(tmp_path / f"{number}").manifest.content_hash)
    assert len(hashes) == 1
    query_set = QuerySet.open(tmp_path / "0")
    (row, *_) = query_set.table().to_pylist()
    assert (row["text"], row["given"]) == ("imatinib might treat [MASK] .", ["C1"])
    assert [answer["cui"] for answer in row["answers"]] == ["C11", "C12"]
    assert query_set.wordings("may_treat").statements == ("[X] might treat [Y] .", "[X] may treat [Y] .")
    names = dict(zip(*query_set.candidates().select(["cui", "name"]).to_pydict().values(), strict=True))
    assert names == {"C11": "Leukemia", "C12": "Gout", "C13": "Diabetes", "C14": "Pain", "C15": "Fever"}
    import_set([folder / "2021AA" / "may_treat_1_hard.csv"], tmp_path / "hard")
    assert len(QuerySet.open(tmp_path / "hard")) == 1


@pytest.mark.parametrize(
    ("rows", "prompts", "message"),
    [
        (
            "C1,a,may_treat,Gout || Pain,C1\n",
            PROMPTS,
            "line 2: tail names and tail CUIs do not fit; mend this line",
        ),
        ("C1,,may_treat,Gout,C1\n", PROMPTS, "line 2: head_name '' is no name; remove this line"),
        ("C1,a,may_cure,Gout,C1\n", PROMPTS, "line 2: no prompt for the relation may_cure in"),
        (DRUGS, "pid,human_prompt\nmay_treat,[X] treats\n", "line 2: template '[X] treats', expected [X]"),
        (DRUGS, "pid\nmay_treat\n", "prompts.csv line 1: no column human_prompt in 'pid'"),
    ],
)
def test_a_bad_folder_of_medlama_is_one_line_of_error(
    rows: str, prompts: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        import_set([medlama_folder(tmp_path / "medlama", rows, prompts)], tmp_path / "set")
    assert message in str(caught.value)


def test_files_of_several_benchmarks_and_prompts_of_none_are_refused(tmp_path: Path) -> None:
    medlama, bear = medlama_folder(tmp_path / "medlama"), bear_folder(tmp_path / "BEAR", BEAR)
    with pytest.raises(UserError, match="of several benchmarks; import each into its own set"):
        import_set([medlama, bear], tmp_path / "set")
    with pytest.raises(UserError, match="BEAR has templates of its own, so leave --prompts out"):
        import_set([bear], tmp_path / "set", prompts=medlama / "prompts.csv")
    (medlama / "prompts.csv").unlink()
    with pytest.raises(UserError, match=r"no prompts\.csv beside it or above; name MedLAMA's with --prompts"):
        import_set([medlama], tmp_path / "set")
    (bear / "metadata_relations.json").unlink()
    with pytest.raises(
        UserError, match=r"a relation of BEAR without metadata_relations\.json beside it; put it"
    ):
        import_set([bear / "P36.jsonl"], tmp_path / "set")


def test_biolama_and_tables_have_pools_of_the_answers_of_each_relation(tmp_path: Path) -> None:
    labels = ["Essential Tremor", "Migraine, NOS", "Gout", "Pain", "Fever", "fever"]
    lines = [
        LINE | {"sub_label": f"drug {n}", "obj_uris": [f"C{n}"], "obj_labels": [label], "obj_aliases": [[]]}
        for n, label in enumerate(labels)
    ]
    query_set = imported(tmp_path, *lines)
    # Two of one normal form are one candidate, and either answer is true there.
    candidates = query_set.candidates().to_pylist()
    assert sorted(row["cuis"] for row in candidates) == [["C0"], ["C1"], ["C2"], ["C3"], ["C4", "C5"]]
    assert {row["num_triples"] for row in candidates} == {None}
    (place,) = [row["place"] for row in candidates if row["cuis"] == ["C4", "C5"]]
    asked = query_set.asked().to_pylist()
    assert [row["true_places"] for row in asked[-2:]] == [[place], [place]]
    assert query_set.wordings("UR50").statements == ("[X] may treat [Y] .",)
    assert query_set.pools is not None
    (of,) = query_set.pools.by_relation["UR50"].values()
    assert (of.answers, of.reached, of.merged, of.taken_from) == (6, 5, 1, "relation")
    # Four answers are too few, and each query of a table has its own text.
    table = imported_table(tmp_path / "table", "query,answers\na is [MASK].,b|c|d|e\nf is [MASK].,b\n")
    assert table.pools is not None
    assert (table.candidates().num_rows, table.asked().num_rows) == (0, 0)
    assert table.pools.not_ranked["pool_too_small"] == 2
    assert table.wordings("query").statements == ()


def test_a_relation_whose_lines_have_several_prompts_has_no_statement(tmp_path: Path) -> None:
    other = LINE | {"sub_label": "Inderal", "prompt": "[Y] is treated with [X]."}
    assert imported(tmp_path, LINE, other).wordings("UR50").statements == ()


def test_answers_that_are_compared_as_one_are_one(tmp_path: Path) -> None:
    text = "query,answers\nsalts give [MASK].,Iron (II)|iron(II)|iron (III)\nferrous is [MASK].,IRON (II)\n"
    found = imported_table(tmp_path, text)
    rows = found.table(["answers"])["answers"].to_pylist()
    assert [[(one["cui"], one["names"]) for one in row] for row in rows] == [
        [("Iron (II)", ["iron (ii)", "iron(ii)"]), ("iron (III)", ["iron (iii)"])],
        [("Iron (II)", ["iron (ii)"])],
    ]
    counts = found.manifest.counts
    assert (counts["answers"], counts["names"], counts["ambiguous_names"]) == (3, 2, 0)


def test_names_of_several_answers_are_counted(tmp_path: Path) -> None:
    # Two identifiers called cold; the first query accepts both, the second only one of them.
    lines = [
        LINE
        | {
            "sub_label": "a",
            "obj_uris": ["C1", "C2"],
            "obj_labels": ["Cold (disorder)", "Cold"],
            "obj_aliases": [[], []],
        },
        LINE
        | {
            "sub_label": "b",
            "obj_uris": ["C1"],
            "obj_labels": ["Cold (disorder)"],
            "obj_aliases": [["Chill"]],
        },
    ]
    counts = imported(tmp_path, *lines).manifest.counts
    assert (counts["names"], counts["ambiguous_names"], counts["ambiguous_share"]) == (2, 1, 0.5)
    assert counts["queries_with_ambiguous_names"] == 1
