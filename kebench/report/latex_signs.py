r"""Signs beyond ASCII as LaTeX that any engine sets without a package: Greek, accents, mathematics, quotes.

Gene and chemical names are full of them. What has no place here, such as an emoji, becomes its
number: U+1F600.
"""

import unicodedata

_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩ",
        (
            "alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa",
            "lambda", "mu", "nu", "xi", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "varphi", "chi",
            "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi",
            "Psi", "Omega",
        ),
        strict=True,
    )
)  # fmt: skip
_AS_LATIN = dict(zip("οΑΒΕΖΗΙΚΜΝΟΡΤΧ", "oABEZHIKMNOPTX", strict=True))
_MATHS = {
    "ϑ": r"\vartheta", "ϕ": r"\phi", "ϵ": r"\epsilon", "ϖ": r"\varpi", "ϱ": r"\varrho", "µ": r"\mu",
    "±": r"\pm", "∓": r"\mp", "×": r"\times", "÷": r"\div", "·": r"\cdot", "⋅": r"\cdot", "∙": r"\cdot",
    "−": "-", "∗": r"\ast", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "≅": r"\cong",
    "≡": r"\equiv", "∼": r"\sim", "∝": r"\propto", "∞": r"\infty", "√": r"\surd", "∑": r"\sum",
    "∏": r"\prod", "∫": r"\int", "∂": r"\partial", "∇": r"\nabla", "∆": r"\Delta", "∈": r"\in",
    "∩": r"\cap", "∪": r"\cup", "⊂": r"\subset", "⊃": r"\supset", "∅": r"\emptyset", "∀": r"\forall",
    "∃": r"\exists", "∧": r"\wedge", "∨": r"\vee", "¬": r"\neg", "←": r"\leftarrow", "→": r"\rightarrow",
    "↔": r"\leftrightarrow", "↑": r"\uparrow", "↓": r"\downarrow", "⇒": r"\Rightarrow", "⇐": r"\Leftarrow",
    "⇔": r"\Leftrightarrow", "°": r"^{\circ}", "∘": r"\circ", "′": "'", "″": "''", "‴": "'''",
    "⟨": r"\langle", "⟩": r"\rangle", "⊕": r"\oplus", "⊗": r"\otimes", "⊥": r"\perp", "∠": r"\angle",
    "△": r"\triangle", "▲": r"\triangle", "★": r"\star", "☆": r"\star", "•": r"\bullet", "●": r"\bullet",
    "○": r"\circ", "‖": r"\|",
    **{sign: f"^{{{text}}}" for sign, text in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True)},
    **{sign: f"_{{{text}}}" for sign, text in zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True)},
}  # fmt: skip
_TEXT = {
    "–": "--", "—": "---", "‐": "-", "‑": "-", "‒": "--", "―": "---", "‘": "`", "’": "'", "‚": ",", "‛": "`",
    "“": "``", "”": "''", "„": ",,", "«": r"$\ll$", "»": r"$\gg$", "‹": r"$<$", "›": r"$>$", "…": r"\ldots{}",
    "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}",
    "®": r"\textregistered{}", "™": r"\texttrademark{}", "£": r"\pounds{}", "€": "EUR", "¢": "ct", "¥": "JPY",
    "‰": r"0/00", "Å": r"\AA{}", "å": r"\aa{}", "Æ": r"\AE{}", "æ": r"\ae{}", "Œ": r"\OE{}", "œ": r"\oe{}",
    "Ø": r"\O{}", "ø": r"\o{}", "ß": r"\ss{}", "Ł": r"\L{}", "ł": r"\l{}", "ı": r"\i{}", "ȷ": r"\j{}",
    "Đ": "D", "đ": "d", "Ð": "D", "ð": "d", "Þ": "Th", "þ": "th", "¡": "!`", "¿": "?`",
    "\N{NO-BREAK SPACE}": "~", "\N{NARROW NO-BREAK SPACE}": "~", "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip
# OT1, the encoding without a package, has no ogonek: the letter stands without it.
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
# ASCII signs that TeX would take for commands.
_COMMANDS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "*": "{*}", '"': "{''}",
    **{sign: f"\\{sign}" for sign in "_%&#${}"},
    "[": "{[}", "]": "{]}",  # a bare one at the start of a row is read as an argument of the \\ before it
}  # fmt: skip
_SIGNS = {
    **{sign: f"$\\{name}$" for sign, name in _GREEK.items()},
    **_AS_LATIN,
    **{sign: f"${text}$" for sign, text in _MATHS.items()},
    **_TEXT,
    **_COMMANDS,
}


def escape_latex(text: str) -> str:
    """Return text that TeX sets as it reads, in ASCII."""
    pieces: list[str] = []
    for sign in unicodedata.normalize("NFC", text):
        if unicodedata.combining(sign) and pieces:
            pieces[-1] = _accented(pieces[-1], sign)
        else:
            pieces.append(_SIGNS.get(sign) or (sign if sign.isascii() else _rare_sign(sign)))
    return "".join(pieces)


def _rare_sign(sign: str) -> str:
    """Return a sign that is in no table: by its parts, or its number. Joiners within an emoji vanish."""
    category = unicodedata.category(sign)
    if category in ("Mn", "Me", "Cf"):
        return ""
    if category == "Zs":
        return " "
    parts = unicodedata.normalize("NFKD", sign)
    letters = "".join(part for part in parts if not unicodedata.combining(part))
    if letters != sign and all(part in _SIGNS or part.isascii() for part in letters):
        text = escape_latex(letters)
        for mark in filter(unicodedata.combining, parts):
            text = _accented(text, mark)
        return text
    return f"\\texttt{{U+{ord(sign):04X}}}"


def _accented(text: str, mark: str) -> str:
    """Return LaTeX with an accent over or under it; without one that OT1 does not have."""
    accent = _ACCENTS.get(mark)
    undotted = {"i": r"\i", "j": r"\j"}.get(text, text)  # the accent stands for the dot
    return text if accent is None else f"\\{accent}{{{undotted}}}"
