"""Cost: the guide's tables at list prices, custom sizes, and what is asked instead of guessed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.core.cost import Estimate, estimate_host, estimate_profile, estimate_scale
from installer.core.cost_bills import find_instance
from installer.core.cost_table import Pricing, parse_cost, parse_prices
from installer.core.errors import AnswersError, StackError
from installer.core.scaling import scale_out
from installer.core.sizing import HostRequirements
from installer.core.sizing_table import Machine, parse_sizing

ASSETS = Path(__file__).parents[2] / "assets"
PRICES = parse_prices((ASSETS / "aws-prices.yaml").read_bytes())
BILLS = parse_cost((ASSETS / "cost.yaml").read_bytes())
SIZES = parse_sizing((ASSETS / "sizing.yaml").read_bytes())
PRICING = Pricing(PRICES, BILLS, {})
LICENCE = "licence/user_month"


def rows(estimate: Estimate) -> dict[str, str | None]:
    return {line.resource: line.usd and str(line.usd) for line in estimate.lines}


def test_the_small_table_of_the_guide_at_list_prices() -> None:
    estimate = estimate_profile(PRICING, "small")
    assert rows(estimate) == {
        "EC2 (Coder)": "60.74",  # 0.0832 x 730
        "EC2 (workers)": "242.94",  # 0.1664 x 730 x 2
        "RDS (PostgreSQL)": "128.12",  # 0.072 x 730 x 2 + 100 x 0.23
        "ElastiCache (Redis)": "24.82",  # 0.034 x 730
        "ALB": "29.57",  # (0.0225 + 0.008 + 2 x 0.005) x 730
        "EBS storage": "40.00",  # 500 x 0.08
        "Data transfer": "9.00",  # 100 x 0.09
    }
    assert estimate.total == Decimal("535.19")
    assert estimate.guide_total == 545
    assert estimate.asks == ()
    assert estimate.difference_note == "guide 545, list price now 535.19 (-9.81)"


def test_the_medium_table_of_the_guide_at_list_prices() -> None:
    estimate = estimate_profile(PRICING, "medium")
    assert rows(estimate) == {
        "EC2 (Coder)": "242.94",  # 0.1664 x 730 x 2
        "EC2 (workers)": "992.80",  # 0.34 x 730 x 4
        "RDS (PostgreSQL)": "480.00",  # 0.25 x 730 x 2 + 500 x 0.23
        "ElastiCache (Redis)": "315.36",  # 0.216 x 730 x 2
        "ALB": "47.09",  # (0.0225 + 4 x 0.008 + 2 x 0.005) x 730
        "EBS storage": "160.00",  # 2000 x 0.08
        "S3 (backups)": "11.50",  # 500 x 0.023
        "Data transfer": "45.00",  # 500 x 0.09
        "WAF": "30.00",  # 5 + 10 x 1 + 25 x 0.60
        "Coder Premium licence": None,
    }
    assert estimate.total == Decimal("2324.69")
    assert estimate.difference_note.startswith("guide 2100, list price now 2324.69 (+224.69)")
    assert "Coder Premium licence" in estimate.difference_note


@pytest.mark.parametrize(
    ("profile", "figures", "total"),
    [
        ("small", [60, 240, 130, 25, 30, 50, 10], 545),
        ("medium", [240, 980, 350, 200, 50, 200, 12, 45, 30], 2107),
    ],
)
def test_the_guides_own_figures_stand_beside_each_row(
    profile: str, figures: list[int], total: int
) -> None:
    lines = estimate_profile(PRICING, profile).lines
    beside = [line.guide_usd for line in lines if line.guide_usd is not None]
    assert beside == figures
    assert sum(beside) == total
    for line in lines:
        if line.usd is not None and line.guide_usd is not None:
            assert line.difference == line.usd - line.guide_usd
            if abs(line.difference) > line.guide_usd / 5 or "gp3" in line.specification:
                assert line.note, "a large difference is explained"


def test_an_estimate_says_what_it_is_where_and_of_when() -> None:
    estimate = estimate_profile(PRICING, "small")
    assert estimate.heading == "estimate, list price, us-east-1, as of 2026-10-02"
    assert (estimate.region, estimate.as_of.isoformat()) == ("us-east-1", "2026-10-02")


def test_a_price_that_no_list_has_is_asked_for_and_taken_when_given() -> None:
    (ask,) = estimate_profile(PRICING, "medium").asks
    assert ask.key == LICENCE
    assert "each user and month" in ask.words
    given = Pricing(PRICES, BILLS, {LICENCE: Decimal("10.50")})
    answered = estimate_profile(given, "medium")
    assert answered.asks == ()
    assert answered.total == Decimal("2324.69") + 2100
    assert answered.lines[-1].difference is None


def test_one_host_with_everything_on_it() -> None:
    host = HostRequirements(cpus=16, memory_mib=59_520, data_gib=305, engine_gib=520)
    estimate = estimate_host(PRICING, host, 50)
    assert rows(estimate) == {
        "Host": "560.64",  # m5.4xlarge, 0.768 x 730
        "EBS storage": "66.00",  # 825 x 0.08
        "Public address": "3.65",  # 0.005 x 730
        "Data transfer": "11.25",  # 125 x 0.09
        "S3 (backups)": "2.88",  # 125 x 0.023
    }
    assert estimate.total == Decimal("644.42")
    assert estimate.difference_note == ""


def test_a_deployment_over_several_machines() -> None:
    estimate = estimate_scale(PRICING, scale_out(SIZES, 1000, 600), 10)
    assert rows(estimate) == {
        "Control plane": "210.24",  # m5.large, 0.096 x 730 x 3
        "Provisioners": "1985.60",  # c5.2xlarge, 0.34 x 730 x 8 for 60 builds
        "Workspaces": "22705.92",  # m5.2xlarge, 0.384 x 730 x 81
        "RDS (PostgreSQL)": "1157.28",  # db.m5.2xlarge, 0.712 x 730 x 2 + 512 x 0.23
        "ElastiCache (Redis)": "24.82",
        "ALB": "140.53",  # (0.0225 + 20 x 0.008 + 2 x 0.005) x 730 = 140.525
        "EBS storage": "1168.00",  # (1000 x 10 + 92 x 50) x 0.08
        "Data transfer": "225.00",  # 2500 x 0.09
        "S3 (backups)": "57.50",  # 2500 x 0.023
        "Coder Premium licence": None,
    }
    assert [ask.key for ask in estimate.asks] == [LICENCE]


def test_a_machine_that_no_list_has_is_asked_for_not_guessed() -> None:
    estimate = estimate_scale(PRICING, scale_out(SIZES, 10_000, 6000), 10)
    asked = {ask.key: ask.words for ask in estimate.asks}
    key = "machine/64 vCPU and 240 GB"
    assert asked[key] == "USD an hour of a machine with 64 vCPU and 240 GB"
    given = Pricing(PRICES, BILLS, {key: Decimal("5.696")})
    answered = estimate_scale(given, scale_out(SIZES, 10_000, 6000), 10)
    # 5.696 x 730 x 2 + 5120 x 0.23
    assert rows(answered)["RDS (PostgreSQL)"] == "9493.76"


def test_transfer_fills_its_tiers_one_after_the_other() -> None:
    host = HostRequirements(cpus=1, memory_mib=1024, data_gib=1, engine_gib=1)
    # 10240 x 0.09 + 2260 x 0.085
    assert rows(estimate_host(PRICING, host, 5000))["Data transfer"] == "1113.70"
    beyond = estimate_host(PRICING, host, 30_000)
    assert [ask.key for ask in beyond.asks] == ["network/egress_internet_gb_beyond_50tb"]


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-2", ""])
def test_other_regions_are_asked_for_not_guessed(region: str) -> None:
    host = HostRequirements(cpus=1, memory_mib=1024, data_gib=1, engine_gib=1)
    for estimate in (
        lambda: estimate_profile(PRICING, "small", region),
        lambda: estimate_host(PRICING, host, 1, region),
        lambda: estimate_scale(PRICING, scale_out(SIZES, 50, 20), 10, region),
    ):
        with pytest.raises(AnswersError) as caught:
            estimate()
        assert "us-east-1" in caught.value.problems[0].remedy.summary


def test_a_profile_without_a_bill_is_refused_by_name() -> None:
    with pytest.raises(AnswersError) as caught:
        estimate_profile(PRICING, "custom")
    assert "small, medium" in caught.value.problems[0].summary


@pytest.mark.parametrize(
    ("purpose", "size", "name"),
    [
        ("host", (16, 59), "m5.4xlarge"),
        ("host", (17, 64), "m7i.8xlarge"),
        ("control_plane", (2, 8), "m5.large"),
        ("control_plane", (4, 12), "m5.xlarge"),
        ("workspace", (8, 32), "m5.2xlarge"),
        ("database", (2, 8), "db.m5.large"),
        ("database", (32, 120), "db.m5.8xlarge"),
        ("database", (64, 240), None),
    ],
)
def test_the_cheapest_steady_machine_that_is_large_enough_is_taken(
    purpose: str, size: tuple[float, float], name: str | None
) -> None:
    found = find_instance(PRICING, purpose, Machine(vcpu=size[0], mem_gb=size[1]))
    assert (found and found.name) == name
    assert found is None or not found.burstable


@settings(max_examples=50)
@given(st.integers(1, 2000), st.integers(1, 1200), st.integers(0, 500))
def test_more_never_costs_less(users: int, workspaces: int, more: int) -> None:
    less = estimate_scale(PRICING, scale_out(SIZES, users, workspaces), 10)
    grown = estimate_scale(PRICING, scale_out(SIZES, users + more, workspaces + more), 10)
    if {ask.key for ask in less.asks} == {ask.key for ask in grown.asks}:
        assert grown.total >= less.total


def test_no_bill_names_a_price_that_is_not_there() -> None:
    used = [
        part.price
        for profile in BILLS.profiles.values()
        for item in profile.items
        for part in item.parts
    ]
    assert used
    for key in used:
        assert key in PRICES.prices or key in BILLS.asked
    broken = BILLS.profiles["small"].items[0].parts[0].model_copy(update={"price": "no/such"})
    item = BILLS.profiles["small"].items[0].model_copy(update={"parts": (broken,)})
    profile = BILLS.profiles["small"].model_copy(update={"items": (item,)})
    table = BILLS.model_copy(update={"profiles": {"small": profile}})
    with pytest.raises(StackError):
        estimate_profile(Pricing(PRICES, table, {}), "small")


def test_every_group_of_prices_has_its_source_and_unknown_prices_are_named() -> None:
    assert PRICES.prices["ec2_hourly/t3.large"] == Decimal("0.0832")
    assert any("Premium licence" in text for text in PRICES.unknown)
    assert any("regions" in text for text in PRICES.unknown)


@pytest.mark.parametrize("data", [b"a: [", b"[]", b"schema: 1", b"region: x"])
def test_tables_that_cannot_be_read_are_a_fault_of_the_product(data: bytes) -> None:
    with pytest.raises(StackError):
        parse_prices(data)
    with pytest.raises(StackError):
        parse_cost(data)
