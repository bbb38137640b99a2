"""One HTML file that needs nothing else: a template, the style, scripts, and a policy that allows only these.

A strict content security policy names the only styles and scripts that may run, by their hashes. The same
content gives the same bytes.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from kebench.errors import UserError
from kebench.grid import Sheet
from kebench.kinds.errors import Shown
from kebench.report import figures
from kebench.report.calibration import Calibration


def render_document(template: str, content: dict[str, Any], *, script: str | None = None) -> str:
    """Return the file of a template in assets/. Raises UserError if what renders it is not installed.

    script: the name of the script in assets/ that runs on it, after DataTables; None for none.
    """
    css = _asset("page.css")
    scripts = [_library(), _asset(script)] if script else []
    try:
        from jinja2 import Environment, FunctionLoader
    except ImportError:
        raise UserError("the page needs jinja2; pip install 'kebench[charts]'") from None
    environment = Environment(loader=FunctionLoader(_asset), autoescape=True, keep_trailing_newline=True)
    return str(
        environment.get_template(template).render(
            css=css,
            scripts=scripts,
            style_hashes=_hash(css),
            script_hashes=" ".join(map(_hash, scripts)) or "'none'",
            **content,
        )
    )


def _asset(name: str) -> str:
    return resources.files("kebench.report").joinpath("assets", name).read_text(encoding="utf-8")


def _library() -> str:
    """Return DataTables as a plain script that sets window.DataTable, from the bundle that itables ships."""
    try:
        bundle = resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    except (ImportError, OSError):
        raise UserError("the page needs itables; pip install 'kebench[charts]'") from None
    found = re.search(r"export ?\{([^}]*)\}", bundle)
    exported = re.search(r"([\w$]+) as default", found.group(1)) if found else None
    if not found or not exported:
        raise UserError(
            "this version of itables holds no DataTables as kebench knows it; pip install 'itables<3'"
        )
    plain = (
        f"{bundle[: found.start()]}window.DataTable={exported.group(1)};{bundle[found.end() :].lstrip(';')}"
    )
    return f"(()=>{{{plain}\n}})();"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def build_errors_page(sheet: Sheet, shown: Sequence[Shown], calibrations: Sequence[Calibration]) -> str:
    """Return what a model gets wrong: the tables of `kebench errors`, reliability plots, sentences.

    It may hold sentences of the task, and be shared only where the task's data may; it says so, and runs no
    script. Raises UserError if what draws charts is not installed.
    """
    figures.require_charts()
    sections = [("tables", "Tables")]
    sections += [("calibration", "Calibration")] if calibrations else []
    sections += [("sentences", "Sentences")] if shown else []
    content = {
        "title": sheet.title,
        "sections": sections,
        "sheet": sheet,
        "shown": shown,
        "plots": [(one.words, figures.reliability_plot(one.bins)) for one in calibrations],
    }
    return render_document("errors.html.j2", content)
