"""What is said of LoRAs: family, flavour, spelling, ranks, targets, and what does not fit."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from adapter_files import attention, header, kohya, lora, model, unread

from sfumato.catalogue.adapters import recognise
from sfumato.catalogue.adapters.alphas import read_alphas
from sfumato.catalogue.spelling.networks import unet_modules
from sfumato.catalogue.trees.unet import REFINER, SD1
from sfumato.catalogue.verdict import Adapter, Verdict
from sfumato.containers.dtype import BF16, F16, F32, DType
from sfumato.containers.tensor import Tensor


def said(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Verdict:
    verdict = recognise(tensors, metadata or {}, {}, "file")
    assert verdict is not None
    return verdict


def adapter(tensors: dict[str, Tensor]) -> Adapter:
    found = said(tensors).adapter
    assert found is not None
    return found


@pytest.mark.parametrize(("family", "count"), [("sd1", 264), ("sd2", 330), ("sdxl", 986)])
def test_every_module_of_a_whole_lora_is_known(family: str, count: int) -> None:
    verdict = said(kohya(family))
    found = verdict.adapter
    assert found is not None
    assert (verdict.kind, verdict.family, verdict.confidence) == ("lora", family, "certain")
    assert (found.modules, found.known, found.possible) == (count, count, count)
    assert not verdict.left_over and not verdict.contradictions


def test_sdxl_is_known_under_both_names_of_its_blocks() -> None:
    original, renamed = adapter(kohya("sdxl", sgm=True)), adapter(kohya("sdxl"))
    assert (original.spelling, renamed.spelling) == ("kohya-sgm", "kohya-diffusers")
    assert original.known == renamed.known == 986
    assert original.targets == ("unet", "text_encoder", "text_encoder_2")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_lora_for_the_unet_alone_says_so(family: str) -> None:
    verdict = said(kohya(family, only="lora_unet_"))
    assert verdict.family == family
    assert verdict.adapter is not None and verdict.adapter.targets == ("unet",)
    assert "only the UNet is changed" in verdict.evidence


@pytest.mark.parametrize(("family", "expected"), [("sd1", "sd1"), ("sd2", "sd2")])
def test_a_lora_for_the_text_encoder_alone_is_told_by_its_width(family: str, expected: str) -> None:
    verdict = said(kohya(family, only="lora_te"))
    assert verdict.family == expected
    assert "only text encoders are changed" in verdict.evidence


def test_sdxl_first_text_encoder_alone_may_be_sd1s_and_metadata_decides() -> None:
    tensors = kohya("sdxl", only="lora_te1_")
    assert said(tensors).family == "sd1/sdxl"
    assert said(tensors, {"ss_base_model_version": "sdxl_base_v1-0"}).family == "sdxl"


def test_a_refiner_lora_is_told_from_sdxls() -> None:
    tensors: dict[str, Tensor] = {}
    for module in attention(unet_modules(REFINER)):
        name = "lora_unet_" + module.ldm.replace(".", "_")
        tensors |= model(lora(name, module.shape))
    assert said(tensors).family == "sdxl-refiner"


SPELLINGS = {
    "peft": ("unet.{}", ".lora_A.weight", ".lora_B.weight"),
    "peft-default": ("unet.{}", ".lora_A.default.weight", ".lora_B.default.weight"),
    "peft-named": ("unet.{}", ".lora_A.mine.weight", ".lora_B.mine.weight"),
    "peft-folder": ("base_model.model.{}", ".lora_A.weight", ".lora_B.weight"),
    "diffusers-attn-procs": ("{}", "_lora.down.weight", "_lora.up.weight"),
    "diffusers": ("unet.{}", ".lora.down.weight", ".lora.up.weight"),
    "diffusers-linear": (
        "unet.{}",
        ".lora_linear_layer.down.weight",
        ".lora_linear_layer.up.weight",
    ),
    "hcp": ("{}", ".___.layer.W_down", ".___.layer.W_up"),
    "lycoris": ("lycoris_{}", ".lora_down.weight", ".lora_up.weight"),
    "ldm": ("diffusion_model.{}", ".lora_A.weight", ".lora_B.weight"),
    "generic": ("model.diffusion_model.{}", ".lora_down.weight", ".lora_up.weight"),
}
"""test name → how a module is written, endings of down and up"""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_names_the_same_modules(spelling: str) -> None:
    pattern, down, up = SPELLINGS[spelling]
    shapes: dict[str, tuple[int, ...]] = {}
    for module in attention(unet_modules(SD1)):
        path = module.ldm if spelling in ("ldm", "generic") else module.diffusers
        if spelling == "lycoris":
            path = path.replace(".", "_")
        shapes[pattern.format(path) + down] = (8, module.shape[1])
        shapes[pattern.format(path) + up] = (module.shape[0], 8)
    verdict = said(model(shapes))
    found = verdict.adapter
    assert found is not None and verdict.family == "sd1"
    assert (found.modules, found.known, found.ranks) == (192, 192, (8,))
    assert spelling.startswith(found.spelling)


def test_the_attention_processors_of_old_diffusers_are_understood() -> None:
    block = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor"
    text = "text_encoder.text_model.encoder.layers.0.self_attn"
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("to_q", "to_k", "to_v", "to_out"):
        inputs = 768 if name in ("to_k", "to_v") else 320
        shapes[f"unet.{block}.{name}_lora.down.weight"] = (4, inputs)
        shapes[f"unet.{block}.{name}_lora.up.weight"] = (320, 4)
        shapes[f"{text}.{name}_lora.down.weight"] = (4, 768)
        shapes[f"{text}.{name}_lora.up.weight"] = (768, 4)
    verdict = said(model(shapes))
    assert verdict.adapter is not None and verdict.adapter.known == 8
    assert verdict.adapter.targets == ("unet", "text_encoder")


NAME = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"

FLAVOURS: dict[str, tuple[str, dict[str, tuple[int, ...]], tuple[int, ...]]] = {
    "LoCon": (
        "locon",
        {f"{CONV}.lora_down.weight": (4, 320, 3, 3), f"{CONV}.lora_up.weight": (320, 4, 1, 1)},
        (4,),
    ),
    "LoCon, Tucker": (
        "locon",
        {
            f"{CONV}.lora_down.weight": (4, 320, 1, 1),
            f"{CONV}.lora_mid.weight": (4, 4, 3, 3),
            f"{CONV}.lora_up.weight": (320, 4, 1, 1),
        },
        (4,),
    ),
    "LoHa": (
        "loha",
        {
            f"{NAME}.hada_w1_a": (320, 2),
            f"{NAME}.hada_w1_b": (2, 768),
            f"{NAME}.hada_w2_a": (320, 2),
            f"{NAME}.hada_w2_b": (2, 768),
            f"{NAME}.alpha": (),
        },
        (2,),
    ),
    "LoHa, Tucker": (
        "loha",
        {
            f"{CONV}.hada_t1": (2, 2, 3, 3),
            f"{CONV}.hada_w1_a": (2, 320),
            f"{CONV}.hada_w1_b": (2, 320),
            f"{CONV}.hada_t2": (2, 2, 3, 3),
            f"{CONV}.hada_w2_a": (2, 320),
            f"{CONV}.hada_w2_b": (2, 320),
        },
        (2,),
    ),
    "LoKr": (
        "lokr",
        {
            f"{NAME}.lokr_w1": (16, 16),
            f"{NAME}.lokr_w2_a": (20, 3),
            f"{NAME}.lokr_w2_b": (3, 48),
        },
        (3,),
    ),
    "LoKr, whole": ("lokr", {f"{NAME}.lokr_w1": (16, 16), f"{NAME}.lokr_w2": (20, 48)}, ()),
    "LoKr, conv": ("lokr", {f"{CONV}.lokr_w1": (16, 16), f"{CONV}.lokr_w2": (20, 20, 3, 3)}, ()),
    "IA3": ("ia3", {f"{NAME}.weight": (320, 1), f"{NAME}.on_input": ()}, ()),
    "IA3 of PEFT": ("ia3-peft", {f"{NAME}.ia3_l": (320, 1)}, ()),
    "GLoRA": (
        "glora",
        {
            f"{NAME}.a1.weight": (768, 4),
            f"{NAME}.a2.weight": (4, 768),
            f"{NAME}.b1.weight": (320, 4),
            f"{NAME}.b2.weight": (4, 768),
        },
        (4,),
    ),
    "GLoRA, old": (
        "glora-old",
        {
            f"{NAME}.a1.weight": (4, 768),
            f"{NAME}.a2.weight": (768, 4),
            f"{NAME}.b1.weight": (4, 768),
            f"{NAME}.b2.weight": (320, 4),
        },
        (4,),
    ),
    "OFT": ("oft", {f"{NAME}.oft_blocks": (5, 64, 64), f"{NAME}.alpha": ()}, ()),
    "OFT, kohya": ("oft", {f"{NAME.replace('lora', 'oft', 1)}.oft_blocks": (5, 64, 64)}, ()),
    "OFT, old": ("oft-old", {f"{NAME}.oft_diag": (5, 64, 64)}, ()),
    "BOFT": ("boft", {f"{NAME}.oft_blocks": (3, 5, 64, 64), f"{NAME}.rescale": (320, 1)}, ()),
    "full": ("full", {f"{CONV}.diff": (320, 320, 3, 3), f"{CONV}.diff_b": (320,)}, ()),
    "set": ("set", {f"{NAME}.set_weight": (320, 768)}, ()),
    "norm": (
        "norm",
        {
            "lora_unet_down_blocks_0_resnets_0_norm1.w_norm": (320,),
            "lora_unet_down_blocks_0_resnets_0_norm1.b_norm": (320,),
        },
        (),
    ),
    "DoRA": (
        "lora + dora",
        {
            f"{NAME}.lora_down.weight": (4, 768),
            f"{NAME}.lora_up.weight": (320, 4),
            f"{NAME}.dora_scale": (320, 1),
        },
        (4,),
    ),
    "DoRA, PEFT": (
        "lora + dora",
        {
            "unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": (4, 320),
            "unet.down_blocks.0.attentions.0.proj_in.lora_B.weight": (320, 4),
            "unet.down_blocks.0.attentions.0.proj_in.lora_magnitude_vector": (320,),
        },
        (4,),
    ),
    "sparse bias": (
        "lora + bias",
        {
            f"{NAME}.lora_down.weight": (4, 768),
            f"{NAME}.lora_up.weight": (320, 4),
            f"{NAME}.bias_indices": (1, 3),
            f"{NAME}.bias_values": (3,),
            f"{NAME}.bias_size": (1,),
        },
        (4,),
    ),
}


@pytest.mark.parametrize("case", FLAVOURS)
def test_every_flavour_is_told_by_its_suffixes_and_shapes(case: str) -> None:
    flavour, shapes, ranks = FLAVOURS[case]
    verdict = said(model(shapes))
    found = verdict.adapter
    assert found is not None and (found.ranks, verdict.kind) == (ranks, "lora")
    assert found.flavour == flavour and found.known == found.modules
    assert not verdict.left_over and not verdict.contradictions


def test_flavours_may_be_mixed_in_one_file() -> None:
    shapes = FLAVOURS["LoHa"][1] | FLAVOURS["LoCon"][1] | FLAVOURS["norm"][1]
    assert adapter(model(shapes)).flavour == "locon + loha + norm"


def test_a_module_that_the_family_lacks_is_named() -> None:
    tensors = kohya("sd1") | model(lora("lora_unet_no_such_module", (320, 320)))
    verdict = said(tensors)
    assert verdict.adapter is not None
    assert (verdict.adapter.modules, verdict.adapter.known) == (265, 264)
    assert "lora_unet_no_such_module.alpha" in verdict.left_over
    assert verdict.confidence == "likely"


def test_a_module_of_the_wrong_size_is_named() -> None:
    tensors = kohya("sd1") | model(lora(NAME, (999, 768)))
    assert any(NAME in clause and "999" in clause for clause in said(tensors).contradictions)


def test_where_metadata_and_shapes_disagree_the_shapes_win_and_it_is_said() -> None:
    verdict = said(kohya("sd1"), {"ss_base_model_version": "sdxl_base_v1-0"})
    assert verdict.family == "sd1"
    assert any("sdxl_base_v1-0" in clause for clause in verdict.contradictions)


def test_metadata_gives_alpha_and_hints_but_no_variant() -> None:
    verdict = said(kohya("sd1"), {"ss_network_alpha": "2.0", "modelspec.title": "My LCM LoRA"})
    assert verdict.adapter is not None and verdict.adapter.alphas == (2.0,)
    assert verdict.variant == "" and any("hint" in clause for clause in verdict.evidence)


@pytest.mark.parametrize("alpha", ["None", "Dynamic", "nan", "inf", "-1", "1e400"])
def test_an_alpha_that_is_no_number_is_no_alpha(alpha: str) -> None:
    verdict = said(kohya("sd1"), {"ss_network_alpha": alpha})
    assert verdict.adapter is not None and verdict.adapter.alphas == ()


def test_embeddings_carried_inside_a_lora_are_listed() -> None:
    bundle = {"bundle_emb.cat.emb_params": (2, 768), "bundle_emb.dog.string_to_param.*": (1, 768)}
    verdict = said(kohya("sd1") | model(bundle))
    assert verdict.adapter is not None and verdict.adapter.bundled == ("cat", "dog")
    assert verdict.adapter.spelling == "onetrainer" and not verdict.left_over


def test_a_checkpoint_with_stray_lora_keys_is_no_lora() -> None:
    weights = {f"model.diffusion_model.x.{i}.weight": (4, 4) for i in range(20)}
    stray = model(weights | lora("lora_te_text_model_encoder_layers_0_mlp_fc1", (3072, 768)))
    assert recognise(stray, {}, {}, "file") is None


@pytest.mark.parametrize(
    "key", ["lora_controlnet", "lllite_unet_x.down.0.weight", "image_proj.proj.weight"]
)
def test_control_adapters_are_left_to_their_own_rules(key: str) -> None:
    assert recognise(kohya("sd1") | model({key: (4, 4)}), {}, {}, "file") is None


def test_a_nameless_list_of_matrices_is_a_cloneofsimo_lora() -> None:
    widths = [(320, 320)] * 6 + [(320, 768), (320, 768), (320, 320)]
    shapes = [shape for out, inp in widths * 16 for shape in ((out, 4), (4, inp))]
    verdict = said({str(i): unread(*shape) for i, shape in enumerate(shapes)})
    assert verdict.adapter is not None and verdict.adapter.spelling == "cloneofsimo-list"
    assert (verdict.adapter.modules, verdict.adapter.ranks) == (144, (4,))


REAL = {
    "lora-cloneofsimo-analog_svd_rank4": ("sd1", "cloneofsimo", 192, 4),
    "lora-cloneofsimo-disney_inpainting": ("sd1", "cloneofsimo", 192, 1),
    "lora-diffusers-bf16": ("sd2", "diffusers", 128, 4),
}


@pytest.mark.parametrize("name", REAL)
def test_real_loras_are_named_rightly(real: Path, name: str) -> None:
    tensors, metadata = header(real / f"{name}.safetensors")
    verdict = said(tensors, metadata)
    found = verdict.adapter
    assert found is not None and verdict.confidence == "certain"
    result = verdict.family, found.spelling, found.known, found.ranks[0]
    assert result == REAL[name] and not verdict.contradictions


def test_a_lora_is_recognised_in_milliseconds() -> None:
    tensors = kohya("sd1")
    said(tensors)
    best = min(_seconds(tensors) for _ in range(5))
    assert len(tensors) == 792 and best < 0.02  # 5 ms on an idle machine


def _seconds(tensors: dict[str, Tensor]) -> float:
    start = time.perf_counter()
    said(tensors)
    return time.perf_counter() - start


@pytest.mark.parametrize("suffix", ["lora_down.weight", "hada_w1_b", "lokr_w2", "oft_blocks"])
@pytest.mark.parametrize("shape", [(), (0,), (1 << 62, 1 << 62), (1,) * 40])
def test_senseless_shapes_do_no_harm(suffix: str, shape: tuple[int, ...]) -> None:
    name = "lora_unet_x"
    tensors = model({f"{name}.{suffix}": shape, f"{name}.lora_up.weight": shape})
    verdict = recognise(tensors, {}, {}, "file")
    assert verdict is None or verdict.kind == "lora"


def test_the_alphas_are_read_only_when_asked_for() -> None:
    def scalar(dtype: DType, raw: bytes) -> Tensor:
        return Tensor(dtype, (), lambda: raw)

    tensors = {
        "a.alpha": scalar(F16, b"\x00\x44"),  # 4
        "b.alpha": scalar(BF16, b"\x80\x3f"),  # 1
        "c.alpha": scalar(F32, b"\x00\x00\x80\x3f"),  # 1
        "d.alpha": scalar(F32, b"\x00\x00\xc0\x7f"),  # not a number
        "e.alpha": unread(1 << 40),
        "a.lora_up.weight": unread(4, 4),
    }
    assert read_alphas(tensors) == (1.0, 4.0)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv", "flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q", "flux"),
        ("lora_transformer_single_transformer_blocks_0_attn_to_q", "flux"),
        ("diffusion_model.joint_blocks.0.x_block.attn.qkv", "sd3"),
        ("lora_prior_unet_down_blocks_0_3_attention_attn_to_q", "cascade"),
    ],
)
def test_loras_of_other_families_are_named_by_their_blocks(name: str, family: str) -> None:
    verdict = said(model(lora(name, (3072, 3072))))
    assert (verdict.kind, verdict.family) == ("lora", family)


def test_a_lora_of_unknown_modules_is_still_a_lora_and_shows_its_keys() -> None:
    verdict = said(model(lora("who.knows", (64, 64))))
    assert (verdict.kind, verdict.family, verdict.confidence) == ("lora", "unknown", "none")
    assert said(model(lora("who.knows", (64, 64))), {"ss_v2": "True"}).family == "sd2"


def test_modules_of_no_known_family_are_not_laid_to_a_network() -> None:
    verdict = said(model(lora("foo.bar", (64, 64))))
    assert verdict.adapter is not None and verdict.adapter.targets == ()
    assert [part.role for part in verdict.parts] == ["lora"]
    assert verdict.evidence == ("its modules are of no known family",)
    named = said(model(lora("lora_unet_foo_bar", (64, 64))))
    assert "only the UNet is changed" not in named.evidence


def test_the_alpha_of_a_peft_folder_is_in_its_settings() -> None:
    settings = {"r": 4, "lora_alpha": 8, "alpha_pattern": {"to_q": 2, "odd": "x"}}
    tensors = model(
        {
            "base_model.model.mid_block.attentions.0.proj_in.lora_A.weight": (4, 1280, 1, 1),
            "base_model.model.mid_block.attentions.0.proj_in.lora_B.weight": (1280, 4, 1, 1),
        }
    )
    verdict = said(tensors, {"adapter_config.json": json.dumps(settings)})
    assert verdict.adapter is not None and verdict.adapter.alphas == (2.0, 8.0)
    assert not verdict.contradictions
    lying = said(tensors, {"adapter_config.json": json.dumps({"r": 16, "lora_alpha": None})})
    assert "adapter_config.json says r 16, the tensors have rank 4" in lying.contradictions
    assert said(tensors, {"adapter_config.json": "[" * 9999}).adapter is not None


@pytest.mark.parametrize("extra", [{}, {"stray": (3,)}, {"bundle_emb.cat.emb_params": (1, 768)}])
def test_every_tensor_is_in_exactly_one_part(extra: dict[str, tuple[int, ...]]) -> None:
    tensors = kohya("sd1") | model(extra | lora("lora_unet_no_such_module", (320, 320)))
    names = [name for part in said(tensors).parts for name in part.names]
    assert sorted(names) == sorted(tensors)
