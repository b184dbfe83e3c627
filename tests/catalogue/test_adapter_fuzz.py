"""No file, however senseless its names and shapes, makes identification of adapters fail."""

from __future__ import annotations

from adapter_files import model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfumato.catalogue.adapters import recognise
from sfumato.catalogue.adapters.prefixes import PREFIXES
from sfumato.catalogue.adapters.suffixes import SUFFIXES
from sfumato.catalogue.others import recognise as recognise_other
from sfumato.catalogue.signatures import SIGNATURES

MODULES = (
    "down_blocks_0_attentions_0_proj_in",
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k",
    "text_model.encoder.layers.0.self_attn.q_proj",
    "double_blocks_0_img_attn_qkv",
    "",
    "…\n\u202e",
)
WHOLE = (
    "0", "1", "unet:0:up", "unet:0:down", "unet:١:up", "text_encoder:999999:down",
    "768.0.linear.0.weight",
    "0.1.linear1.weight", "string_to_param.*", "clip_l", "clip_g", "emb_params", "<a>", "<a>_1",
    "0.*", "tensor", "bundle_emb.", "bundle_emb.x.clip_l", "lora", ".alpha", "_lora.down.weight",
)  # fmt: skip
PATTERNS = tuple(p.strip("*") for s in SIGNATURES for p in (*s.all_of, *s.any_of))

lora_keys = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", *(p.text for p in PREFIXES)]),
    st.sampled_from(MODULES),
    st.sampled_from([s.text for s in SUFFIXES]),
)
keys = st.one_of(lora_keys, st.sampled_from(WHOLE), st.sampled_from(PATTERNS), st.text(max_size=8))
sizes = st.sampled_from([0, 1, 2, 4, 64, 320, 768, 1024, 2048, 1 << 62, 10**400])
shapes = st.lists(sizes, max_size=5).map(tuple)
texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["True", "sdxl_x", "nan", "{}", "[[", "9e999"])
)
metadata = st.dictionaries(
    st.sampled_from(
        ["ss_v2", "ss_base_model_version", "ss_network_alpha", "ss_tag_frequency", "0", "<a>"]
    ),
    texts,
)
leaves = st.one_of(st.none(), st.booleans(), st.floats(), texts, st.just(10**5000))
extras = st.dictionaries(
    st.sampled_from(
        ["name", "step", "activation_func", "layer_structure.0", "dropout_structure.0"]
    ),
    leaves,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, shapes, max_size=12), metadata, extras)
def test_anything_is_answered(tensors, texts, values) -> None:  # noqa: ANN001
    found = recognise(model(tensors), texts, values, "stem")
    other = recognise_other(model(tensors), texts)
    for verdict in (found, other):
        if verdict is not None and verdict.kind != "unknown":
            names = [name for part in verdict.parts for name in part.names]
            assert sorted(names) == sorted(tensors)
