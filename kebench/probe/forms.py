"""Names in cloze queries: how a query shows one, and the normal form under which an answer is one.

Answers are compared more strictly than the linker does (`kebench.umls.names`): what an annotator writes for a
name may lack much, but of two substances that differ by "(II)" a model is asked for one. So only what says of
which kind or status a name is goes from its ends, by a closed list, and a sign between two numbers stays.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from kebench.umls.database import Connection, connect
from kebench.umls.names import ODD_BLANKS, Step, with_steps

# What stands in brackets at the end of a name and is no part of it. Any other brackets are.
_NOS = "nos"  # not otherwise specified
# Semantic tags of SNOMED CT, some of them retired; MONDO's "(disease)"; the kinds of MEDCIN.
_ROUND = f"""{_NOS}|administration method|assessment scale|attribute|basic dose form|body structure|cell
|cell structure|clinical drug|context-dependent category|core metadata concept|diagnosis|disease|disorder
|disposition|dose form|environment|environment/location|ethnic group|event|finding
|foundation metadata concept|function|geographic location|inactive concept|intended site|life style
|link assertion|linkage concept|medicinal product|medicinal product form|metadata|morphologic abnormality
|namespace concept|navigational concept|observable entity|occupation|organism|owl metadata concept
|packaged clinical drug|person|physical finding|physical force|physical object|procedure|product
|product name|qualifier value|racial group|record artifact|regime/therapy|release characteristic
|religion/philosophy|role|situation|social concept|special concept|specimen|staging scale|state of matter
|substance|supplier|symptom|transformation|tumor staging|unit of presentation"""
# Kinds of NDF-RT and MED-RT; the Disease Ontology's mark of a name that stands under several of its terms.
_SQUARE = f"""{_NOS}|ambiguous|apc|chemical|chemical/ingredient|disease/finding|epc|mechanism of action|moa|pe
|pk|preparations|tc|va class|va product"""
# Lists in which a substance has this name, one or several: Olaquindox [BAN:INN].
_LIST = "(?:ban|dcf|hsdb|inn|jan|usan|usp|usp-rs|vandf|who-dd|who-ip)"
_SQUARE += rf"|{_LIST}(?:\s*[:,]\s*{_LIST})*"


def _spaced(words: str) -> str:
    """Return alternatives as a tokenizer may write them, with blanks around their signs."""
    return words.replace("\n", "").replace("/", r"\s*/\s*").replace("-", r"\s*-\s*")


_MARKS = (
    # Marks of the Read codes: [X]Asthma, [D]Fever; not [Fe] hydrogenase.
    r"^[,;:\s]*(\[\s*(d|m|q|rfc|so|v|x)\s*\]\s*)+",
    # The above, and the numbers that the Metathesaurus gives to a string of several concepts: Cold <1>
    rf"([-,;:\s]+(\(\s*({_spaced(_ROUND)})\s*\)|\[\s*({_spaced(_SQUARE)})\s*\])|[,;:\s]+{_NOS}|\s*<\s*\d+\s*>)+[,;:\s]*$",
)
_MAY_BE_MARKED = rf"regexp_matches({{0}}, '(?i)([)\]>]|{_NOS})[,;: ]*$|^[,;: ]*\[')"
# What is written in several ways: dashes, apostrophes and primes.
_DASHES, _QUOTES = "‐‑‒–—―−", "’‘ʼ′"
_STOPS = ",;:-"  # between two digits they tell names apart: 1,2-x and 12-x
_KEPT = "\ue000\ue001\ue002\ue003\ue004"  # stand for the stops that stay, and a blank, in private use
_RESTORED = f"translate({{0}}, '{_KEPT}', '{_STOPS} ')"
# "NOS" that is no mark: ANB-NOS, and the synthases of nitric oxide.
_END = r"([ ,;:]*(?:$|[(\[<]))"
_OTHER_NOS = {
    rf" ?- ?({_NOS}){_END}": rf"{_KEPT[3]}\1\2",
    rf"\b(neuronal|inducible|endothelial) ({_NOS}){_END}": rf"\1{_KEPT[4]}\2\3",
}


# What stands behind the comma of an inverted name: adjectives by their endings, and a closed list.
_MODIFIER = r"""(?:[\p{L}\d'/-]*(?:al|ic|ous|ive|ary|ory|ar|ed|ent|ant|able|ible|ile|oid|less|linked|onset
|related|forme|genic)|acute|adult|atypical|benign|complex|complete|diffuse|early|female|fetal|human|incomplete
|indirect|late|left|lower|male|mild|mixed|multiple|non-human animal|partial|pure|remote|right|severe|simple
|susceptibility|upper|cat|cattle|chicken|dog|goat|horse|mouse|pig|rabbit|rat|sheep|turkey)"""
_MODIFIER = _MODIFIER.replace("\n", "")
_MODIFIERS = rf"{_MODIFIER}(?: (?:{_MODIFIER}|\d+[a-z]*|[ivx]+|form|types?|variant)){{0,3}}"
_BEHIND_COMMA = (
    rf"(?i)^(?:{_MODIFIERS}|.* (?:to|of|by|with|from|in|for))"  # susceptibility to
    rf"(?:, (?:{_MODIFIERS}|\d+[a-z]*))*$"
)
COMMA = ", "  # with the blank: not that of 2,4-dinitrophenol


def turned(name: str) -> str:
    """Return SQL for a name with its parts between commas in reverse: Leukemia, Myeloid, Acute."""
    return f"array_to_string(list_reverse(string_split({name}, '{COMMA}')), ' ')"


def ends_in_modifier(name: str) -> str:
    """Return SQL for whether all that stands behind a name's first comma says of which kind the rest is.

    By the ending of words, or by a closed list: "Heart Septal Defects, Atrial", "nephritis, dog", "kuru,
    susceptibility to", "deafness, X-linked, 2"; not "Piperacillin, Tazobactam Drug Combination", nor "Carney
    complex, type 1".
    """
    behind, pattern = f"regexp_extract({name}, '^.*?{COMMA}(.*)$', 1)", _BEHIND_COMMA.replace("'", "''")
    return f"regexp_matches({behind}, '{pattern}')"


def _where(condition: str, changed: str, same: str) -> str:
    return f"CASE WHEN {condition} THEN {changed} ELSE {same} END"


def _unmarked(name: str, *, flags: str) -> str:
    """Return SQL for a name without marks at its ends; some of its signs are to be restored."""
    for other, kept in _OTHER_NOS.items():
        name = f"regexp_replace({name}, '{other}', '{kept}', '{flags}')"
    for mark in _MARKS:
        name = f"regexp_replace({name}, '{mark}', '', '{flags}')"
    return name


def shown_form(name: str, *, lower_case: bool) -> list[Step]:
    """Return the steps to a name as a sentence shows it: without marks at its ends, blanks single.

    Commas, hyphens and "'s" stay. A name of which nothing is left stays as it is.
    """
    whole = f"nfc_normalize({name})"
    bare = _RESTORED.format(_unmarked("single", flags="gi"))
    return [
        ("whole", f"lower({whole})" if lower_case else whole),
        ("single", f"trim(regexp_replace(whole, '[ {ODD_BLANKS}]+', ' ', 'g'))"),
        ("bare", f"trim(CASE WHEN {_MAY_BE_MARKED.format('single')} THEN {bare} ELSE single END)"),
        ("form", "coalesce(nullif(bare, ''), single)"),
    ]


def answer_form(name: str) -> list[Step]:
    """Return the steps to the form under which names of answers are compared, and are kept in a set.

    Lower case, NFC; without marks at the ends and without "'s"; commas, semicolons, colons and hyphens are
    blanks, but not between two digits, nor a hyphen that nothing follows: CD4- is not CD4. A name of which
    nothing is left keeps its lower case. The form of a name's form is itself.
    """
    signs, plain = _DASHES + _QUOTES, "-" * len(_DASHES) + "''" * len(_QUOTES)
    straight = f"translate(whole, '{signs}', '{plain}')"
    single = f"regexp_replace({straight}, '[ {ODD_BLANKS}]+', ' ', 'g')"
    hyphens = f"-[ {_STOPS}]*-"
    joined = f"regexp_replace(unmarked, '{hyphens}', '-', 'g')"
    kept = "joined"
    for _ in range(2):  # of 1,2,3 the second comma is seen the second time
        kept = rf"regexp_replace({kept}, '(\d) ?([{_STOPS}]) ?(\d)', '\1\2{_KEPT[4]}\3', 'g')"
    for stop, sign in zip(_STOPS, _KEPT, strict=False):
        kept = f"replace({kept}, '{stop}{_KEPT[4]}', '{sign}')"
    before, behind = r"(^|[(\[/]) ?-", r"- ?($|[)\]/])"  # hyphens that join nothing
    signed = rf"regexp_replace(kept, '{before}', '\1{_KEPT[3]}', 'g')"
    signed = rf"regexp_replace({signed}, '{behind}', '{_KEPT[3]}\1', 'g')"
    spaced = "signed"
    for stop in _STOPS:
        spaced = f"replace({spaced}, '{stop}', ' ')"
    form = _where("contains(restored, '  ')", "regexp_replace(restored, ' +', ' ', 'g')", "restored")
    possessive = r"regexp_replace(single, '(\p{L})''s\b', '\1', 'g')"
    return [
        ("whole", f"trim(lower(nfc_normalize({name})))"),
        ("single", _where(r"regexp_matches(whole, '[^\x20-\x7e]|  ')", f"trim({single})", "whole")),
        ("bare", _where("contains(single, '''s')", possessive, "single")),
        ("unmarked", _where(_MAY_BE_MARKED.format("bare"), _unmarked("bare", flags="g"), "bare")),
        ("joined", _where(f"regexp_matches(unmarked, '{hyphens}')", joined, "unmarked")),
        ("kept", _where(rf"regexp_matches(joined, '\d ?[{_STOPS}] ?\d')", kept, "joined")),
        ("signed", _where(f"regexp_matches(kept, '{before}|{behind}')", signed, "kept")),
        ("spaced", spaced),
        ("restored", _where(f"regexp_matches(spaced, '[{_KEPT}]')", _RESTORED.format("spaced"), "spaced")),
        ("form", f"coalesce(nullif(trim({form}), ''), single)"),
    ]


def key_sql(form: str) -> str:
    """Return SQL for what a form is compared as: without blanks, but for those between two digits.

    A tokenizer writes 5'-nucleotidase as "5 ' - nucleotidase", and type 1 2 is not type 12.
    """
    kept = form
    for _ in range(2):
        kept = rf"regexp_replace({kept}, '(\d) (\d)', '\1{_KEPT[4]}\2', 'g')"
    return f"replace(replace({kept}, ' ', ''), '{_KEPT[4]}', ' ')"


def answer_forms(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return form and key of each name, in order."""
    with connect() as connection:
        connection.register("given", pa.table({"name": pa.array(set(names), pa.string())}))
        formed = with_steps("(SELECT name FROM given)", answer_form("name"))
        found = connection.execute(f"SELECT name, form, {key_sql('form')} FROM {formed}").fetchall()
    of = {name: (form, key) for name, form, key in found}
    return [of[name] for name in names]


