"""Changes of a weight that depend on the weight: they act on what is there when they come.

Weights are (outputs, inputs, …) in float32; every function gives W' − W for strength 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sfumato.operations.adapters.deltas.factored import Slots, matrix, shaped, tucker
from sfumato.operations.adapters.deltas.lengths import length


def ia3(slots: Slots, weight: Tensor) -> Tensor:
    """W ∘ w (Liu et al. 2022, https://arxiv.org/abs/2205.05638): one factor per output or input.

    weight: as many numbers as there are outputs or inputs; on_input: 1 for inputs.
    """
    factor, (outputs, inputs) = slots["weight"].flatten(), weight.shape[:2]
    ones = (1,) * (weight.ndim - 2)
    if len(factor) == outputs != inputs:
        return weight * factor.view(-1, 1, *ones)
    columns = weight * factor.view(1, -1, *ones)
    if len(factor) == inputs != outputs:
        return columns
    return torch.where(slots["on_input"] > 0, columns, weight * factor.view(-1, 1, *ones))


def ia3_peft(slots: Slots, weight: Tensor) -> Tensor:
    """W ∘ (l − 1): PEFT stores the factor itself, (outputs, 1) or (1, inputs).

    Of a bias, l is that of the outputs.
    """
    return weight * (slots["factor"].reshape(-1) if weight.ndim == 1 else slots["factor"]) - weight


def glora(slots: Slots, weight: Tensor) -> Tensor:
    """W a1 a2 + b1 b2 (Chavan et al. 2023, https://arxiv.org/abs/2306.07967), LyCORIS' order.

    a1 (i, r), a2 (r, i), b1 (o, r), b2 (r, i …); bm (r, r, k, k) is a Tucker core between the b.
    """
    a1, a2, b1, b2 = (slots[name] for name in ("a1", "a2", "b1", "b2"))
    moved = weight.movedim(1, -1) @ matrix(a1) @ matrix(a2)
    added = tucker(slots["bm"], b1, b2) if "bm" in slots else matrix(b1) @ matrix(b2)
    return moved.movedim(-1, 1) + shaped(added, tuple(weight.shape))


def glora_old(slots: Slots, weight: Tensor) -> Tensor:
    """W a2 a1 + b2 b1: LyCORIS' first order, in which a1 and b1 come second."""
    swapped = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}
    return glora({swapped.get(slot, slot): tensor for slot, tensor in slots.items()}, weight)


def cayley(q: Tensor) -> Tensor:
    """(I + Q)(I − Q)⁻¹ of skew-symmetric blocks (…, b, b): rotations."""
    here = q.cpu() if q.device.type == "mps" else q  # which solves no systems in older versions
    identity = torch.eye(q.shape[-1], device=here.device)
    turned: Tensor = torch.linalg.solve(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        identity - here, identity + here, left=False
    )
    return turned.to(q.device)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def rotations(blocks: Tensor, limit: Tensor | None) -> Tensor:
    """The rotations that trained blocks (…, b, b) stand for.

    limit: largest Frobenius norm of all skew-symmetric parts together; none where it is 0.
    """
    q = blocks - blocks.mT
    if limit is not None:
        shrunk = (limit / length(q)).clamp(max=1)
        q = q * torch.where(limit > 0, shrunk, 1)
    return cayley(q)


def _limit(slots: Slots, weight: Tensor) -> Tensor | None:
    """In these files `alpha` is the constraint per output (kohya's networks/oft.py, LyCORIS)."""
    return slots["alpha"] * weight.shape[0] if "alpha" in slots else None


def _rotated(rotation: Tensor, slots: Slots, weight: Tensor) -> Tensor:
    """Rᵀ W for every block of outputs, rescaled where the file says so, less W."""
    count, size, _ = rotation.shape
    _fill_up(weight, count, size)
    turned = torch.bmm(rotation.mT, weight.reshape(count, size, -1)).reshape(weight.shape)
    return _rescaled(turned, slots) - weight


def _fill_up(weight: Tensor, count: int, size: int) -> None:
    """Raise ValueError where `count` blocks of `size` are not as many outputs as there are."""
    if count * size != weight.shape[0]:
        raise ValueError(f"{count} blocks of {size} for {weight.shape[0]} outputs")


def _rescaled(weight: Tensor, slots: Slots) -> Tensor:
    if "rescale" not in slots:
        return weight
    return weight * slots["rescale"].reshape(-1, *(1,) * (weight.ndim - 1))


def oft(slots: Slots, weight: Tensor) -> Tensor:
    """Orthogonal finetuning of outputs (Qiu et al. 2023, https://arxiv.org/abs/2306.07280).

    blocks (n, b, b) with n·b outputs; alpha: the constraint; rescale: a factor per output.
    """
    return _rotated(rotations(slots["blocks"], _limit(slots, weight)), slots, weight)


def oft_old(slots: Slots, weight: Tensor) -> Tensor:
    """The same where the file has the rotations themselves (LyCORIS' `oft_diag`)."""
    return _rotated(slots["diag"], slots, weight)


def oft_peft(slots: Slots, weight: Tensor) -> Tensor:
    """PEFT's: rotations of inputs, W Rᵀ; blocks (n, b(b − 1)/2) hold the upper triangles.

    terms: length of the Neumann series that takes the place of the inverse; 0 for the inverse,
    for which PEFT turns the other way round. One block for all where there is one.
    """
    upper = slots["blocks"]
    size = int((1 + (1 + 8 * upper.shape[1]) ** 0.5) / 2)
    q = upper.new_zeros(len(upper), size, size)
    rows, columns = torch.triu_indices(size, size, 1, device=upper.device)
    q[:, rows, columns] = upper
    q = q - q.mT
    terms = int(slots["terms"]) if "terms" in slots and not q.is_meta else 0
    rotation = _neumann(q, terms) if terms else cayley(-q)
    columns_of = weight.flatten(1).view(weight.shape[0], -1, size)
    rotation = rotation.expand(columns_of.shape[1], size, size)
    turned = torch.einsum("onk,nck->onc", columns_of, rotation)
    return turned.reshape(weight.shape) - weight


def _neumann(q: Tensor, terms: int) -> Tensor:
    """I + 2Q + 2Q² + … + Qⁿ: the first powers of Cayley's map, as PEFT sums them (4 for 3, too)."""
    terms = 4 if terms == 3 else terms
    power = torch.eye(q.shape[-1], device=q.device).expand_as(q)
    total = power.clone()
    for number in range(1, terms):
        power = power @ q
        total += power * (1 if number == terms - 1 and number > 1 else 2)
    return total


def boft(slots: Slots, weight: Tensor) -> Tensor:
    """Butterflies of rotations (Liu et al. 2024, https://arxiv.org/abs/2311.06243), as LyCORIS.

    blocks (m, n, b, b): in step i the rotations mix outputs that are 2ⁱ·b/2 apart.
    """
    rotation = rotations(slots["blocks"], _limit(slots, weight))
    steps, count, size, _ = rotation.shape
    _fill_up(weight, count, size)
    turned = weight.flatten(1)
    for step in range(steps):
        reach = 2**step * size // 2
        mixed = turned.reshape(-1, 2, reach, turned.shape[1]).transpose(1, 2)
        mixed = torch.bmm(rotation[step], mixed.reshape(count, size, -1))
        mixed = mixed.reshape(-1, reach, 2, turned.shape[1]).transpose(1, 2)
        turned = mixed.reshape(turned.shape)
    return _rescaled(turned.reshape(weight.shape), slots) - weight


def nothing(slots: Slots, weight: Tensor) -> Tensor:
    """No change: what a sparse bias, or a magnitude alone, is added to."""
    return torch.zeros_like(weight)


def replaced(slots: Slots, weight: Tensor) -> Tensor:
    """S − W: a weight that takes the other's place (ComfyUI's `set_weight`)."""
    return shaped(slots["set"], tuple(weight.shape)) - weight


def decomposed(change: Tensor, magnitude: Tensor, weight: Tensor) -> Tensor:
    """DoRA over another change (Liu et al. 2024, https://arxiv.org/abs/2402.09353).

    V = W + ΔW keeps its directions and gets the lengths of `magnitude`: of rows for (o, 1 …) or
    (o), of columns for (1, i …), the two conventions of LyCORIS' `wd_on_output`.
    """
    moved = weight + change
    rows = magnitude.ndim == 1 or magnitude.shape[0] == weight.shape[0]
    axis = 0 if rows else 1
    others = [number for number in range(weight.ndim) if number != axis]
    shape = [-1 if number == axis else 1 for number in range(weight.ndim)]
    lengths = length(moved, others) + torch.finfo(moved.dtype).eps
    return moved * (magnitude.reshape(shape) / lengths) - weight
