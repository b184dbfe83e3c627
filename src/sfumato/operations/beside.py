"""What stands beside the tensors, carried from one container to another: text, values, nesting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from sfumato.containers.model_file import (
    DIFFUSERS,
    PICTURE,
    SAFETENSORS,
    SHARDED,
    TORCH_ZIP,
    Container,
    Key,
    Leaf,
    ModelFile,
    Tree,
)
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.torch.opened import METADATA
from sfumato.containers.torch.unwrap import replaced, wrapper_path
from sfumato.operations.recipe import KEY, TREE_KEY

EXTRA = "sfumato.extra."
"""beginning of the metadata keys under which a pickle's values are kept in other containers"""

MOST = 200
"""values carried along; a training state has thousands that mean nothing elsewhere"""

FILES = (".json", ".txt")
"""endings of a folder's own files, which are no metadata of what is made from it"""

PLAIN = (str, int, float, bool, type(None))

BOOKKEEPING = re.compile(
    r"^(optimizer_states|lr_schedulers|callbacks|loops|native_amp_scaling_state)\b"
)
"""values that only the training program that wrote them can use"""


STALE = (KEY, "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256")
"""what is true of one file only: how it was made, and hashes of its bytes"""


def metadata_of(model: ModelFile, container: Container) -> dict[str, str]:
    """The text that an output made from `model` keeps: its metadata, and its values as text.

    A folder's own files stay with a folder; a single file keeps the text its parts agree on.
    """
    own = {k: v for k, v in model.metadata.items() if k.rpartition("/")[2] not in STALE}
    if model.container in (DIFFUSERS, SHARDED) and container != DIFFUSERS:
        own = _agreed(own)
    extras = {EXTRA + key: json.dumps(value) for key, value in values_of(model).items()}
    return {"format": "pt", **own, **extras}


def _agreed(metadata: Mapping[str, str]) -> dict[str, str]:
    """Keys without the part they belong to, where all parts that have them say the same."""
    found: dict[str, set[str]] = {}
    for key, value in metadata.items():
        if not key.endswith(FILES):
            found.setdefault(key.rpartition("/")[2], set()).add(value)
    return {key: next(iter(values)) for key, values in found.items() if len(values) == 1}


LONGEST = 64 << 10
"""characters of an input's own recipe that are kept in the recipe of what is made from it"""


def lineage_of(*models: ModelFile) -> tuple[str, ...]:
    """The recipes that the inputs carry themselves, one text each; empty where there is none."""
    found = (model.metadata.get(KEY) or model.extras.get(TREE_KEY) for model in models)
    return tuple(text if isinstance(text, str) and len(text) <= LONGEST else "" for text in found)


def values_of(model: ModelFile) -> dict[str, Leaf]:
    """Values beside the tensors of `model`: the pickle's own, or those an earlier output kept."""
    kept = {key: value for key, value in model.extras.items() if _carried(key, value)}
    for key, text in model.metadata.items():
        if key.startswith(EXTRA):
            kept[key.removeprefix(EXTRA)] = _leaf(text)
    return dict(list(kept.items())[:MOST])


def _carried(key: str, value: Leaf) -> bool:
    finite = not isinstance(value, float) or value - value == 0
    own = key != TREE_KEY and not BOOKKEEPING.match(key)
    return isinstance(value, PLAIN) and finite and own


def _leaf(text: str) -> Leaf:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, PLAIN) else text


def tree_of(model: ModelFile, tensors: Tensors, container: Container, kind: str) -> Tree:
    """The nested value that a pickle of `tensors` holds; None for containers without one.

    A pickle keeps the nesting it came with. Other files get the nesting that programs expect of
    their kind: a checkpoint's `state_dict`, an embedding's `string_to_param`, a hypernetwork's
    pairs of layers under their widths.
    """
    if container == PICTURE:
        return card_of(model)
    if container != TORCH_ZIP:
        return None
    if model.tree is not None:
        return _pruned(model, tensors)
    if kind == "hypernetwork":
        return _hypernetwork(model, tensors)
    if kind == "embedding":
        return _embedding(model, tensors)
    if kind != "checkpoint":
        return {**tensors}
    state: dict[Key, Tree] = {**tensors}
    return {**_nested(values_of(model)), "state_dict": state}


def _pruned(model: ModelFile, tensors: Tensors) -> Tree:
    """The model's own nesting with the tensors that are kept; new names join the state dict.

    What held tensors and holds none any more goes, with the values beside them.
    """
    tree, old = replaced(model.tree, tensors), model.tree
    if not isinstance(tree, dict) or not isinstance(old, dict):
        return tree
    tree = {key: value for key, value in tree.items() if holds(value) or not holds(old[key])}
    added: dict[Key, Tree] = {name: t for name, t in tensors.items() if name not in model}
    return _inserted(tree, wrapper_path(old), added) if added else tree


def without_bookkeeping(tree: Tree) -> Tree:
    """A nested value without the entries that only its training program can use."""
    if not isinstance(tree, dict):
        return tree
    return {
        key: value
        for key, value in tree.items()
        if not (isinstance(key, str) and BOOKKEEPING.match(key))
    }