def make_keys(connection: Connection, texts: str, tokenizer: Any) -> None:
    """Make the table keyed (text, key): what each text is compared as, among the answers of a model.

    texts: SQL for a table of one column, text. tokenizer: the model's, of the library tokenizers. A key is
    what the tokenizer makes of a form before it cuts it in pieces: an uncased one strips accents, so that its
    model can only write "sjogren".
    """
    formed = with_steps(texts, answer_form("text"))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE formed AS SELECT text, form FROM {formed}")
    found = connection.execute(
        "SELECT DISTINCT form FROM formed WHERE strlen(form) <> length(form) ORDER BY 1"
    )
    odd = [form for (form,) in found.fetchall()]
    normal = odd
    if tokenizer.normalizer is not None:
        # some put a sign of their own where a blank was, and blanks around signs of other scripts
        written = (str(tokenizer.normalizer.normalize_str(form)).replace("▁", " ") for form in odd)
        normal = [" ".join(text.split()) for text in written]
    folded = {"form": pa.array(odd, pa.string()), "folded": pa.array(normal, pa.string())}
    connection.register("folded", pa.table(folded))
    connection.execute(
        f"""CREATE OR REPLACE TABLE keyed AS SELECT text, {key_sql("coalesce(folded, form)")} AS key
        FROM formed LEFT JOIN folded USING (form)"""
    )


def match_keys(texts: Iterable[str], tokenizer: Any) -> list[str]:
    """Return what texts are compared as, in order; see `make_keys`."""
    texts = list(texts)
    with connect() as connection:
        given = {"text": pa.array(texts, pa.string())}
        connection.register("given", pa.table(given))
        make_keys(connection, "(SELECT DISTINCT text FROM given)", tokenizer)
        keys = dict(connection.execute("FROM keyed").fetchall())
    return [keys[text] for text in texts]
