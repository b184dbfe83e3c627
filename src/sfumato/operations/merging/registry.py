"""Every merge method there is."""

from __future__ import annotations

import difflib

from sfumato.errors import UsageError
from sfumato.operations.merging.method import Method, method
from sfumato.operations.merging.methods import linear, rotation, similar, sparse, spherical

METHODS: tuple[Method, ...] = (
    method(linear.weighted_sum, elementwise=True),
    method(linear.add_difference, elementwise=True),
    method(linear.sum, elementwise=True),
    method(similar.train_difference, elementwise=True),
    method(spherical.slerp),
    method(spherical.add_perpendicular),
    method(similar.cosine_a, copies=1),
    method(similar.cosine_b, copies=1),
    method(sparse.ties),
    method(sparse.dare),
    method(sparse.dare_ties),
    method(sparse.della),
    method(rotation.rotate, copies=0.5),
    method(rotation.add_low_rank, copies=0.5),
)
"""in the order in which they are listed"""


def find_method(name: str) -> Method:
    """The method of a name, with hyphens or underscores; raises UsageError with the nearest."""
    wanted = name.strip().lower().replace("_", "-")
    for known in METHODS:
        if known.name == wanted:
            return known
    near = difflib.get_close_matches(wanted, [known.name for known in METHODS], 2, 0.3)
    hint = f"nearest: {', '.join(near)}" if near else ", ".join(known.name for known in METHODS)
    raise UsageError(f"{name}: is no merge method; {hint}")
