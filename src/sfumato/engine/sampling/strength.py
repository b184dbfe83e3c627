"""How many steps of a schedule are run when painting starts from a picture."""

from __future__ import annotations

_MOST = 0.999


def picture_steps(steps: int, denoise: float, *, exact: bool = False) -> tuple[int, int]:
    """Length of the schedule that is made, and t_enc: its last t_enc + 1 steps are run.

    denoise: 0 … 1, how much of the picture is painted anew. exact: run all of `steps`, on a longer
    schedule, as the second pass of hires always does (`img2img_fix_steps`); for a `denoise` of 0
    there is nothing to run then, and the length is 0. Numbers of A1111's web UI.
    """
    share = min(denoise, _MOST)
    if not exact:
        return steps, int(share * steps)
    return (int(steps / share) if share > 0 else 0), steps - 1
