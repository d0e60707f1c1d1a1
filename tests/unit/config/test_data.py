"""Strengths of the synthetic world's factors, by group."""

from xdcbench.config.data import FACTOR_GROUPS, Factors


def test_groups_hold_every_factor_once() -> None:
    names = [name for group in FACTOR_GROUPS.values() for name in group]
    assert sorted(names) == sorted(Factors.model_fields)


def test_a_group_whose_factors_agree_is_a_number_and_words_otherwise() -> None:
    factors = Factors(hue=0.5, pitch=0.5, motion=0)
    assert factors.groups == {"appearance": 0.5, "timing": "motion 0, rhythm 1", "nuisances": 1.0}
