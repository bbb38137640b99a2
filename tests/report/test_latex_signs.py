"""Signs beyond ASCII in LaTeX: by hand, for any text, and compiled without a package."""

import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kebench.grid import Grid, Sheet
from kebench.report.latex_signs import escape_latex
from kebench.report.write_latex import sheets_as_latex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TNF-α", r"TNF-$\alpha$"),
        ("TGF-β1, Δ9, 5 µg", r"TGF-$\beta$1, $\Delta$9, 5 $\mu$g"),
        ("ΑΒ", "AB"),
        ("Sjögren, Behçet, naïve", r"Sj\"{o}gren, Beh\c{c}et, na\"{\i}ve"),
        ("Ménière, Ångström", r"M\'{e}ni\`{e}re, \AA{}ngstr\"{o}m"),
        ("Łukasz ß", r"\L{}ukasz \ss{}"),
        ("ą", "a"),
        ("ά", r"\'{$\alpha$}"),
        ("2 ≥ 1 → x², H₂O", r"2 $\geq$ 1 $\rightarrow$ x$^{2}$, H$_{2}$O"),
        ("“so”—it’s", "``so''---it's"),
        ("a\u00a0b\u2009c\u200bd", "a~b cd"),
        ("ﬁn ％", r"fin \%"),
        ("x̄", r"\={x}"),
        ("😀", r"\texttt{U+1F600}"),
        ("❤\ufe0f", r"\texttt{U+2764}"),
        ("水", r"\texttt{U+6C34}"),
    ],
)  # fmt: skip
def test_signs_become_commands_or_their_numbers(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


@given(st.text())
def test_any_text_becomes_ascii_with_its_braces_in_pairs(text: str) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii()
    bare = escaped.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")


BLOCKS = ((0xA0, 0x250), (0x300, 0x500), (0x1E00, 0x2200), (0x2200, 0x2600), (0xFB00, 0xFB07))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX here")
def test_all_signs_of_names_compile_without_a_package(tmp_path: Path) -> None:
    signs = [chr(code) for start, end in BLOCKS for code in range(start, end)]
    rows = [(f"x{sign}", sign) for sign in signs if unicodedata.category(sign) not in ("Cn", "Cc")]
    rows += [("TNF-α 😀👩🏽‍⚕️ 水 العربية", "ok")]
    made = [
        sheets_as_latex([Sheet("α 😀", ("é",), (Grid(("name", "β"), tuple(rows[start : start + 40])),))])
        for start in range(0, len(rows), 40)
    ]
    body = "\n\\clearpage\n".join(made)
    document = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "signs.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "signs.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "LaTeX Warning: Command" not in done.stdout  # such as \' invalid in math mode
