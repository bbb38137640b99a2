"""Whether seeds agree on relations, counted by hand."""

from kebench.kinds.errors import Run
from kebench.kinds.relation import agreement_instances_grid

GOLD = ["no", "up", "up", "down"]


def test_instances_are_counted_by_how_many_seeds_have_them_right() -> None:
    runs = [Run(0, GOLD, ["no", "up", "no", "up"]), Run(1, GOLD, ["no", "up", "up", "no"])]
    rows = {row[0]: row[1:] for row in agreement_instances_grid(runs, negative="no").texts}
    # right by both: 0 and 1, of which 1 is positive; by one: 2; by none: 3
    assert rows["right by 2 of 2 seeds"] == ("2", "50.0", "1", "33.3")
    assert rows["right by 1 of 2 seeds"] == ("1", "25.0", "1", "33.3")
    assert rows["right by 0 of 2 seeds"] == ("1", "25.0", "1", "33.3")
    # both have two positive labels, one of them at the same instance: 2 * 1 / 4
    assert rows["F1 of one seed against another, mean"] == ("", "", "50.0", "")


def test_without_a_positive_instance_there_is_no_share_of_them() -> None:
    rows = agreement_instances_grid([Run(0, ["no"], ["no"])], negative="no").texts
    assert rows == (
        ("right by 1 of 1 seeds", "1", "100.0", "0", "–"),
        ("right by 0 of 1 seeds", "0", "0.0", "0", "–"),
    )
