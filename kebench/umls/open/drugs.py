"""A folder of drug indications in the form of PharmacotherapyDB's catalog -> a vocabulary.

drugs.tsv        drugbank_id, drug
diseases.tsv     doid_id, disease
indications.tsv  doid_id, drugbank_id, category: DM (disease modifying), SYM (symptomatic), NOT

DM is may_treat, as UMLS has it from MED-RT. SYM is may_palliate, for which UMLS has no name: it relieves
symptoms and leaves the disease. NOT says that a drug is no indication, and is left out. Diseases are
joined by their DOID, drugs by name.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from kebench.errors import UserError
from kebench.umls.open.ids import prefix_of, read_id
from kebench.umls.open.terms import Term, Triple, Vocabulary, clean_name, source_file
from kebench.umls.open.tsv import read_rows

RELATION_OF_CATEGORY = {"DM": "may_treat", "SYM": "may_palliate", "NOT": ""}
FILES = ("drugs.tsv", "diseases.tsv", "indications.tsv")
NAMED_DRUGS = ("MESH", "CHEBI")  # where a drug is looked for by name, in this order


def is_indications_folder(folder: Path) -> bool:
    """Say whether a folder holds the three tables, by their names and the columns of the third."""
    if not all((folder / name).is_file() for name in FILES):
        return False
    with (folder / "indications.tsv").open(encoding="utf-8", errors="replace") as file:
        columns = file.readline().rstrip("\r\n").split("\t")
    return {"doid_id", "drugbank_id", "category"} <= set(columns)


def read_indications(folder: Path) -> Vocabulary:
    """Return drugs, diseases, and which may treat or palliate which."""
    terms = [
        Term(_id(row[id_column], where), clean_name(row[kind]))
        for kind, id_column in (("drug", "drugbank_id"), ("disease", "doid_id"))
        for where, row in read_rows(folder / f"{kind}s.tsv", (id_column, kind))
    ]
    triples = []
    for where, row in read_rows(folder / "indications.tsv", ("doid_id", "drugbank_id", "category")):
        if row["category"] not in RELATION_OF_CATEGORY:
            raise UserError(
                f"{where}: category '{row['category']}'; expected one of {', '.join(RELATION_OF_CATEGORY)}"
            )
        if relation := RELATION_OF_CATEGORY[row["category"]]:
            drug, disease = _id(row["drugbank_id"], where), _id(row["doid_id"], where)
            triples.append(Triple(drug, relation, disease, line=int(where.rpartition(" ")[2])))
    return Vocabulary(
        name="PHARMACOTHERAPYDB",
        title="Drugs and the diseases they may treat or palliate",
        files=tuple(source_file(folder / name) for name in FILES),
        terms=terms,
        triples=triples,
        licence="original content CC0; its sources' terms apply (DrugBank, MEDI, PREDICT: non-commercial)",
        homepage="https://github.com/dhimmel/indications",
        citation="Himmelstein et al. 2017, Systematic integration of biomedical knowledge, eLife",
        strict=True,
        drugs_by_name=True,
    )


def _id(text: str, where: str) -> str:
    if not (drug_or_disease := read_id(text)):
        raise UserError(f"{where}: '{text}' is no id; expected one like DB01048 or DOID:10652")
    return drug_or_disease


def normal_form(name: str) -> str:
    """Return a name in lower case, with one space for all that is between letters and digits."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def drugs_by_name(drugs: Iterable[Term], terms: Iterable[Term]) -> list[tuple[str, str]]:
    """Return pairs (drug, term of the same name), looked for in MeSH, then in ChEBI.

    In each, first among the preferred names, then among the synonyms; a name of several terms gives nothing
    there.
    """
    wanted = {term.id: normal_form(term.name) for term in drugs if prefix_of(term.id) == "DRUGBANK"}
    names = set(wanted.values())
    owners: dict[tuple[str, bool, str], set[str]] = defaultdict(set)
    for term in terms:
        if (prefix := prefix_of(term.id)) in NAMED_DRUGS and not term.is_obsolete:
            for place, name in enumerate([term.name, *(synonym.name for synonym in term.synonyms)]):
                if (form := normal_form(name)) in names:
                    owners[prefix, place == 0, form].add(term.id)
    found = []
    for drug, form in wanted.items():
        places = [
            owners[prefix, is_preferred, form] for prefix in NAMED_DRUGS for is_preferred in (True, False)
        ]
        if owner := next((ids for ids in places if len(ids) == 1), None):
            found.append((drug, next(iter(owner))))
    return found
