"""How names of samplers and schedules are understood, as programs of all ages write them."""

from __future__ import annotations

import pytest

from sfumato.engine.sampling.registry import SAMPLERS, find_sampler
from sfumato.errors import UsageError

OLD = (
    ("k_dpmpp_2m_ka", "DPM++ 2M", "Karras"),
    ("k_dpmpp_sde_ka", "DPM++ SDE", "Karras"),
    ("k_dpmpp_2m_sde_ka", "DPM++ 2M SDE", "Karras"),
    ("k_dpmpp_2m_sde_exp", "DPM++ 2M SDE", "Exponential"),
    ("k_dpmpp_2m_sde_heun_ka", "DPM++ 2M SDE Heun", "Karras"),
    ("k_dpmpp_2m_sde_heun_exp", "DPM++ 2M SDE Heun", "Exponential"),
    ("k_dpmpp_3m_sde_ka", "DPM++ 3M SDE", "Karras"),
    ("k_dpmpp_3m_sde_exp", "DPM++ 3M SDE", "Exponential"),
    ("k_dpmpp_2s_a_ka", "DPM++ 2S a", "Karras"),
    ("k_dpm_2_ka", "DPM2", "Karras"),
    ("k_dpm_2_a_ka", "DPM2 a", "Karras"),
    ("k_lms_ka", "LMS", "Karras"),
)
"""aliases of A1111 before 1.9"""


@pytest.mark.parametrize(("alias", "sampler", "schedule"), OLD)
def test_old_aliases_say_sampler_and_schedule(alias: str, sampler: str, schedule: str) -> None:
    found, own = find_sampler(alias)
    assert own is not None and (found.name, own.name) == (sampler, schedule)


def test_no_two_samplers_have_one_name() -> None:
    names = [name.casefold() for s in SAMPLERS for name in (s.name, *s.aliases)]
    assert len(set(names)) == len(names)


def test_an_ending_alone_is_no_sampler() -> None:
    with pytest.raises(UsageError, match="nearest"):
        find_sampler("k_oiler_ka")
