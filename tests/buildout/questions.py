"""Small build-outs that tests put together."""

from datetime import date

import numpy as np

from gigawatt.buildout import BuildQuestion, BuildSite, Calendar, ChipKind, Expansion, Money, Offer

T = 12
ONE = np.ones(T)
YEAR = 365.25 * 86_400.0


def chip(name="H100", **changed):
    fields = {"useful_flops": 4e14, "it_w": 1000.0, "mean_it_w": 900.0, "worth_usd_per_s": 0 * ONE}
    return ChipKind(name=name, **{**fields, **changed})


def offer(name="vendor", **changed):
    fields = {"chip": "H100", "price_usd": 40e3 * ONE, "supply": 10e3 * ONE, "lead": 2, "deposit": 0.2}
    return Offer(name=name, **{**fields, **changed})


def site(name="Memphis", **changed):
    fields = {"pue": 1.25, "grid": 100e6 * ONE, "grid_usd_per_j": 0.06 / 3.6e6}
    return BuildSite(name=name, **{**fields, **changed})


def units(name="turbines", **changed):
    fields = {"resource": "power", "unit": 10e6, "lead": 3, "most": 4 * ONE, "given": 0 * ONE, "whole": True}
    return Expansion(name=name, **{**fields, **changed})


def money(**changed):
    fields = {"cash_usd": 5e9, "floor_usd": 0.0, "funding_usd": 0 * ONE, "burn_usd": 0 * ONE, "debt_usd": 0 * ONE}
    return Money(**{**fields, **changed})


def question(chips=None, offers=None, sites=None, cash=None):
    return BuildQuestion(
        calendar=Calendar(date(2025, 1, 1), T),
        chips=chips or (chip(),),
        offers=offers or (offer(),),
        sites=sites or (site(),),
        money=cash,
        discount=0.1,
    )
