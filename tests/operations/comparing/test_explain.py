"""What a model is made of is read back from its weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from comparable import cast, mixed, small, stored, tuned
from sfumato.containers.dtype import F16
from sfumato.containers.tensor import Tensor
from sfumato.errors import UsageError
from sfumato.operations.comparing.explain import Origin, explain
from sfumato.operations.comparing.words import formula, origin
from sfumato.operations.ema import ema
from small_models import UNET, VAE_PREFIX

Models = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def models() -> Models:
    """A base and three fine-tunes of it."""
    base = small()
    return {"base": base} | {
        name: tuned(base, 0.05, seed=seed)
        for name, seed in (("ink", 10_000), ("oil", 20_000), ("wax", 30_000))
    }


def origins(folder: Path, subject: dict[str, Tensor], candidates: Models) -> dict[str, Origin]:
    paths = [stored(folder / f"{name}.safetensors", m) for name, m in candidates.items()]
    found = explain(stored(folder / "subject.safetensors", subject), paths)
    return {origin.role: origin for origin in found.origins}


def weights(found: Origin) -> dict[str, float]:
    assert found.mixture is not None
    return {term.name: round(term.weight, 3) for term in found.mixture.terms}


def test_a_part_that_a_candidate_has_is_found(tmp_path: Path, models: Models) -> None:
    vae = {n: t for n, t in models["wax"].items() if n.startswith(VAE_PREFIX)}
    found = origins(tmp_path, {**models["ink"], **vae}, models)
    assert {role: one.same for role, one in found.items()} == {
        "unet": ("ink",), "vae": ("wax",), "text_encoder": ("ink",)
    }  # fmt: skip


def test_what_the_beginnings_show_is_proved_by_every_number(tmp_path: Path, models: Models) -> None:
    subject = tuned(models["ink"], 0.5, seed=5, under=f"{UNET}out.2.bias")
    found = origins(tmp_path, subject, models)
    assert found["vae"].proof is not None and found["vae"].proof.state == "identical"
    assert found["unet"].proof is not None and found["unet"].proof.state == "changed"
    assert "ink (changed by" in origin(found["unet"])


def test_a_weighted_sum_is_read_back(tmp_path: Path, models: Models) -> None:
    subject = mixed((0.7, models["ink"]), (0.3, models["oil"]))
    found = origins(tmp_path, subject, {name: models[name] for name in ("ink", "oil")})
    for one in found.values():
        assert one.how == "mixed" and weights(one) == {"ink": 0.7, "oil": 0.3}
        assert one.mixture is not None and one.mixture.residual < 1e-5
        assert formula(one.mixture) == "0.70 ink + 0.30 oil"


def test_candidates_without_a_share_are_left_out(tmp_path: Path, models: Models) -> None:
    subject = mixed((0.7, models["ink"]), (0.3, models["oil"]))
    assert weights(origins(tmp_path, subject, models)["unet"]) == {"ink": 0.7, "oil": 0.3}


def test_a_sum_that_was_rounded_is_still_read_back(tmp_path: Path, models: Models) -> None:
    halves = {name: cast(model, F16) for name, model in models.items()}
    subject = cast(mixed((0.4, models["ink"]), (0.6, models["wax"])), F16)
    found = origins(tmp_path, subject, halves)["unet"]
    assert found.how == "mixed" and weights(found) == pytest.approx(
        {"wax": 0.6, "ink": 0.4}, abs=0.01
    )


def test_an_added_difference_is_written_as_one(tmp_path: Path, models: Models) -> None:
    subject = mixed((1.0, models["ink"]), (0.8, models["oil"]), (-0.8, models["base"]))
    found = origins(tmp_path, subject, models)["unet"]
    assert found.mixture is not None and found.how == "mixed"
    assert formula(found.mixture) == "ink + 0.80 (oil - base)"
    assert found.mixture.total == pytest.approx(1.0, abs=1e-3)


def test_a_merge_with_weights_for_each_block_is_told(tmp_path: Path, models: Models) -> None:
    half = mixed((0.5, models["ink"]), (0.5, models["oil"]))
    tenth = mixed((0.9, models["ink"]), (0.1, models["oil"]))
    inner = {n: t for n, t in half.items() if n.startswith(f"{UNET}output_blocks.")}
    found = origins(tmp_path, {**tenth, **inner}, models)["unet"]
    assert found.how == "mixed by block" and found.mixture is not None
    names = [term.name for term in found.mixture.terms]
    told = {b.block: dict(zip(names, b.weights, strict=True)) for b in found.mixture.blocks}
    assert told["output_blocks.0"]["oil"] == pytest.approx(0.5, abs=0.01)
    assert told["input_blocks.1"]["oil"] == pytest.approx(0.1, abs=0.01)


def test_training_after_a_merge_is_told_from_rounding(tmp_path: Path, models: Models) -> None:
    subject = tuned(mixed((0.5, models["ink"]), (0.5, models["oil"])), 0.01, seed=5)
    found = origins(tmp_path, subject, models)["unet"]
    assert found.how == "nearly mixed" and "something else went in" in origin(found)


def test_a_fine_tune_of_one_candidate_is_no_mixture(tmp_path: Path, models: Models) -> None:
    subject = tuned(models["ink"], 0.01, seed=5)
    found = origins(tmp_path, subject, models)["unet"]
    assert found.how == "apart" and next(iter(found.distances)) == "ink"


def test_two_names_of_one_model_do_not_share_its_weight(tmp_path: Path, models: Models) -> None:
    subject = mixed((0.7, models["ink"]), (0.3, models["oil"]))
    twins = {"ink": models["ink"], "pen": cast(models["ink"], F16), "oil": models["oil"]}
    assert weights(origins(tmp_path, subject, twins)["unet"]) == {"ink": 0.7, "oil": 0.3}


def test_a_fixed_share_less_than_one_is_told(tmp_path: Path, models: Models) -> None:
    subject = mixed((0.7, models["ink"]), (0.2, models["oil"]))
    found = origins(tmp_path, subject, models)["unet"]
    assert "the weights sum to 0.90" in origin(found)


def test_an_averaged_copy_is_a_candidate_of_its_own(tmp_path: Path) -> None:
    a = stored(tmp_path / "a.safetensors", small(ema=True))
    ema(a, tmp_path / "b.safetensors", action="use")
    found = explain(tmp_path / "b.safetensors", [a])
    assert found.origins[0].same == ("a (averaged)",)


def test_a_part_without_a_candidate_is_told(tmp_path: Path, models: Models) -> None:
    vae = {n: t for n, t in models["ink"].items() if n.startswith(VAE_PREFIX)}
    found = origins(tmp_path, models["ink"], {"vae": vae})
    assert (found["unet"].how, found["vae"].how) == ("alone", "same")


def test_no_candidate_is_wrong_usage(tmp_path: Path, models: Models) -> None:
    with pytest.raises(UsageError, match="may come from"):
        explain(stored(tmp_path / "a.safetensors", models["ink"]), [])
