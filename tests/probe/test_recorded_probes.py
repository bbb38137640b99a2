"""Probes of real models that are committed: they are read, and their averages are those of their facts."""

from pathlib import Path

import pytest

from kebench.probe.earned import over_relations
from kebench.probe.record import RankRecord
from kebench.probe.stored import StoredProbe, find_any_probes

FOLDER = Path(__file__).parents[2] / "results/knowledge"
PROBES: list[StoredProbe[RankRecord]] = [
    probe
    for probe in (find_any_probes([FOLDER]) if FOLDER.is_dir() else [])
    if isinstance(probe.record, RankRecord)
]


@pytest.mark.parametrize(
    "probe", PROBES, ids=lambda probe: f"{probe.record.model}-{probe.record.settings.shots}"
)
def test_averages_are_those_of_what_each_fact_earns(probe: StoredProbe[RankRecord]) -> None:
    assert probe.record.counts.asked > 1000
    for score, figures in probe.record.figures.items():
        for metric in ("acc_1", "auc"):
            found = over_relations(probe, score, metric, list(figures.by_relation))
            recorded = getattr(figures, metric)
            for source, figure in found.items():
                expected = getattr(recorded, source)
                assert figure.percent == pytest.approx(expected.percent), (score, metric, source)
                assert (figure.queries, figure.relations) == (expected.queries, expected.relations)


def test_what_the_page_says_first_is_what_is_recorded() -> None:
    if not PROBES:
        pytest.skip("no results/knowledge here")
    (shots,) = (one.record for one in PROBES if one.record.model == "smollm2" and one.record.settings.shots)
    over = shots.figures["column"].acc_1.over_other_subjects
    assert (round(over.percent or 0, 1), over.queries, over.relations) == (33.0, 1141, 20)
    assert over.facts_low_percent is not None
    assert over.facts_low_percent > 25
    page = (FOLDER.parents[1] / "docs/KNOWLEDGE.md").read_text(encoding="utf-8")
    assert "| smollm2, 4 shots | **39.6** | 6.6 | **+33.0** |" in page
