"""What a model gets wrong, as one HTML file: the tables of `kebench errors`, reliability plots, sentences.

Unlike the results page it may hold sentences of the task, and may then be shared only where the task's data
may; it says so. It runs no script.
"""

from collections.abc import Sequence

from kebench.grid import Sheet
from kebench.kinds.errors import Shown
from kebench.report import figures
from kebench.report.calibration import Calibration
from kebench.report.document import render_document


def build_errors_page(sheet: Sheet, shown: Sequence[Shown], calibrations: Sequence[Calibration]) -> str:
    """Return the page. Raises UserError if what draws charts is not installed."""
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
