"""The UNet: the keys of every model ever published, and the same laws for all sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from small_unets import small_unets

from sfumato.catalogue import families
from sfumato.catalogue.component import Component
from sfumato.catalogue.trees.unet import NO_ATTENTION, NO_MIDDLE, UNet, sizes, unet_shapes
from sfumato.engine.networks.attention import CrossAttention
from sfumato.engine.networks.build import build
from sfumato.engine.networks.unet import UNetModel, timestep_embedding
from sfumato.errors import UsageError

pytestmark = pytest.mark.slow

SMALL = sizes((32, 64), (1, 0), 1, 96, blocks=1)
LABELLED = sizes((32, 64), (0, 2), 2, 48, labels=20, linear_projection=True)


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def small(unet: UNet = SMALL, seed: int = 0) -> UNetModel:
    torch.manual_seed(seed)
    return UNetModel(unet).eval()


def inputs(unet: UNet, height: int = 8, width: int = 8) -> tuple[torch.Tensor, ...]:
    """x, timesteps, context, y for a batch of two."""
    torch.manual_seed(1)
    x = torch.randn(2, unet.inputs, height, width)
    context = torch.randn(2, 5, unet.context or 1)
    y = torch.tensor([1, 2]) if unet.classes else torch.randn(2, unet.labels or 1)
    return x, torch.tensor([1.0, 500.5]), context, y


@pytest.mark.parametrize("known", families.UNETS, ids=lambda c: f"{c.family} {c.variant}")
def test_every_published_unet_has_the_keys_and_shapes_of_its_files(known: Component[UNet]) -> None:
    assert shapes_of(build(known.sizes)) == dict(unet_shapes(known.sizes))


@given(small_unets())
@settings(max_examples=40, deadline=None)
def test_a_unet_of_any_sizes_has_the_keys_of_its_tree(unet: UNet) -> None:
    assert shapes_of(build(unet)) == dict(unet_shapes(unet))


@given(small_unets())
@settings(max_examples=15, deadline=None)
@torch.inference_mode()
def test_a_unet_of_any_sizes_runs_at_an_odd_size(unet: UNet) -> None:
    out = small(unet)(*inputs(unet, 9, 13))
    assert out.shape == (2, unet.outputs, 9, 13) and out.isfinite().all()


@pytest.mark.parametrize("middle", [NO_MIDDLE, NO_ATTENTION, 0, 2])
@pytest.mark.parametrize("blocks", [1, 2, 3])
@torch.inference_mode()
def test_middles_and_levels_of_every_form_run(middle: int, blocks: int) -> None:
    unet = sizes((16, 32), (0, 1), middle, 24, blocks=blocks)
    assert small(unet)(*inputs(unet)).shape == (2, 4, 8, 8)


@torch.inference_mode()
def test_self_attention_may_look_at_the_text_alone_and_labels_may_be_classes() -> None:
    unet = sizes((16, 32), (1, 1), 1, 24, classes=3, inputs=7, cross_only=(True, False))
    network = small(unet)
    x, timesteps, context, y = inputs(unet)
    out = network(x, timesteps, context, y)
    assert len(network.project(context).layers) == 11 + 5
    assert not torch.equal(out, network(x, timesteps, context + 1, y))
    assert not torch.equal(out, network(x, timesteps, context, y * 0))


@pytest.mark.parametrize("unet", [SMALL, LABELLED], ids=["sd1", "sdxl"])
@torch.inference_mode()
def test_keys_and_values_computed_once_give_the_same_picture(unet: UNet) -> None:
    network = small(unet)
    x, timesteps, context, y = inputs(unet)
    projected = network.project(context)
    assert torch.equal(network(x, timesteps, context, y), network(x, timesteps, projected, y))


@torch.inference_mode()
def test_a_text_of_batch_one_serves_all_pictures() -> None:
    network = small()
    x, timesteps, context, _ = inputs(SMALL)
    expected = network(x, timesteps, context[:1].repeat(2, 1, 1))
    assert torch.allclose(network(x, timesteps, context[:1]), expected, atol=1e-6)
    assert torch.allclose(network(x, timesteps, network.project(context[:1])), expected, atol=1e-6)


@torch.inference_mode()
def test_pictures_of_a_batch_do_not_know_of_each_other() -> None:
    network = small(LABELLED)
    x, timesteps, context, y = inputs(LABELLED)
    alone = network(x[1:], timesteps[1:], context[1:], y[1:])
    assert torch.allclose(network(x, timesteps, context, y)[1:], alone, atol=1e-5)


@torch.inference_mode()
def test_nothing_that_is_given_is_changed() -> None:
    network = small(LABELLED)
    given_ = inputs(LABELLED)
    before = [tensor.clone() for tensor in given_]
    assert torch.equal(network(*given_), network(*given_))
    assert all(torch.equal(a, b) for a, b in zip(given_, before, strict=True))


def test_training_and_painting_compute_the_same_and_every_weight_has_a_gradient() -> None:
    network = small(LABELLED)
    given_ = inputs(LABELLED, 6, 10)
    recorded = network(*given_)
    with torch.inference_mode():
        assert torch.allclose(recorded, network(*given_), atol=1e-5)
    recorded.square().mean().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_gradients_are_those_of_finite_differences() -> None:
    network = small(sizes((16, 16), (1, 0), 1, 24, blocks=1)).double()
    x, timesteps, context, _ = (tensor.double() for tensor in inputs(network.sizes, 4, 4))
    x.requires_grad_(True)
    direction = torch.randn_like(x)
    (gradient,) = torch.autograd.grad(network(x, timesteps, context).sum(), x)
    with torch.no_grad():
        up, down = (network(x + s * 1e-6 * direction, timesteps, context).sum() for s in (1, -1))
    assert torch.allclose((gradient * direction).sum(), (up - down) / 2e-6, rtol=1e-4)


@torch.inference_mode()
def test_a_change_of_the_context_acts_in_every_attention_and_in_what_is_computed_once() -> None:
    network = small()
    x, timesteps, context, _ = inputs(SMALL)
    layers = [m for m in network.modules() if isinstance(m, CrossAttention)]
    seen: list[int] = []

    def change(keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(keys.shape[-1])
        return keys * 2, values + 1

    plain = network(x, timesteps, context)
    for layer in layers:
        layer.changes = (change,)
    changed = network(x, timesteps, context)
    assert len(seen) == len(layers) and {32, 64, 96} == set(seen)
    assert not torch.allclose(plain, changed)
    assert torch.equal(changed, network(x, timesteps, network.project(context)))


def test_a_missing_label_vector_is_asked_for() -> None:
    x, timesteps, context, _ = inputs(LABELLED)
    with pytest.raises(UsageError, match="takes 20 label numbers"):
        small(LABELLED)(x, timesteps, context)


@pytest.mark.parametrize(
    ("unet", "width", "heads"),
    [
        (sizes((320, 640), (1, 1), 1, 768), 640, 8),
        (sizes((320, 640), (1, 1), 1, 1024, linear_projection=True), 640, 10),
        (sizes((256, 512), (1, 1), 1, 1024, linear_projection=True, classes=9), 512, 8),
        (sizes((20, 40), (1, 1), 1, 64), 20, 4),
        (sizes((48, 96), (1, 1), 1, 64, linear_projection=True), 48, 1),
    ],
)
def test_heads_follow_from_the_sizes(unet: UNet, width: int, heads: int) -> None:
    network = build(unet)
    found = {
        m.to_q.out_features: m.heads for m in network.modules() if isinstance(m, CrossAttention)
    }
    assert found[width] == heads
    asked = build(unet, heads=2)
    assert {m.heads for m in asked.modules() if isinstance(m, CrossAttention)} == {2}


def test_groups_leave_four_channels_of_the_first_level_to_each() -> None:
    def groups(*widths: int) -> set[int]:
        network = build(sizes(widths, (1,) * len(widths), 1, 32))
        norms = (m for m in network.modules() if isinstance(m, torch.nn.GroupNorm))
        return {norm.num_groups for norm in norms}

    assert groups(320, 640) == {32} and groups(64, 128) == {16} and groups(32, 48) == {8}
    assert groups(48, 32) == {4}  # twelve would not divide 32


def test_timesteps_between_whole_ones_have_embeddings_of_their_own() -> None:
    steps = torch.tensor([0.0, 1.0, 1.5, 999.0])
    embedded = timestep_embedding(steps, 8)
    assert embedded.shape == (4, 8) and embedded.dtype == torch.float32
    assert embedded[0].tolist() == [1.0] * 4 + [0.0] * 4
    assert torch.allclose(embedded[:, 0], steps.cos()) and torch.allclose(
        embedded[:, 4], steps.sin()
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_is_kept_to(dtype: torch.dtype) -> None:
    network = small().to(dtype)
    x, timesteps, context, _ = inputs(SMALL)
    out = network(x.to(dtype), timesteps, context.to(dtype))
    expected = small()(x, timesteps, context)
    assert out.dtype == dtype and torch.allclose(out.float(), expected, atol=0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.inference_mode()
def test_a_compiled_unet_paints_the_same() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("torch.compile needs a C++ compiler, and there is none")
    network = small(sizes((16,), (1,), NO_MIDDLE, 24, blocks=1))
    x, timesteps, context, _ = inputs(network.sizes)
    projected = network.project(context)
    expected = network(x, timesteps, projected)
    compiled = torch.compile(network, fullgraph=True)
    assert torch.allclose(compiled(x, timesteps, projected), expected, atol=1e-4)
