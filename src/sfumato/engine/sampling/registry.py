"""All samplers, and how their names and those of schedules are understood."""

from __future__ import annotations

from difflib import get_close_matches

from sfumato.containers.text import escape
from sfumato.engine.sampling.ddim import ddim, ddim_cfgpp
from sfumato.engine.sampling.dpm2 import dpm2, dpm2_ancestral
from sfumato.engine.sampling.dpm_solver import dpm_adaptive, dpm_fast
from sfumato.engine.sampling.dpmpp import dpmpp_2m, dpmpp_2s_ancestral
from sfumato.engine.sampling.dpmpp_sde import (
    dpmpp_2m_sde,
    dpmpp_2m_sde_heun,
    dpmpp_3m_sde,
    dpmpp_sde,
)
from sfumato.engine.sampling.euler import euler, euler_ancestral
from sfumato.engine.sampling.heun import heun, restart
from sfumato.engine.sampling.lcm import consistency_levels, lcm
from sfumato.engine.sampling.lms import lms
from sfumato.engine.sampling.plms import plms
from sfumato.engine.sampling.sampler import Sampler
from sfumato.engine.sampling.schedules import AUTOMATIC, SCHEDULES, Schedule
from sfumato.engine.sampling.unipc import unipc
from sfumato.errors import UsageError

SAMPLERS: tuple[Sampler, ...] = (
    Sampler(
        name="DPM++ 2M",
        aliases=("k_dpmpp_2m", "dpmpp_2m"),
        schedule="Karras",
        sigma=dpmpp_2m,
    ),
    Sampler(
        name="DPM++ SDE",
        aliases=("k_dpmpp_sde", "dpmpp_sde"),
        schedule="Karras",
        order2=True,
        brownian=True,
        ancestral=1.0,
        sigma=dpmpp_sde,
    ),
    Sampler(
        name="DPM++ 2M SDE",
        aliases=("k_dpmpp_2m_sde", "dpmpp_2m_sde"),
        schedule="Exponential",
        brownian=True,
        ancestral=1.0,
        sigma=dpmpp_2m_sde,
    ),
    Sampler(
        name="DPM++ 2M SDE Heun",
        aliases=("k_dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun"),
        schedule="Exponential",
        brownian=True,
        ancestral=1.0,
        sigma=dpmpp_2m_sde_heun,
    ),
    Sampler(
        name="DPM++ 2S a",
        aliases=("k_dpmpp_2s_a", "dpmpp_2s_ancestral"),
        schedule="Karras",
        order2=True,
        ensd=True,
        ancestral=1.0,
        sigma=dpmpp_2s_ancestral,
    ),
    Sampler(
        name="DPM++ 3M SDE",
        aliases=("k_dpmpp_3m_sde", "dpmpp_3m_sde"),
        schedule="Exponential",
        discard=True,
        brownian=True,
        ancestral=1.0,
        sigma=dpmpp_3m_sde,
    ),
    Sampler(
        name="Euler a",
        aliases=("k_euler_a", "k_euler_ancestral", "euler_ancestral"),
        ensd=True,
        ancestral=1.0,
        sigma=euler_ancestral,
    ),
    Sampler(name="Euler", aliases=("k_euler",), churn=True, sigma=euler),
    Sampler(name="LMS", aliases=("k_lms",), sigma=lms),
    Sampler(name="Heun", aliases=("k_heun",), order2=True, churn=True, sigma=heun),
    Sampler(
        name="DPM2",
        aliases=("k_dpm_2", "dpm_2"),
        schedule="Karras",
        order2=True,
        discard=True,
        churn=True,
        sigma=dpm2,
    ),
    Sampler(
        name="DPM2 a",
        aliases=("k_dpm_2_a", "k_dpm_2_ancestral", "dpm_2_ancestral"),
        schedule="Karras",
        order2=True,
        discard=True,
        ensd=True,
        ancestral=1.0,
        sigma=dpm2_ancestral,
    ),
    Sampler(
        name="DPM fast",
        aliases=("k_dpm_fast", "dpm_fast"),
        ensd=True,
        ancestral=1.0,
        free=True,
        sigma=dpm_fast,
    ),
    Sampler(
        name="DPM adaptive",
        aliases=("k_dpm_ad", "k_dpm_adaptive", "dpm_adaptive"),
        ensd=True,
        ancestral=1.0,
        alone=True,
        free=True,
        sigma=dpm_adaptive,
    ),
    Sampler(
        name="Restart",
        aliases=("k_restart",),
        schedule="Karras",
        order2=True,
        fresh=True,
        sigma=restart,
    ),
    Sampler(name="LCM", aliases=("k_lcm",), fresh=True, levels=consistency_levels, sigma=lcm),
    Sampler(name="DDIM", aliases=("k_ddim",), ancestral=0.0, timestep=ddim),
    Sampler(
        name="DDIM CFG++",
        aliases=("ddim_cfgpp",),
        ancestral=0.0,
        cfg_factor=1 / 12.5,
        timestep=ddim_cfgpp,
    ),
    Sampler(name="PLMS", timestep=plms),
    Sampler(name="UniPC", aliases=("uni_pc",), full=True, timestep=unipc),
)

SHORT: tuple[tuple[str, str], ...] = (("_ka", "Karras"), ("_exp", "Exponential"))
"""endings of aliases in A1111 before 1.9, and the schedules they say: k_dpmpp_2m_ka"""


def find_sampler(name: str) -> tuple[Sampler, Schedule | None]:
    """The sampler of a name or an alias, in any case, and the schedule that the name ends in.

    "DPM++ 2M Karras" is how pictures made before A1111's 1.9 say both. None where it says no
    schedule. Raises UsageError with the nearest name for an unknown one.
    """
    known = {key.casefold(): s for s in SAMPLERS for key in (s.name, *s.aliases)}
    wanted = " ".join(name.split()).casefold()
    if wanted in known:
        return known[wanted], None
    for schedule in SCHEDULES:
        short = (ending for ending, title in SHORT if title == schedule.name)
        for ending in (f" {schedule.name}", f"_{schedule.alias}", *short):
            head = wanted.removesuffix(ending.casefold())
            if head != wanted and head in known:
                return known[head], schedule
    raise UsageError(_unknown("sampler", name, [s.name for s in SAMPLERS]))


def find_schedule(name: str) -> Schedule | None:
    """The schedule of a name, as a picture or as the HTTP API writes it; None for Automatic.

    Raises UsageError with the nearest name for an unknown one.
    """
    wanted = " ".join(name.split()).casefold()
    if wanted in ("", AUTOMATIC.casefold()):
        return None
    for schedule in SCHEDULES:
        if wanted in (schedule.name.casefold(), schedule.alias):
            return schedule
    raise UsageError(_unknown("schedule", name, [AUTOMATIC, *(s.name for s in SCHEDULES)]))


def _unknown(kind: str, name: str, known: list[str]) -> str:
    folded = {other.casefold(): other for other in known}
    near = get_close_matches(name.casefold(), folded, 1, 0.3)
    hint = f"the nearest is {folded[near[0]]}" if near else f"there are {', '.join(known)}"
    return f"there is no {kind} {escape(name)}; {hint}"
