"""What other programs wrote is read in A1111's terms."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from PIL import Image

from foreign_pictures import GRAPH, node, png, with_comment, with_hidden
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.registry import READERS, read_picture_record
from sfumato.engine.pictures.requests import to_request
from sfumato.errors import Damaged, NotAModel, Unreadable

TEXT = "狐, fox\nNegative prompt: bad\nSteps: 20, Sampler: Euler, Seed: 1, Size: 16x8"


def told(path: Path) -> Found:
    found = read_picture_record(path)
    assert found is not None
    return found


def check(path: Path, program: str, prompt: str, negative: str, **fields: str) -> Found:
    found = told(path)
    assert found.program == program
    assert (found.record.prompt, found.record.negative) == (prompt, negative)
    assert dict(found.record.fields) == {key.replace("_", " "): v for key, v in fields.items()}
    return found


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "avif", "gif"])
def test_the_text_of_a1111_is_read_in_every_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "png":
        png(path, {"parameters": TEXT})
    elif ending == "gif":
        Image.new("RGB", (16, 8)).save(path, comment=TEXT.encode())
    else:
        with_comment(path, TEXT)
    found = told(path)
    assert (found.program, found.raw) == ("AUTOMATIC1111", TEXT)
    assert found.record.prompt == "狐, fox" and found.record.fields["Size"] == "16x8"


@pytest.mark.parametrize(
    ("order", "comment"),
    [
        ("II", b"UNICODE\0" + TEXT.encode("utf-16-be")),
        ("II", b"UNICODE\0" + TEXT.encode("utf-16-le")),
        ("MM", b"UNICODE\0" + TEXT.encode("utf-16-le")),
        ("MM", b"UNICODE\0" + TEXT.encode("utf-16")),
        ("MM", b"ASCII\0\0\0" + TEXT.encode()),
        ("II", bytes(8) + TEXT.encode()),
        ("II", TEXT.encode()),
    ],
)
def test_a_comment_is_read_whatever_its_encoding(
    tmp_path: Path, order: str, comment: bytes
) -> None:
    endian = "big" if order == "MM" else "little"
    inner = [(0x9286, 7, comment)]

    def table(entries: list[tuple[int, int, bytes]], start: int) -> bytes:
        rows, values = b"", b""
        for tag, kind, data in entries:
            place = (start + 6 + 12 * len(entries) + len(values)).to_bytes(4, endian)
            count = len(data) if len(data) != 4 else 1
            head = tag.to_bytes(2, endian) + kind.to_bytes(2, endian) + count.to_bytes(4, endian)
            rows += head + (data if len(data) == 4 else place)
            values += b"" if len(data) == 4 else data
        return len(entries).to_bytes(2, endian) + rows + bytes(4) + values

    head = order.encode() + (42).to_bytes(2, endian) + (8).to_bytes(4, endian)
    outer = table([(0x8769, 4, (26).to_bytes(4, endian))], 8)
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=b"Exif\0\0" + head + outer + table(inner, 26))
    assert told(path).raw == TEXT


def test_the_exif_chunk_of_a_png_is_read(tmp_path: Path) -> None:
    assert told(with_comment(tmp_path / "a.png", TEXT)).raw == TEXT


def test_a_text_beside_the_picture_is_read_where_the_picture_says_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert read_picture_record(tmp_path / "a.png") is None
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    assert told(tmp_path / "a.png").raw == TEXT


@pytest.mark.parametrize("mark", [b"stealth_pnginfo", b"stealth_rgbinfo"])
def test_text_hidden_in_pixels_is_read(tmp_path: Path, mark: bytes) -> None:
    assert told(with_hidden(tmp_path / "a.png", mark, TEXT.encode())).raw == TEXT
    packed = mark.replace(b"info", b"comp")
    assert told(with_hidden(tmp_path / "b.png", packed, gzip.compress(TEXT.encode()))).raw == TEXT


@pytest.mark.parametrize(
    ("version", "program"),
    [("f2.0.1v1.10.1-prev-1-gab", "Forge"), ("v1.10.1", "AUTOMATIC1111"), ("ComfyUI", "ComfyUI")],
)  # fmt: skip
def test_programs_that_write_as_a1111_does_are_named(
    tmp_path: Path, version: str, program: str
) -> None:
    path = png(tmp_path / "a.png", {"parameters": f"{TEXT}, Version: {version}"})
    assert told(path).program == program


def test_a_graph_of_comfyui_is_walked_back_from_its_sampler(tmp_path: Path) -> None:
    found = check(
        png(tmp_path / "a.png", {"prompt": GRAPH, "workflow": {}}), "ComfyUI",
        "a fox, easy<lora:oil:0:0.5><lora:ink:1:0.8>", "bad",
        Steps="20", Sampler="DPM++ 2M", Schedule_type="Karras", CFG_scale="8", Seed="5",
        Size="512x768", Model="v1-5", VAE="kl-f8", Clip_skip="2", RNG="CPU",
    )  # fmt: skip
    assert to_request(found.record)[1] == ()


def test_a_graph_whose_sampler_is_in_parts_is_put_together(tmp_path: Path) -> None:
    graph = {
        **{key: GRAPH[key] for key in ("4", "5", "6", "7", "10", "11", "13")},
        "20": node("SamplerCustomAdvanced", noise=["21", 0], guider=["22", 0], sampler=["23", 0],
                   sigmas=["24", 0], latent_image=["5", 0]),
        "21": node("RandomNoise", noise_seed=77),
        "22": node("CFGGuider", cfg=3.5, model=["10", 0], positive=["6", 0], negative=["7", 0]),
        "23": node("KSamplerSelect", sampler_name="euler_ancestral"),
        "24": node("BasicScheduler", scheduler="sgm_uniform", steps=["25", 0], denoise=1.0),
        "25": node("PrimitiveInt", value=12),
    }  # fmt: skip
    found = told(png(tmp_path / "a.png", {"prompt": graph}))
    assert (found.record.prompt.startswith("a fox"), found.record.negative) == (True, "bad")
    told_fields = [found.record.fields[key] for key in ("Seed", "CFG scale", "Sampler", "Model")]
    assert told_fields == ["77", "3.5", "Euler a", "v1-5"]
    assert [found.record.fields[key] for key in ("Steps", "Schedule type")] == ["12", "SGM Uniform"]


def test_of_two_passes_the_first_is_told(tmp_path: Path) -> None:
    second = dict(GRAPH["3"]["inputs"], seed=9, denoise=0.5, latent_image=["31", 0])
    graph = {
        "30": node("KSampler", **second),
        "31": node("LatentUpscaleBy", samples=["3", 0], scale_by=1.5),
        **GRAPH,
    }
    found = told(png(tmp_path / "a.png", {"prompt": graph}))
    assert found.record.fields["Seed"] == "5"
    assert any("2 samplers" in note for note in found.notes)


def test_a_prompt_that_comes_from_other_nodes_is_found(tmp_path: Path) -> None:
    graph = {
        **GRAPH,
        "6": node("CLIPTextEncodeSDXL", text_g=["40", 0], text_l=["40", 0], clip=["4", 1], width=9),
        "40": node("StringConcatenate", string_a=["41", 0], string_b="in snow"),
        "41": node("PrimitiveString", value="a fox"),
        "7": node("ConditioningCombine", conditioning_1=["42", 0], conditioning_2=["43", 0]),
        "42": node("CLIPTextEncode", text="bad", clip=["4", 1]),
        "43": node("CLIPTextEncode", text="worse", clip=["4", 1]),
    }
    found = told(png(tmp_path / "a.png", {"prompt": graph}))
    assert found.record.prompt.startswith("in snow a fox<lora:")
    assert found.record.negative == "bad\nworse"


def test_a_graph_in_the_exif_of_a_webp_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(GRAPH)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", exif=exif)
    assert told(tmp_path / "a.webp").record.fields["Seed"] == "5"


def test_invokeai_of_today(tmp_path: Path) -> None:
    value = {
        "positive_prompt": "a fox++", "negative_prompt": "bad", "width": 512, "height": 768,
        "seed": 5, "cfg_scale": 7.5, "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": 1,
        "rand_device": "cpu", "model": {"name": "any", "hash": "blake3:1"}, "app_version": "5.0",
        "loras": [{"model": {"name": "ink"}, "weight": 0.75}], "vae": None,
    }  # fmt: skip
    found = check(
        png(tmp_path / "a.png", {"invokeai_metadata": value}), "InvokeAI",
        "a fox++<lora:ink:0.75>", "bad", Steps="30", Sampler="DPM++ 2M", CFG_scale="7.5", Seed="5",
        Size="512x768", Model="any", Clip_skip="2", RNG="CPU", Schedule_type="Karras",
    )  # fmt: skip
    assert len(found.notes) == 1


def test_invokeai_of_old(tmp_path: Path) -> None:
    image = {
        "prompt": [{"prompt": "a fox [bad]", "weight": 1.0}], "steps": 50, "cfg_scale": 7.5,
        "height": 512, "width": 512, "seed": 9, "type": "txt2img", "sampler": "k_euler_a",
    }  # fmt: skip
    path = png(tmp_path / "a.png", {"sd-metadata": {"model_weights": "sd-1.4", "image": image}})
    expected = {
        "Steps": "50",
        "Sampler": "Euler a",
        "CFG_scale": "7.5",
        "Seed": "9",
        "Size": "512x512",
    }
    check(path, "InvokeAI", "a fox", "bad", **expected, Model="sd-1.4")
    line = '"a fox [bad]" -s 50 -S9 -W 512 -H 512 -C7.5 -A k_euler_a'
    expected = {key: expected[key] for key in ("Steps", "Seed", "CFG_scale", "Sampler", "Size")}
    check(png(tmp_path / "b.png", {"Dream": line}), "InvokeAI", "a fox", "bad", **expected)


NOVEL = {
    "Title": "AI generated image", "Software": "NovelAI", "Source": "Stable Diffusion 1D44365E",
    "Description": "{fox}, snow",
    "Comment": json.dumps({
        "steps": 28, "sampler": "k_euler_ancestral", "seed": 7, "scale": 11.0, "uc": "bad",
        "width": 16, "height": 8,
    }),
}  # fmt: skip
NOVEL_FIELDS = {
    "Steps": "28", "Sampler": "Euler a", "CFG_scale": "11", "Seed": "7", "Size": "16x8",
    "Model": "Stable Diffusion 1D44365E", "Clip_skip": "2", "ENSD": "31337",
}  # fmt: skip


def test_novelai_skips_a_layer_and_moves_the_seed_of_noise(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", NOVEL)
    assert check(path, "NovelAI", "{fox}, snow", "bad", **NOVEL_FIELDS).notes
    data = gzip.compress(json.dumps(NOVEL).encode())
    hidden = with_hidden(tmp_path / "b.png", b"stealth_pngcomp", data)
    check(hidden, "NovelAI", "{fox}, snow", "bad", **NOVEL_FIELDS)


FOOOCUS = {
    "prompt": "a fox", "negative_prompt": "bad", "performance": "Speed", "steps": 30,
    "resolution": "(1152, 896)", "guidance_scale": 4.0, "sharpness": 2.0, "seed": "8",
    "base_model": "juggernautXL_v8.safetensors", "refiner_model": "None", "refiner_switch": 0.5,
    "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "vae": "Default (model)",
    "lora_combined_1": "offset.safetensors : 0.1", "metadata_scheme": "fooocus",
}  # fmt: skip
FOOOCUS_FIELDS = {
    "Steps": "30", "Sampler": "DPM++ 2M SDE", "Schedule_type": "Karras", "CFG_scale": "4",
    "Seed": "8", "Size": "1152x896", "Model": "juggernautXL_v8", "RNG": "CPU",
}  # fmt: skip


@pytest.mark.parametrize("keyword", ["parameters", "Comment"])
def test_fooocus(tmp_path: Path, keyword: str) -> None:
    path = png(tmp_path / "a.png", {keyword: FOOOCUS})
    check(path, "Fooocus", "a fox<lora:offset:0.1>", "bad", **FOOOCUS_FIELDS)


def test_ruined_fooocus(tmp_path: Path) -> None:
    value = {
        "Prompt": "a fox", "Negative": "bad", "steps": 30, "cfg": 8, "width": 8, "height": 16,
        "seed": 1, "sampler_name": "euler", "scheduler": "simple", "base_model_name": "m.ckpt",
        "base_model_hash": "ab12", "loras": [["cd34", "ink - 0.5"]], "software": "RuinedFooocus",
    }  # fmt: skip
    check(
        with_comment(tmp_path / "a.jpg", json.dumps(value)), "RuinedFooocus",
        "a fox<lora:ink:0.5>", "bad", Steps="30", Sampler="Euler", Schedule_type="Simple",
        CFG_scale="8", Seed="1", Size="8x16", Model_hash="ab12", Model="m", RNG="CPU",
    )  # fmt: skip


def test_easy_diffusion_in_texts_and_in_exif(tmp_path: Path) -> None:
    value: dict[str, object] = {
        "prompt": "a fox", "negative_prompt": "bad", "seed": "5", "width": "512", "height": "640",
        "use_stable_diffusion_model": "models/sd-v1-4.ckpt", "use_vae_model": "None",
        "sampler_name": "euler_a", "num_inference_steps": "25", "guidance_scale": "7.5",
        "clip_skip": "True", "use_lora_model": "ink", "lora_alpha": "0.5", "tiling": "None",
    }  # fmt: skip
    expected = {
        "Steps": "25", "Sampler": "Euler a", "CFG_scale": "7.5", "Seed": "5", "Size": "512x640",
        "Model": "sd-v1-4", "Clip_skip": "2", "RNG": "CPU",
    }  # fmt: skip
    prompt = "a fox<lora:ink:0.5>"
    check(png(tmp_path / "a.png", value), "Easy Diffusion", prompt, "bad", **expected)
    path = with_comment(tmp_path / "a.jpg", json.dumps(value))
    check(path, "Easy Diffusion", prompt, "bad", **expected)


def test_swarmui(tmp_path: Path) -> None:
    value = {"sui_image_params": {
        "prompt": "a fox", "negativeprompt": "bad", "model": "sd/v1-5.safetensors", "seed": 5,
        "steps": 20, "cfgscale": 7.0, "width": 8, "height": 16, "sampler": "euler_ancestral",
        "scheduler": "karras", "loras": ["sub/ink"], "loraweights": ["0.5"],
    }}  # fmt: skip
    check(
        png(tmp_path / "a.png", {"parameters": value}), "SwarmUI", "a fox<lora:ink:0.5>", "bad",
        Steps="20", Sampler="Euler a", Schedule_type="Karras", CFG_scale="7", Seed="5",
        Size="8x16", Model="v1-5", RNG="CPU",
    )  # fmt: skip


def test_draw_things(tmp_path: Path) -> None:
    value = {
        "c": "a \"fox\" & more", "uc": "bad", "steps": 20, "sampler": "DPM++ 2M Karras",
        "scale": 7.5, "seed": 5, "size": "512x512", "model": "sd_v1.5_f16.ckpt", "strength": 1,
        "lora": [{"model": "ink.ckpt", "weight": 0.5}],
    }  # fmt: skip
    inner = json.dumps(value).replace("&", "&amp;").replace('"', "&quot;")
    xmp = f'<x><exif:UserComment><rdf:li xml:lang="x">{inner}</rdf:li></exif:UserComment></x>'
    check(
        png(tmp_path / "a.png", {"XML:com.adobe.xmp": xmp}), "Draw Things",
        'a "fox" & more<lora:ink:0.5>', "bad", Steps="20", Sampler="DPM++ 2M Karras",
        CFG_scale="7.5", Seed="5", Size="512x512", Model="sd_v1.5_f16",
    )  # fmt: skip


def test_what_is_no_picture_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(NotAModel, match="is no picture"):
        read_picture_record(tmp_path / "a.png")
    with pytest.raises(Unreadable):
        read_picture_record(tmp_path / "b.png")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_picture_that_is_cut_off_is_damaged(tmp_path: Path, ending: str) -> None:
    path = with_comment(tmp_path / f"a.{ending}", TEXT)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(Damaged):
        read_picture_record(path)


def test_every_reader_is_in_the_documents() -> None:
    text = (Path(__file__).parents[3] / "docs" / "pictures.md").read_text(encoding="utf-8")
    assert not [r.program for r in READERS if r.program not in text and r.program[0].isupper()]
