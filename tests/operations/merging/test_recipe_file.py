"""Recipes say merges inside merges, and what is written reads back as the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mergeable import arrays, write
from sfumato.errors import UsageError
from sfumato.operations.merging.merge import merge
from sfumato.operations.merging.recipe_file import parse_recipe, to_text
from sfumato.operations.merging.registry import METHODS, find_method
from sfumato.operations.merging.tree import Leaf, Merge, Node, OptionValue, Policy, mix
from small_models import UNET

RECIPE = """
vae = "b"

[models]
a = "a.safetensors"
b = "b.safetensors"
c = "c.safetensors"

[[merge]]
name = "style"
models = ["b", "c"]
alpha = 0.25

[[merge]]
method = "add-difference"
models = ["a", "style", {method = "sum", models = ["b", "c"]}]
alpha = {IN = 0.0, OUT = 1.0, "re:attn2" = 0.5}
"""


def recipe(text: str) -> Merge:
    return parse_recipe(text, Path)


def test_merges_inside_merges_are_those_of_their_formulas(tmp_path: Path) -> None:
    paths = write(tmp_path, "a", "b", "c")
    (tmp_path / "mix.toml").write_text(RECIPE)
    merge(tmp_path / "mix.toml", tmp_path / "m.safetensors")
    a, b, c = (arrays(path) for path in paths)
    found = arrays(tmp_path / "m.safetensors")
    name = next(n for n in a if n.startswith(f"{UNET}output_blocks") and "attn2" not in n)
    wanted = a[name] + (0.75 * b[name] + 0.25 * c[name]) - (b[name] + c[name]) / 2
    assert np.allclose(found[name], wanted, atol=1e-6)
    vae = next(n for n in a if n.startswith("first_stage_model."))
    assert np.array_equal(found[vae], b[vae])


def test_nothing_between_two_merges_is_rounded(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c")
    names = [str(tmp_path / f"{name}.safetensors") for name in "abc"]
    nested = mix(
        find_method("weighted-sum"),
        [
            mix(find_method("weighted-sum"), [Leaf("A", Path(names[0])), Leaf("B", Path(names[1]))],
                {"alpha": 0.5}),
            Leaf("C", Path(names[2])),
        ],
        {"alpha": 0.5},
    )  # fmt: skip
    merge(Merge(nested), tmp_path / "m.safetensors", dtype="f16")
    merge(names, tmp_path / "n.safetensors", method="sum", weights=[0.25, 0.25, 0.5], dtype="f16")
    found, wanted = arrays(tmp_path / "m.safetensors"), arrays(tmp_path / "n.safetensors")
    differing = sum(int((found[name] != wanted[name]).sum()) for name in found)
    assert differing < sum(values.size for values in found.values()) / 1000


def everything() -> Merge:
    """A merge that has every sort of option value, and names that need quotes."""
    a, b, c = (Leaf(label, Path(f"x/{label}.ckpt")) for label in ("A", "b c", 'd"e'))
    inner: Node = mix(find_method("sum"), [a, b, c], {"weights": [0.5, {"IN": 0.25}, "grad-v"]})
    options: dict[str, OptionValue] = {"alpha": [0.1, 0.2, -3e-5], "turn": "rise:0.1..0.2"}
    return Merge(mix(find_method("rotate"), [inner, b], options), Policy(vae="b c", ema="use"))


def test_what_is_written_reads_back_as_the_same() -> None:
    wanted = everything()
    assert parse_recipe(to_text(wanted), lambda name: Path("x") / name) == wanted


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_with_every_option_survives_being_written(method: object) -> None:
    found = find_method(method.name)  # pyright: ignore
    inputs = [Leaf(label, Path(label)) for label in "ABC"[: max(2, found.least)]]
    options: dict[str, OptionValue] = {
        o.name: o.default if not o.kind.several else [0.5] * (len(inputs) - found.least + 1)
        for o in found.options
    }
    wanted = Merge(mix(found, inputs, options))
    assert recipe(to_text(wanted)) == wanted


def test_two_files_of_one_name_are_told_apart() -> None:
    a, b = Leaf("A", Path("x/m.ckpt")), Leaf("B", Path("y/m.ckpt"))
    text = to_text(Merge(mix(find_method("weighted-sum"), [a, b], {})))
    assert '"0/m.ckpt"' in text and '"1/m.ckpt"' in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"has no \[\[merge\]\]"),
        ("[[merge", "is no TOML"),
        ("[modles]\na = 'a'", "modles: is no key"),
        ("[models]\na = 3", "models.a: is no text"),
        ("[models]\na = 'a'\n[[merge]]\nmodels = ['a', 'b']", "b is no model; there are a"),
        ("[models]\na = 'a'\n[[merge]]\nmodels = ['a']", "takes 2 models"),
        ("[[merge]]\nmethod = 'tie'\nmodels = []", "nearest: ties"),
        ("[[merge]]\nmodels = 'a'", "models is no list"),
        ("[[merge]]\nmodels = ['a', 'b']\nalpha = true", "alpha is neither"),
        ("[[merge]]\nmodels = ['a', 'b']\nalpha = {IN = 'x'}", "alpha is neither"),
        ("vae = 'z'\n[[merge]]\nmodels = ['a', 'b']", "z is no model of this merge"),
        (
            "[models]\na = 'a'\n[[merge]]\nname = 'a'\nmodels = ['a', 'a']",
            "two models of this name",
        ),
        ("merge = 3", "merge: is no table"),
    ],
)
def test_a_recipe_without_sense_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipe(text)


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        merge(tmp_path / "none.toml", tmp_path / "m.safetensors")


def test_a_recipe_says_itself_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(RECIPE)
    with pytest.raises(UsageError, match="says itself"):
        merge(tmp_path / "mix.toml", tmp_path / "m.safetensors", alpha=0.5)
