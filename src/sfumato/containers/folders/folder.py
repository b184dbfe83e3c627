"""A folder that is one model: a diffusers pipeline, one of its components, a PEFT adapter."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from sfumato.containers.folders.shards import join, open_weights, read_sharded
from sfumato.containers.folders.weights import Weights, by_preference, weight_files
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import DIFFUSERS, PEFT, ModelFile
from sfumato.containers.source import Source, is_file, is_folder
from sfumato.containers.strict_json import JsonError, parse_json
from sfumato.containers.text import escape
from sfumato.errors import NotAModel, Unreadable

MODEL_INDEX = "model_index.json"
ADAPTER_CONFIG = "adapter_config.json"

COMPONENTS = (
    *("unet", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "transformer"),
    *("safety_checker", "image_encoder", "controlnet", "prior", "decoder", "vqvae", "movq"),
)
"""subfolders that are read even where model_index.json does not name them"""

CONFIGS = (
    *(MODEL_INDEX, ADAPTER_CONFIG, "config.json", "scheduler_config.json"),
    *("preprocessor_config.json", "tokenizer_config.json"),
)
"""files whose text becomes metadata, under their path in the folder"""

CONFIG_BYTES = 1 << 20
"""a configuration file larger than this is left out"""

MOST_FOLDERS = 500
"""subfolders that are looked into for configuration files; pipelines have a dozen"""

_WEIGHTLESS = ("scheduler", "tokenizer", "feature_extractor", "image_processor")
"""beginnings of the names of components that never have weights"""


def read_folder(
    path: str | Path, limits: Limits = DEFAULT, *, variant: str | None = None
) -> ModelFile:
    """A folder as one mapping: names begin with the component's folder (`unet.`, `vae.` …).

    A folder that holds the weights itself (one component, a PEFT adapter) adds nothing to the
    names. `variant` chooses files such as `….fp16.safetensors`; without it the file that has no
    variant is preferred, and safetensors to pickles in any case. Configuration files are metadata
    (`unet/config.json`). Raises NotAModel for a folder without weights, Damaged for broken ones.
    """
    folder = Path(path)
    names, folders = _listing(folder)
    texts, notes = read_configs(folder, folders)
    own = None if MODEL_INDEX in names else _choice(names, variant)
    parts = {"": own} if own else _components(folder, folders, texts, variant)
    if not parts:
        raise NotAModel(folder, "is a folder without weights whose names are known")
    with ExitStack() as resources:
        models = [
            (part, resources.enter_context(_open(folder / part / chosen[0].name, limits)))
            for part, chosen in parts.items()
        ]
        model = join(folder, PEFT if ADAPTER_CONFIG in names else DIFFUSERS, models)
        resources.pop_all()
    model.metadata = {**model.metadata, **texts}
    notes += [_choice_note(part, chosen) for part, chosen in parts.items()]
    notes += [_absence_note(name) for name in _named(texts) if name not in parts and not own]
    model.notes += tuple(note for note in notes if note)
    return model


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders that are not hidden."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise Unreadable(folder, f"cannot be listed: {error.strerror or error}") from error
    folders = {entry.name: None for entry in entries if is_folder(entry)}
    return [entry.name for entry in entries if entry.name not in folders], list(folders)


def _choice(names: list[str], variant: str | None) -> list[Weights]:
    return by_preference(weight_files(names), variant)


def _components(
    folder: Path, folders: list[str], texts: dict[str, str], variant: str | None
) -> dict[str, list[Weights]]:
    """Component → its weight files, the one to read first."""
    known = {*COMPONENTS, *_named(texts)}
    found = {
        name: _choice(_listing(folder / name)[0], variant) for name in folders if name in known
    }
    return {name: chosen for name, chosen in found.items() if chosen}


def _named(texts: dict[str, str]) -> list[str]:
    """Components with weights that model_index.json names."""
    try:
        index = parse_json(texts.get(MODEL_INDEX, "{}").encode())
    except JsonError:
        return []
    return [
        name
        for name, value in (index.items() if isinstance(index, dict) else ())
        if isinstance(value, list) and value[:1] != [None]
        if not name.startswith(("_", *_WEIGHTLESS))
    ]


def _open(path: Path, limits: Limits) -> ModelFile:
    return read_sharded(path, limits) if path.suffix == ".json" else open_weights(path, limits)


def read_configs(folder: Path, folders: list[str]) -> tuple[dict[str, str], list[str]]:
    """Texts of the configuration files by their path in the folder, and what was left out."""
    texts, notes = dict[str, str](), list[str]()
    known = sorted(folders, key=lambda part: part not in COMPONENTS)[:MOST_FOLDERS]
    for name in CONFIGS:
        for part in ("", *known):
            path = folder / part / name
            if not is_file(path):
                continue
            key = f"{part}/{name}" if part else name
            with Source(path) as source:
                raw = source.read(0, min(source.size, CONFIG_BYTES + 1))
            try:
                if len(raw) > CONFIG_BYTES:
                    raise JsonError(f"more than {CONFIG_BYTES} bytes")
                parse_json(raw)
                texts[key] = raw.decode()
            except JsonError as error:
                notes.append(f"{escape(key)} was not used: {error}")
    return texts, notes


def _choice_note(part: str, chosen: list[Weights]) -> str:
    """Said where there was a choice, or the one file there is has a variant."""
    first, *others = chosen
    what = f"{part}: " if part else ""
    if not others:
        return f"{what}{first.name} was read, the variant {first.variant}" if first.variant else ""
    passed = ", ".join(other.name for other in others[:5])
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return f"{what}{first.name} was read, and not {passed}{more}"


def _absence_note(name: str) -> str:
    return f"{MODEL_INDEX} names {escape(name)}, and there are no weights for it"
