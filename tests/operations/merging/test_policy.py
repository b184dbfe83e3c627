"""What comes from whom, what is exempt, and what is refused before a byte is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mergeable import arrays, changed, model, write
from paintable import write as paintable
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F16
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import Refused, UsageError
from sfumato.operations.convert import convert
from sfumato.operations.merging.merge import merge
from sfumato.operations.plan import Report
from small_models import IDS, TEXT, UNET, VAE_PREFIX, average, sd1

FIRST = f"{UNET}input_blocks.0.0.weight"


def merged(folder: Path, *paths: Path, **options: object) -> tuple[Report, dict[str, np.ndarray]]:
    target = folder / "merged.safetensors"
    report = merge(paths, target, force=True, **options)  # pyright: ignore
    return report, arrays(target)  # pyright: ignore


@pytest.mark.parametrize(
    ("policy", "prefix"), [("unet", UNET), ("text_encoder", TEXT), ("vae", VAE_PREFIX)]
)
def test_a_part_comes_from_whom_it_was_asked_of(tmp_path: Path, policy: str, prefix: str) -> None:
    a, b = write(tmp_path, "a", "b")
    _, found = merged(tmp_path, a, b, **{policy: "B"})
    wanted = arrays(b)
    assert all(np.array_equal(found[n], wanted[n]) for n in wanted if n.startswith(prefix))


def test_the_vae_is_the_first_models_unless_it_is_all_there_is(tmp_path: Path) -> None:
    for name in ("a", "b"):
        vae = {n: t for n, t in model(ord(name)).items() if n.startswith(VAE_PREFIX)}
        save(tmp_path / f"{name}.safetensors", vae)
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    _, found = merged(tmp_path, *paths, alpha=1.0)
    assert all(np.array_equal(v, arrays(paths[1])[n]) for n, v in found.items())


def test_position_ids_and_other_integers_are_never_computed(tmp_path: Path) -> None:
    (b,) = write(tmp_path, "b")
    a = tmp_path / "a.safetensors"
    save(a, {**model(1), "steps": tensor_from(np.int64([4000]))})
    _, found = merged(tmp_path, a, b)
    assert found[IDS].tolist() == [[*range(77)]] and found["steps"].tolist() == [4000]
    with open_model(tmp_path / "merged.safetensors") as result:
        assert result[IDS].dtype.name == "I64"


def test_broken_position_ids_are_told_of(tmp_path: Path) -> None:
    (b,) = write(tmp_path, "b")
    ids = np.arange(77, dtype=np.float32)[None] - 0.0025
    save(tmp_path / "a.safetensors", changed(model(1), IDS, ids))
    report, found = merged(tmp_path, tmp_path / "a.safetensors", b)
    assert np.array_equal(found[IDS], ids)
    assert any("sfumato repair" in warning for warning in report.warnings())


def test_schedule_tables_are_the_first_models_even_in_a_cast(tmp_path: Path) -> None:
    table = np.linspace(1, 0, 1000)
    for name, values in (("a", table), ("b", table * 0.5)):
        save(tmp_path / f"{name}.safetensors", changed(model(ord(name)), "alphas_cumprod", values))
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    _, found = merged(tmp_path, *paths, dtype="f16")
    assert np.array_equal(found["alphas_cumprod"], table.astype(np.float32))


@pytest.mark.parametrize("kind", ["sd1-inpainting", "sd1-ip2p"])
def test_the_further_channels_of_an_inpainting_model_are_kept(tmp_path: Path, kind: str) -> None:
    a = paintable(tmp_path / "a.safetensors", kind, seed=1)
    b, c = (paintable(tmp_path / f"{n}.safetensors", "sd1", seed=ord(n)) for n in "bc")
    _, found = merged(tmp_path, a, b, c, method="add-difference", alpha=1.0, dtype="f16")
    x, y, z = arrays(a)[FIRST], arrays(b)[FIRST], arrays(c)[FIRST]
    wanted = x.copy()
    wanted[:, :4] += y - z
    assert np.array_equal(found[FIRST], wanted.astype(np.float16).astype(np.float32))
    _, found = merged(tmp_path, a, b, method="slerp")
    assert np.array_equal(found[FIRST][:, 4:], x[:, 4:])


def test_an_inpainting_model_that_is_not_first_is_refused_with_the_way_out(tmp_path: Path) -> None:
    a = paintable(tmp_path / "a.safetensors", "sd1", seed=1)
    b = paintable(tmp_path / "b.safetensors", "sd1-inpainting", seed=2)
    with pytest.raises(Refused, match="name the inpainting or editing model first"):
        merged(tmp_path, a, b)


def test_two_families_are_refused_in_one_sentence(tmp_path: Path) -> None:
    a = paintable(tmp_path / "a.safetensors", "sd1", seed=1)
    b = paintable(tmp_path / "b.safetensors", "sdxl", seed=2)
    with pytest.raises(Refused, match="of two families"):
        merged(tmp_path, a, b)


def test_tensors_of_two_shapes_are_never_broadcast(tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    name = f"{UNET}out.2.bias"
    save(tmp_path / "b.safetensors", changed(model(2), name, [1.0]))
    with pytest.raises(Refused, match=r"is \[4\] in .* and \[1\] in "):
        merged(tmp_path, a, tmp_path / "b.safetensors")


def test_a_part_that_is_not_whole_is_refused_by_the_tensor_it_lacks(tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    less = {n: t for n, t in model(2).items() if not n.endswith("out.2.bias")}
    save(tmp_path / "b.safetensors", less)
    with pytest.raises(Refused, match=r"lacks model\.diffusion_model\.out\.2\.bias"):
        merged(tmp_path, a, tmp_path / "b.safetensors")


def test_a_part_that_one_model_lacks_is_the_first_models(tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    save(tmp_path / "b.safetensors", {n: t for n, t in model(2).items() if n.startswith(UNET)})
    report, found = merged(tmp_path, a, tmp_path / "b.safetensors")
    wanted = arrays(a)
    assert all(np.array_equal(found[n], wanted[n]) for n in wanted if n.startswith(TEXT))
    assert any("the text encoder is that of A" in text for text in report.sentences())


def test_what_only_another_model_has_is_told_of(tmp_path: Path) -> None:
    (b,) = write(tmp_path, "b")
    save(tmp_path / "a.safetensors", {n: t for n, t in model(1).items() if n.startswith(UNET)})
    report, _ = merged(tmp_path, tmp_path / "a.safetensors", b)
    assert any("of B (b.safetensors) left out" in text for text in report.sentences())


def test_averages_are_dropped_used_or_merged_as_asked(tmp_path: Path) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save(a, sd1(ema=True))
    write(tmp_path, "b")
    live = f"{UNET}out.2.bias"
    own, other = arrays(a), arrays(b)
    report, found = merged(tmp_path, a, b, alpha=0.25)
    assert average(live) not in found and any("averaged" in s for s in report.sentences())
    assert np.allclose(found[live], 0.75 * own[live] + 0.25 * other[live], atol=1e-6)
    _, found = merged(tmp_path, a, b, alpha=0.25, ema="use")
    assert np.allclose(found[live], 0.75 * own[average(live)] + 0.25 * other[live], atol=1e-6)
    with pytest.raises(Refused, match="has no averaged weights to merge"):
        merged(tmp_path, a, b, ema="merge")
    _, found = merged(tmp_path, a, a, ema="merge")
    assert np.array_equal(found[average(live)], own[average(live)])


@pytest.mark.parametrize("method", ["weighted-sum", "ties", "cosine-a"])
def test_a_number_that_is_none_is_refused_by_the_name_of_its_model(
    tmp_path: Path, method: str
) -> None:
    (a,) = write(tmp_path, "a")
    name = f"{UNET}out.2.bias"
    save(tmp_path / "b.safetensors", changed(model(2), name, [0, np.nan, 0, 0]))
    with pytest.raises(Refused, match=r"B \(b.safetensors\) holds NaN"):
        merged(tmp_path, a, tmp_path / "b.safetensors", method=method)
    assert not (tmp_path / "merged.safetensors").exists()


def test_a_broken_vae_that_is_passed_on_is_told_of(tmp_path: Path) -> None:
    (b,) = write(tmp_path, "b")
    name = f"{VAE_PREFIX}quant_conv.bias"
    broken = np.full(model(1)[name].shape, np.inf)
    save(tmp_path / "a.safetensors", changed(model(1), name, broken))
    report, _ = merged(tmp_path, tmp_path / "a.safetensors", b)
    assert any("pictures turn black" in text for text in report.sentences())


def test_numbers_that_become_infinite_are_counted_and_strict_forbids_them(tmp_path: Path) -> None:
    name = f"{UNET}out.2.bias"
    for key in ("a", "b"):
        path = tmp_path / f"{key}.safetensors"
        save(path, changed(model(ord(key)), name, [1e6, 0, 0, 0]))
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    report, found = merged(tmp_path, *paths, dtype="f16")
    assert report.plan.losses.infinite == {name: 1} and np.isinf(found[name][0])
    with pytest.raises(Refused, match="would become infinite"):
        merged(tmp_path, *paths, dtype="f16", strict=True)


def test_models_in_other_containers_and_spellings_are_merged_alike(tmp_path: Path) -> None:
    a, b = (paintable(tmp_path / f"{n}.safetensors", "sd1", seed=ord(n)) for n in "ab")
    convert(b, tmp_path / "folder")
    convert(b, tmp_path / "b.ckpt")
    _, wanted = merged(tmp_path, a, b, alpha=0.3)
    for other in (tmp_path / "folder", tmp_path / "b.ckpt"):
        _, found = merged(tmp_path, a, other, alpha=0.3)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_merge_is_written_to_every_container(tmp_path: Path) -> None:
    a, b = (paintable(tmp_path / f"{n}.safetensors", "sd1", seed=ord(n)) for n in "ab")
    _, wanted = merged(tmp_path, a, b, alpha=0.3)
    for target in ("m.ckpt", "m.gguf", "folder"):
        merge([a, b], tmp_path / target, alpha=0.3)
        back = tmp_path / f"{target}.safetensors"
        convert(tmp_path / target, back, spelling="ldm" if target == "folder" else None)
        found = arrays(back)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_clip_under_its_old_names_is_merged_with_one_under_todays(tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    old = {n.replace(f"{TEXT}text_model.", TEXT): t for n, t in model(ord("b")).items()}
    save(tmp_path / "b.safetensors", old)
    _, found = merged(tmp_path, a, tmp_path / "b.safetensors", alpha=1.0)
    name = f"{TEXT}text_model.final_layer_norm.weight"
    assert np.allclose(
        found[name], arrays(tmp_path / "b.safetensors")[name.replace("text_model.", "")]
    )


def test_the_types_are_the_first_models(tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a", dtype=F16)
    (b,) = write(tmp_path, "b")
    merged(tmp_path, a, b)
    with open_model(a) as first, open_model(tmp_path / "merged.safetensors") as result:
        assert {n: t.dtype for n, t in result.items()} == {n: t.dtype for n, t in first.items()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "weigted"}, "nearest: weighted-sum"),
        ({"aplha": 0.3}, "nearest: alpha"),
        ({"method": "ties", "density": 1.5}, "from 0 to 1"),
        ({"method": "add-low-rank"}, "takes 3 models"),
        ({"alpha": float("nan")}, "is no number"),
        ({"unet": "C"}, "no model of this merge"),
        ({"ema": "keep"}, "none of drop, use and merge"),
        ({"method": "sum", "weights": [1.0]}, "one for each of 2 models"),
        ({"method": "dare", "seed": "grad-v"}, "one number"),
    ],
)
def test_a_request_without_sense_is_refused_with_the_nearest(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    a, b = write(tmp_path, "a", "b")
    with pytest.raises(UsageError, match=said):
        merged(tmp_path, a, b, **options)


def test_a_dry_run_writes_nothing_and_tells_bytes_and_memory(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    report = merge([a, b], tmp_path / "m.safetensors", method="ties", dry_run=True)
    assert not (tmp_path / "m.safetensors").exists()
    assert any(text.startswith("needs at most") for text in report.sentences())


def test_nothing_to_merge_is_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    with pytest.raises(Refused, match="nothing to merge"):
        merged(tmp_path, a, b, unet="A", text_encoder="A", vae="A")
