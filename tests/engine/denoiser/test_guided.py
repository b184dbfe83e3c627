"""Laws of guidance: which text a call sees, how answers are weighed, how often is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sampling_toys import ToyNetwork, text
from sfumato.catalogue.trees.unet import SD1
from sfumato.engine.denoiser.guided import Composed, Guided, Timed, combined, rescaled
from sfumato.engine.denoiser.switched import Switched, by_calls, by_noise
from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.networks.attention import KeysValues
from sfumato.engine.networks.unet import UNetModel
from sfumato.engine.request import Guidance
from sfumato.engine.sampling.discretisation import discretisation

X = torch.linspace(-1, 1, 2 * 4 * 3 * 3).view(2, 4, 3, 3)
T = torch.tensor(500.0)
SCALE = Guidance(scale=5.0)
ZERO: Timed = ((99, text(0.0)),)


def always(encoding: Encoding) -> Timed:
    return ((99, encoding),)


def guided(
    positive: Composed, negative: Timed = ZERO, guidance: Guidance = SCALE, **options: object
) -> tuple[Guided, ToyNetwork]:
    network = ToyNetwork()
    found = Guided(
        network=network, positive=positive, negative=negative, guidance=guidance, **options
    )  # pyright: ignore
    return found, network


def answer(value: float) -> Tensor:
    """What the toy network says about a text that is one number."""
    return X * 0.1 + value + 0.5


def test_an_entry_holds_for_one_call_more_than_its_end() -> None:
    timed = ((3, text(1.0)), (6, text(2.0)))
    asked, network = guided(((1.0, timed),))
    for _ in range(7):
        asked(X, T, 1.0)
    conds = [found[0] for found in network.texts[::2]]
    assert conds == [1.0] * 4 + [2.0] * 3


def test_an_alternation_sees_its_first_option_twice() -> None:
    a, b = text(1.0), text(2.0)
    timed = tuple((end, b if end % 2 == 0 else a) for end in range(1, 7))
    asked, network = guided(((1.0, timed),))
    for _ in range(6):
        asked(X, T, 1.0)
    assert [found[0] for found in network.texts[::2]] == [1, 1, 2, 1, 2, 1]
    assert network.projected == 3


def test_calls_past_the_last_entry_stay_with_it() -> None:
    asked, network = guided(((1.0, ((2, text(1.0)), (4, text(2.0)))),))
    for _ in range(40):
        asked(X, T, 1.0)
    assert network.texts[-2][0] == 2.0


def test_the_negative_prompt_has_entries_of_its_own() -> None:
    asked, network = guided(((1.0, always(text(1.0))),), ((1, text(7.0)), (9, text(8.0))))
    for _ in range(4):
        asked(X, T, 1.0)
    assert [found[0] for found in network.texts[1::2]] == [7, 7, 8, 8]


def test_guidance_goes_past_the_prompt() -> None:
    asked, _ = guided(((1.0, always(text(2.0))),), always(text(1.0)))
    out = asked(X, T, 1.0)
    assert torch.allclose(out.guided, answer(1.0 + 5 * (2.0 - 1.0)))
    assert torch.allclose(out.uncond, answer(1.0))


def test_the_parts_of_and_are_added_by_weight() -> None:
    parts = ((0.5, always(text(2.0))), (-1.0, always(text(3.0))))
    asked, _ = guided(parts, always(text(1.0)))
    told = 1.0 + 0.5 * 5 * (2.0 - 1.0) - 1.0 * 5 * (3.0 - 1.0)
    assert torch.allclose(asked(X, T, 1.0).guided, answer(told))


def test_a_scale_of_1_asks_the_prompt_alone() -> None:
    asked, network = guided(((1.0, always(text(2.0))),), guidance=Guidance(scale=1.0))
    assert torch.allclose(asked(X, T, 1.0).guided, answer(2.0))
    assert network.batches == [2]
    weighted, network = guided(((1.5, always(text(2.0))),), guidance=Guidance(scale=1.0))
    assert torch.allclose(weighted(X, T, 1.0).guided, answer(3.0))
    assert network.batches == [2, 2]


def test_the_noise_without_the_prompt_is_asked_for_where_the_scale_is_divided() -> None:
    asked, network = guided(
        ((1.0, always(text(2.0))),), guidance=Guidance(scale=12.5), factor=1 / 12.5
    )
    out = asked(X, T, 1.0)
    assert torch.allclose(out.guided, answer(2.0))
    assert torch.allclose(out.uncond, answer(0.0))
    assert len(network.batches) == 2


@pytest.mark.parametrize(
    ("options", "sigma", "alone"),
    [
        (Guidance(skip_below=2.0), 1.0, [False, True, False, True]),
        (Guidance(skip_below=2.0), 2.0, [False] * 4),
        (Guidance(skip_below=2.0, skip_all=True), 1.0, [True] * 4),
        (Guidance(skip_early=0.25), 1.0, [True, True, False, False]),
        (Guidance(skip_early=0.0), 1.0, [False] * 4),
    ],
)
def test_the_negative_prompt_is_left_out_where_that_was_asked(
    options: Guidance, sigma: float, alone: list[bool]
) -> None:
    asked, network = guided(((1.0, always(text(2.0))),), guidance=options, total=4)
    for skipped in alone:
        before = len(network.batches)
        out = asked(X, T, sigma)
        assert len(network.batches) - before == (1 if skipped else 2)
        assert torch.allclose(out.guided, answer(2.0 if skipped else 14.0))
        assert torch.equal(out.guided, out.uncond) == skipped


def test_without_the_negative_prompt_the_first_part_stands_in_for_it() -> None:
    parts = ((2.0, always(text(2.0))), (0.5, always(text(3.0))))
    asked, _ = guided(parts, guidance=Guidance(skip_early=1.0), total=4)
    assert torch.allclose(asked(X, T, 1.0).guided, answer(2.0 + 0.5 * (3.0 - 2.0)))


def test_prompts_of_other_length_than_the_negative_one_are_asked_by_themselves() -> None:
    asked, network = guided(((1.0, always(text(2.0, chunks=2))),), together=True)
    assert torch.allclose(asked(X, T, 1.0).guided, answer(10.0))
    assert network.batches == [2, 2]


def test_together_and_one_by_one_are_the_same() -> None:
    parts = ((1.0, always(text(2.0, label=0.25))), (0.5, always(text(3.0, label=0.5))))
    negative = always(text(1.0, label=0.0))
    extra = X[:1, :1].contiguous()
    alone, network = guided(parts, negative, extra=extra)
    together, joined = guided(parts, negative, extra=extra, together=True)
    for _ in range(2):
        one, other = alone(X, T, 1.0), together(X, T, 1.0)
        assert torch.allclose(one.guided, other.guided, atol=1e-6)
        assert torch.allclose(one.uncond, other.uncond, atol=1e-6)
    assert (network.batches, joined.batches) == ([2] * 6, [6] * 2)


def test_every_text_is_projected_once() -> None:
    asked, network = guided(((1.0, always(text(2.0))),))
    for _ in range(5):
        asked(X, T, 1.0)
    assert network.projected == 2


def test_the_same_text_on_both_sides_is_asked_once() -> None:
    same = text(2.0)
    asked, network = guided(((1.0, always(same)), (0.3, always(same))), always(same))
    assert torch.allclose(asked(X, T, 1.0).guided, answer(2.0))
    assert network.batches == [2]


def test_many_texts_do_not_pile_up() -> None:
    timed = tuple((end, text(float(end))) for end in range(60))
    asked, _ = guided(((1.0, timed),))
    for _ in range(60):
        asked(X, T, 1.0)
    assert len(asked._projected) <= 16


def test_channels_beside_the_latent_and_labels_reach_the_network() -> None:
    extra = torch.ones(1, 5, 3, 3)
    asked, _ = guided(((1.0, always(text(2.0, label=0.5))),), extra=extra, guidance=SCALE)
    asked.negative = always(text(2.0, label=0.5))
    assert torch.allclose(asked(X, T, 1.0).guided, answer(2.0 + 5.0 + 1.5), atol=1e-5)


def test_an_edit_weighs_the_picture_beside_the_text() -> None:
    asked, network = guided(
        ((1.0, always(text(2.0))),),
        always(text(1.0)),
        Guidance(scale=5.0, image_scale=1.5, skip_below=99.0, skip_all=True),
        extra=torch.ones(1, 4, 3, 3),
        edits=True,
    )
    # the picture's four channels add 4 wherever it is shown
    told = 1.0 + 5.0 * (2.0 - 1.0) + 1.5 * 4.0
    assert torch.allclose(asked(X, T, 1.0).guided, answer(told))
    assert len(network.batches) == 3


def test_the_network_is_asked_in_its_own_precision_and_answers_in_single() -> None:
    seen: list[torch.dtype] = []

    class Half(ToyNetwork):
        def __call__(
            self, x: Tensor, timesteps: Tensor, context: KeysValues, y: Tensor | None = None, /
        ) -> Tensor:
            seen.extend([x.dtype, context.layers[0][0].dtype, timesteps.dtype])
            return super().__call__(x, timesteps, context, y).to(x.dtype)

    coarse = Encoding(text(1.0).context.bfloat16())
    asked = Guided(
        network=Half(), positive=((1.0, always(coarse)),), negative=always(coarse), guidance=SCALE
    )
    assert asked(X, T, 1.0).guided.dtype == torch.float32
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32]


def test_rescaling_gives_each_picture_the_spread_of_its_prompt() -> None:
    cond = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    strong = cond * torch.tensor([3.0, 7.0]).view(2, 1, 1, 1)
    assert torch.allclose(rescaled(strong, cond, 1.0), cond, atol=1e-6)
    assert torch.allclose(rescaled(strong, cond, 0.0), strong)
    assert torch.allclose(rescaled(strong, cond, 0.5), (strong + cond) / 2, atol=1e-6)


def test_rescaling_is_part_of_guidance() -> None:
    asked, _ = guided(((1.0, always(text(2.0))),), guidance=replace(SCALE, rescale=0.7))
    plain = answer(10.0)
    told = rescaled(plain, answer(2.0), 0.7)
    assert torch.allclose(asked(X, T, 1.0).guided, told, atol=1e-5)


def test_no_weight_is_no_change() -> None:
    assert torch.equal(combined(X, [X + 1], [0.0], 7.0), X)


def test_a_refiner_takes_over_at_its_share_of_the_noise() -> None:
    table = discretisation()
    first, network = guided(((1.0, ((2, text(1.0)), (9, text(2.0)))),))
    made: list[Guided] = []

    def refiner() -> Guided:
        made.append(guided(((1.0, ((2, text(5.0)), (9, text(6.0)))),))[0])
        return made[-1]

    asked = Switched(first, by_noise(table, 0.8), refiner)
    for t in (999, 600, 300, 200, 198, 100):
        sigma = float(table.sigmas[t])
        out = asked(X, T, sigma)
    assert len(made) == 1
    assert len(network.texts) == 2 * 4
    assert made[0].calls == 6
    assert torch.allclose(out.guided, answer(30.0))


def test_a_refiner_may_take_over_by_calls() -> None:
    reached = by_calls(10, 0.8)
    assert [reached(1.0, calls) for calls in (0, 7, 8, 9)] == [False, False, True, True]


def test_a_unet_is_asked_as_if_by_hand() -> None:
    sizes = replace(SD1, widths=(32, 32, 64, 64), context=16)
    unet = UNetModel(sizes, heads=2).eval()
    texts = [Encoding(torch.randn(1, 77, 16)) for _ in range(2)]
    x = torch.randn(2, 4, 8, 8)
    with torch.inference_mode():
        cond, uncond = (unet(x, T.expand(2), encoding.context) for encoding in texts)
        for together in (False, True):
            asked = Guided(
                network=unet, positive=((1.0, always(texts[0])),), negative=always(texts[1]),
                guidance=SCALE, together=together,
            )  # fmt: skip
            told = uncond + 5.0 * (cond - uncond)
            assert torch.allclose(asked(x, T, 1.0).guided, told, atol=1e-5)
