"""The names of samplers and schedules that are here, known without loading torch."""

from __future__ import annotations

SAMPLERS: tuple[tuple[str, ...], ...] = (
    ("DPM++ 2M", "k_dpmpp_2m", "dpmpp_2m"),
    ("DPM++ SDE", "k_dpmpp_sde", "dpmpp_sde"),
    ("DPM++ 2M SDE", "k_dpmpp_2m_sde", "dpmpp_2m_sde"),
    ("DPM++ 2M SDE Heun", "k_dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun"),
    ("DPM++ 2S a", "k_dpmpp_2s_a", "dpmpp_2s_ancestral"),
    ("DPM++ 3M SDE", "k_dpmpp_3m_sde", "dpmpp_3m_sde"),
    ("Euler a", "k_euler_a", "k_euler_ancestral", "euler_ancestral"),
    ("Euler", "k_euler"),
    ("LMS", "k_lms"),
    ("Heun", "k_heun"),
    ("DPM2", "k_dpm_2", "dpm_2"),
    ("DPM2 a", "k_dpm_2_a", "k_dpm_2_ancestral", "dpm_2_ancestral"),
    ("DPM fast", "k_dpm_fast", "dpm_fast"),
    ("DPM adaptive", "k_dpm_ad", "k_dpm_adaptive", "dpm_adaptive"),
    ("Restart", "k_restart"),
    ("LCM", "k_lcm"),
    ("DDIM", "k_ddim"),
    ("DDIM CFG++", "ddim_cfgpp"),
    ("PLMS",),
    ("UniPC", "uni_pc"),
)
"""names with their aliases, those of `sampling.registry`, which a test compares"""

SCHEDULES: tuple[tuple[str, ...], ...] = (
    ("Uniform", "uniform"),
    ("Karras", "karras", "ka"),
    ("Exponential", "exponential", "exp"),
    ("Polyexponential", "polyexponential"),
    ("SGM Uniform", "sgm_uniform"),
    ("KL Optimal", "kl_optimal"),
    ("Align Your Steps", "align_your_steps"),
    ("Simple", "simple"),
    ("Normal", "normal"),
    ("DDIM", "ddim"),
    ("Beta", "beta"),
)
"""names with their aliases, and the short ones that old names of samplers end in"""

AUTOMATIC = "Automatic"
"""the schedule that a sampler has of its own"""

STAND_IN = "Euler a"
"""what paints in place of a sampler that is not here"""


def knows_sampler(name: str) -> bool:
    """Whether `sampling.registry.find_sampler` finds a name."""
    names = {key.casefold() for names in SAMPLERS for key in names}
    wanted = " ".join(name.split()).casefold()
    endings = (
        ending
        for title, *aliases in SCHEDULES
        for ending in (f" {title}", *(f"_{alias}" for alias in aliases))
    )
    return wanted in names or any(
        wanted.removesuffix(ending.casefold()) in names for ending in endings
    )


def knows_schedule(name: str) -> bool:
    """Whether `sampling.registry.find_schedule` finds a name."""
    wanted = " ".join(name.split()).casefold()
    known = {key.casefold() for title, alias, *_ in SCHEDULES for key in (title, alias)}
    return wanted in known or wanted in ("", AUTOMATIC.casefold())