def holds(tree: Tree) -> bool:
    """True where there is a tensor somewhere inside."""
    if isinstance(tree, dict):
        return any(map(holds, tree.values()))
    if isinstance(tree, list | tuple):
        return any(map(holds, tree))
    return isinstance(tree, Tensor)


def _inserted(tree: Tree, path: tuple[Key, ...], added: Mapping[Key, Tree]) -> dict[Key, Tree]:
    """`tree` with more entries in the dictionary at `path`, which is made where it is gone."""
    here: dict[Key, Tree] = {**tree} if isinstance(tree, dict) else {}
    if not path:
        return {**here, **added}
    return {**here, path[0]: _inserted(here.get(path[0]), path[1:], added)}


PAIR = re.compile(r"^(\d+)\.([01])\.(.+)$")
"""width, keys or values, name of the weight"""


def _hypernetwork(model: ModelFile, tensors: Tensors) -> Tree:
    pairs: dict[Key, list[dict[Key, Tree]]] = {}
    for name, tensor in tensors.items():
        if (match := PAIR.match(name)) is not None:
            pair = pairs.setdefault(int(match[1]), [{}, {}])
            pair[int(match[2])][match[3]] = tensor
    return {**{width: tuple(pair) for width, pair in pairs.items()}, **_nested(values_of(model))}


VECTORS = "string_to_param.*"
"""the one tensor of an A1111 embedding, flattened"""


def _embedding(model: ModelFile, tensors: Tensors) -> Tree:
    """AUTOMATIC1111's layout for a lone embedding; pairs (SDXL) stay as they are."""
    if set(tensors) != {VECTORS}:
        return {**tensors}
    values = _nested(values_of(model))
    token: dict[Key, Tree] = {"*": 265}  # the token id that every A1111 embedding stores
    return {"string_to_token": token, "string_to_param": {"*": tensors[VECTORS]}, **values}


def _nested(values: Mapping[str, Leaf]) -> dict[Key, Tree]:
    """Dotted paths as lists and dictionaries; names with a dot of their own end up nested too."""
    root: dict[Key, Tree] = {}
    for path, value in values.items():
        *above, last = path.split(".")
        node = root
        for key in above:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                break
            node = below
        else:
            node[last] = value
    return {key: _listed(value) for key, value in root.items()}


def _listed(tree: Tree) -> Tree:
    """Dictionaries keyed 0, 1, 2 … were lists."""
    if not isinstance(tree, dict):
        return tree
    inner: dict[Key, Tree] = {key: _listed(value) for key, value in tree.items()}
    if inner and list(inner) == [str(number) for number in range(len(inner))]:
        return list(inner.values())
    return inner


def renamed(tensors: Tensors, container: Container, kind: str) -> dict[str, Tensor]:
    """An embedding under the name that readers of `container` look for; other kinds unchanged."""
    if kind != "embedding" or len(tensors) != 1:
        return dict(tensors)
    ((name, tensor),) = tensors.items()
    if container == SAFETENSORS and name == VECTORS:
        return {"emb_params": tensor}
    if container not in (SAFETENSORS, DIFFUSERS) and name in ("emb_params", "emp_params"):
        return {VECTORS: tensor}
    return {name: tensor}


def has_place(container: Container, tree: Tree) -> bool:
    """True where a recipe and other text can stand in the output without harm.

    A bare dictionary of tensors is no place: A1111 loads VAEs strictly, and takes a file for an
    embedding only if it has a single entry. Neither is a dictionary that is taken for a wrapper
    because it is alone. Pictures hold nothing but what A1111 looks for.
    """
    if container != TORCH_ZIP:
        return container != PICTURE
    if not isinstance(tree, dict) or any(isinstance(v, Tensor) for v in tree.values()):
        return False
    return wrapper_path({**tree, TREE_KEY: ""}) == wrapper_path(tree)


def with_texts(tree: Tree, metadata: Mapping[str, str]) -> Tree:
    """A pickle's nested value with the metadata inside, where it has a place for them."""
    if not isinstance(tree, dict) or not has_place(TORCH_ZIP, tree):
        return tree
    texts: dict[Key, Tree] = {key: text for key, text in metadata.items() if carried_text(key)}
    bare = {key: value for key, value in tree.items() if key != METADATA}
    return {**bare, METADATA: texts} if texts else bare


def carried_text(key: str) -> bool:
    """False for what a pickle has another place for, or no need of."""
    return key not in ("format", KEY) and not key.startswith(EXTRA)


CARD = ("name", "step", "sd_checkpoint", "sd_checkpoint_name")
"""what A1111 keeps beside the vectors of an embedding, and draws on a picture"""


def card_of(model: ModelFile) -> dict[Key, Tree]:
    """What stands beside an embedding in a picture; a nameless one is called as its file is."""
    values = {**model.metadata, **values_of(model)}
    found: dict[Key, Tree] = {key: values[key] for key in CARD if values.get(key) is not None}
    return {**found, "name": found.get("name") or model.path.stem}


def own_values(model: ModelFile) -> Iterator[str]:
    """Names of values that no container but a pickle keeps, to be told of."""
    return (key for key, value in model.extras.items() if not _carried(key, value))
