"""Other programs' names of samplers and schedules, in A1111's words."""

from __future__ import annotations

SAMPLERS = {
    "euler": "Euler", "euler_a": "Euler a", "euler_ancestral": "Euler a", "heun": "Heun",
    "lms": "LMS", "dpm2": "DPM2", "dpm_2": "DPM2", "kdpm_2": "DPM2", "dpm2_a": "DPM2 a",
    "dpm_2_a": "DPM2 a", "dpm_2_ancestral": "DPM2 a", "kdpm_2_a": "DPM2 a",
    "dpm_fast": "DPM fast", "dpm_adaptive": "DPM adaptive", "dpmpp_2s_a": "DPM++ 2S a",
    "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_2m": "DPM++ 2M", "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE", "ddim": "DDIM", "ddim_v3": "DDIM", "plms": "PLMS",
    "pndm": "PLMS", "unipc": "UniPC", "uni_pc": "UniPC", "uni_pc_bh2": "UniPC", "lcm": "LCM",
    "restart": "Restart", "euler ancestral": "Euler a",
}  # fmt: skip
"""those of k-diffusion, ComfyUI, InvokeAI, NovelAI and Easy Diffusion → A1111's"""

SCHEDULES = {
    "normal": "Normal", "karras": "Karras", "exponential": "Exponential",
    "polyexponential": "Polyexponential", "sgm_uniform": "SGM Uniform", "simple": "Simple",
    "ddim_uniform": "DDIM", "beta": "Beta", "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps", "native": "Uniform",
}  # fmt: skip
"""those of ComfyUI and NovelAI → A1111's"""


def sampler(name: str) -> tuple[str, str]:
    """A1111's sampler and schedule ("" for none named) for another program's sampler.

    "k_dpmpp_2m", "dpmpp_2m_gpu", "dpmpp_2m_k" and the like; a name that is not known is kept.
    """
    short = name.lower().removeprefix("sample_").removeprefix("k_").removesuffix("_gpu")
    for ending, schedule in (
        ("_karras", "Karras"),
        ("_k", "Karras"),
        ("_exponential", "Exponential"),
    ):
        if short.endswith(ending) and short.removesuffix(ending) in SAMPLERS:
            return SAMPLERS[short.removesuffix(ending)], schedule
    return SAMPLERS.get(short, name), ""


def schedule(name: str) -> str:
    """A1111's schedule for another program's; a name that is not known is kept."""
    return SCHEDULES.get(name.lower(), name)


def stem(name: str) -> str:
    """The name of a file without folders and ending, as prompts and records use it."""
    last = name.replace("\\", "/").rpartition("/")[2]
    for ending in (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft"):
        if last.lower().endswith(ending):
            return last[: -len(ending)]
    return last


def tag(name: str, *weights: str) -> str:
    """A LoRA as it stands in a prompt: `<lora:ink:0.8>`; weights of text encoder and UNet."""
    once = weights[:1] if len(set(weights)) == 1 else weights
    return f"<lora:{':'.join((stem(name), *(weight or '1' for weight in once)))}>"
