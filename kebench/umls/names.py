"""Normal forms of names, under which a name of a text finds the concepts that bear it.

A form is some steps of SQL, so that fifteen million names take seconds; `normalise` takes the same steps with
a list. Steps that few names need stand behind a cheap test.

released: what the code released with KeBioLM does when it reads MRCONSO (docs/FIDELITY.md, Knowledge base).
fixed: what we stand behind. Chemical names keep their brackets, since "(R)-" tells two substances apart; only
    a qualifier at the end goes, "cold (disorder)", "[X]" in front, and NOS; commas, semicolons, colons and
    all dashes are blanks; "'s" goes, since the same disease is written with and without.
"""

from collections.abc import Callable, Sequence

from kebench.errors import UserError
from kebench.umls.database import connect

Step = tuple[str, str]  # a column, and the SQL that makes it of the columns before
# What Python's str.split() takes for white space but the blank; RE2's \s knows only ASCII.
_ODD_ASCII = r"\x09-\x0d\x1c-\x1f"
_ODD_BEYOND = r"\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
ODD_BLANKS = _ODD_ASCII + _ODD_BEYOND
_DASHES = r"\x{2010}-\x{2015}\x{2212}"
# `_QUALIFIERS` change nothing else.
_MAY_BE_QUALIFIED = """suffix(whole, ')') OR suffix(whole, ']') OR suffix(whole, 'nos')
    OR starts_with(whole, '[') OR contains(whole, '''s') OR contains(whole, '’s')"""
_QUALIFIERS = (
    r"^\[[a-z]{1,3}\]\s*",  # [X]Asthma, [D]Fever: marks of the Read codes
    r"(\s+(\([^()\[\]]*\)|\[[^()\[\]]*\]))+$",  # cold (disorder), Insulin [Chemical]
    r"[,\s]+nos$",
    r"[''’]s\b",  # Crohn's disease
)


def released_form(name: str) -> list[Step]:
    """Return the steps to the released code's form: lower case, without NOS, round brackets and hyphens.

    Bracketed text goes wherever it stands, chemical names included, and NOS only where blanks surround it.
    """
    runs = f"[ {ODD_BLANKS}]{{2,}}|[{ODD_BLANKS}]"
    return [
        # Python lower-cases U+0130 to two characters, DuckDB to one.
        ("padded", f"concat(' ', lower(replace({name}, 'İ', 'i\u0307')), ' ')"),
        ("certain", "replace(padded, ' nos ', ' ')"),
        ("bare", r"if(contains(certain, '('), regexp_replace(certain, '\(.*?\)', '', 'g'), certain)"),
        ("form", f"trim(regexp_replace(replace(bare, '-', ' '), '{runs}', ' ', 'g'))"),
    ]


def fixed_form(name: str) -> list[Step]:
    """Return the steps to our form of a name. A name of which nothing is left keeps its lower case."""
    bare = "whole"
    for qualifier in _QUALIFIERS:
        bare = f"regexp_replace({bare}, '{qualifier}', '', 'g')"
    spaced = "bare"
    for stop in (", ", ",", "-", ";", ":"):
        spaced = f"replace({spaced}, '{stop}', ' ')"
    blanks, runs = rf"[ \t{_ODD_BEYOND}]+", rf"[ \t{_ODD_BEYOND}{_DASHES}]+"
    may_be_odd = "contains(spaced, '  ') OR contains(spaced, chr(9)) OR strlen(spaced) <> length(spaced)"
    return [
        ("whole", f"trim(lower(nfc_normalize({name})))"),
        ("bare", f"CASE WHEN {_MAY_BE_QUALIFIED} THEN {bare} ELSE whole END"),
        ("spaced", spaced),
        ("single", f"CASE WHEN {may_be_odd} THEN regexp_replace(spaced, '{runs}', ' ', 'g') ELSE spaced END"),
        ("form", f"coalesce(nullif(trim(single), ''), trim(regexp_replace(whole, '{blanks}', ' ', 'g')))"),
    ]


FORMS: dict[str, Callable[[str], list[Step]]] = {"fixed": fixed_form, "released": released_form}


def with_form(rows: str, name: str, *, form: str) -> str:
    """Return SQL for some rows with one more column, `form`: the normal form of their column `name`.

    rows: SQL that may stand behind FROM.
    """
    return with_steps(rows, FORMS[form](name))


def with_steps(rows: str, steps: Sequence[Step]) -> str:
    """Return SQL for some rows with the column of the last step, `form`."""
    for column, expression in steps:
        rows = f"(SELECT *, {expression} AS {column} FROM {rows})"
    before = ", ".join(column for column, _ in steps[:-1])
    return f"(SELECT * EXCLUDE ({before}) FROM {rows})"


def normalise(names: Sequence[str], *, form: str = "fixed") -> list[str]:
    """Return the normal form of each name, in order. form: "fixed" or "released"."""
    if form not in FORMS:
        raise UserError(f"normal form '{form}': expected one of {', '.join(FORMS)}")
    asked = "(SELECT unnest($names::VARCHAR[]) AS name, generate_subscripts($names::VARCHAR[], 1) AS place)"
    query = f"SELECT form FROM {with_form(asked, 'name', form=form)} ORDER BY place"
    with connect() as connection:
        return [form for (form,) in connection.execute(query, {"names": list(names)}).fetchall()]
