"""Normal forms of names, under which a name of a text finds the concepts that bear it.

A form is an SQL expression, so that fifteen million names take seconds; `normalise` runs the same expression
on a list.

released: what the code released with KeBioLM does when it reads MRCONSO (docs/FIDELITY.md, Knowledge base).
fixed: what we stand behind. Chemical names keep their brackets, since "(R)-" tells two substances apart; only
a
    qualifier at the end goes, "cold (disorder)", "[X]" in front, and NOS; commas, semicolons, colons and all
    dashes are blanks; "'s" goes, since the same disease is written with and without.
"""

from collections.abc import Callable, Sequence

import duckdb

from kebench.errors import UserError

# What Python's str.split() takes for white space; RE2's \s knows only ASCII. All of it, and all but the
# blank.
_ODD_SPACE = (
    r"\x09-\x0d\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
_DASHES_AND_STOPS = r"\-\x{2010}-\x{2015}\x{2212},;:"


# A name that none of these occurs in needs no step of ours but lower case and blanks; 97 in 100 do not.
_QUALIFIED = r"^\[|[\])]$|[''’]s| nos$"
_QUALIFIERS = (
    r"^\[[a-z]{1,3}\]\s*",  # [X]Asthma, [D]Fever: marks of the Read codes
    r"(\s+(\([^()\[\]]*\)|\[[^()\[\]]*\]))+$",  # cold (disorder), Insulin [Chemical]
    r"[,\s]+nos$",
    r"[''’]s\b",  # Crohn's disease
)


def released_form(name: str) -> str:
    """Return SQL for the released code's form of a name: lower case, without NOS, round brackets and hyphens.

    Bracketed text goes wherever it stands, chemical names included, and NOS only where blanks surround it.
    """
    # Python lower-cases U+0130 to two characters, DuckDB to one.
    padded = f"concat(' ', lower(replace({name}, 'İ', 'i\u0307')), ' ')"
    without_nos = f"replace({padded}, ' nos ', ' ')"
    without_brackets = f"regexp_replace({without_nos}, '\\(.*?\\)', '', 'g')"
    unbracketed = f"CASE WHEN contains({name}, '(') THEN {without_brackets} ELSE {without_nos} END"
    return _single_blanks(f"replace({unbracketed}, '-', ' ')")


def fixed_form(name: str) -> str:
    """Return SQL for our form of a name."""
    whole = f"lower(nfc_normalize({name}))"
    bare = whole
    for qualifier in _QUALIFIERS:
        bare = f"regexp_replace({bare}, '{qualifier}', '', 'g')"
    bare = f"CASE WHEN regexp_matches({whole}, '{_QUALIFIED}') THEN {bare} ELSE {whole} END"
    return f"coalesce(nullif({_single_blanks(bare, also=_DASHES_AND_STOPS)}, ''), {_single_blanks(whole)})"


FORMS: dict[str, Callable[[str], str]] = {"fixed": fixed_form, "released": released_form}


def _single_blanks(value: str, *, also: str = "") -> str:
    """Return SQL that makes every run of white space one blank and cuts it off at both ends.

    also: further characters that are taken for white space. The pattern leaves single blanks alone, which are
    most of what there is; that halves the time.
    """
    odd = _ODD_SPACE + also
    return f"trim(regexp_replace({value}, '[ {odd}]{{2,}}|[{odd}]', ' ', 'g'))"


def normalise(names: Sequence[str], *, form: str = "fixed") -> list[str]:
    """Return the normal form of each name, in order.

    form: "fixed" or "released".
    """
    if form not in FORMS:
        raise UserError(f"normal form '{form}': expected one of {', '.join(FORMS)}")
    query = f"SELECT list_transform(?::VARCHAR[], lambda name: {FORMS[form]('name')})"
    with duckdb.connect() as connection:
        found = connection.execute(query, [list(names)]).fetchone()
    assert found is not None, "a SELECT without FROM has one row"
    return list(found[0])
