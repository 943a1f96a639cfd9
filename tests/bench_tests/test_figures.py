"""The parts of the benchmark that calculate."""

import pytest

from tests.bench.figures import Row, format_table, take_turns


def row(floor, product, goal=1.2):
    return Row("work", "plain", floor, product, goal)


def test_the_ratio_is_that_of_medians():
    assert row([1.0, 100.0, 2.0], [3.0, 1.0, 500.0]).ratio == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("product", "goal", "verdict"),
    [(1.2, 1.2, "met"), (1.21, 1.2, "MISSED"), (9.0, None, "")],
)
def test_a_goal_is_met_up_to_its_value(product, goal, verdict):
    assert row([1.0], [product], goal).verdict == verdict


def test_contenders_take_turns_and_their_first_runs_are_discarded():
    order = []

    def contender(name):
        def once():
            order.append(name)
            return float(len(order))

        return once

    taken = take_turns({name: contender(name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacababc"
    assert taken == {"a": [6.0, 8.0, 10.0], "b": [4.0, 9.0, 11.0], "c": [5.0, 7.0, 12.0]}


def test_the_table_has_ratios_first_and_marks_a_missed_goal():
    lines = format_table([row([0.010], [0.009]), row([0.010], [0.020]), row([1.0], [1.0], None)])
    assert [line.split()[0] for line in lines] == ["ratio", "0.90", "2.00", "1.00"]
    assert ["met" in line for line in lines] == [False, True, False, False]
    assert ["MISSED" in line for line in lines] == [False, False, True, False]
    assert lines[1].endswith("[9 / 10]")
    assert len({line.index("work") for line in lines}) == 1
