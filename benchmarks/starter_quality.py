"""What the starter models can do, each figure with its aim: prints them and writes two tables.

    python benchmarks/starter_quality.py [--only NAME …] [--pruned PATH] [--pictures DIR]

The figures go to starter_quality.json beside this file, and into docs/starter.md; those of measures
that were not run stay where their files are still the same. With --model they are only printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from quality import adapters, prompts, reconstruction, retrieval
from quality.reconstruction import OWN, WARM
from quality.records import Bench, Measure
from quality.report import (
    Outcome,
    Settings,
    digest,
    line,
    merged,
    read_json,
    table,
    write_json,
    write_page,
)
from quality.sheets import SHEETS, save
from quality.speed import speed
from quality.studio import Studio

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "src/sfumato/starter/models"
FIGURES = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs/starter.md"

MEASURES = (
    Measure("vae", reconstruction.reconstruction),
    Measure("vae-warm", reconstruction.warm_reconstruction, (WARM,)),
    Measure("colours", prompts.colours),
    Measure("backgrounds", prompts.backgrounds),
    Measure("retrieval", retrieval.retrieval),
    Measure("guidance", retrieval.guidance),
    Measure("ema", retrieval.averages, ("pruned",)),
    Measure("inkline", adapters.inkline, (OWN, "loras/inkline")),
    Measure("blobby", adapters.blobby, (OWN, "loras/blobby")),
    Measure("polarbear", adapters.polarbear, (OWN, "embeddings/polarbear")),
    Measure("jackolantern", adapters.jackolantern, (OWN, "embeddings/jackolantern")),
    Measure("night", adapters.night, (OWN, "hypernetworks/night")),
    Measure("warm", reconstruction.warm_paintings, (OWN, WARM)),
    Measure("speed", speed),
)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[m.name for m in MEASURES])
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the starter's files")
    parser.add_argument("--model", type=Path, help="another checkpoint; its figures are printed")
    parser.add_argument("--pruned", type=Path, help="a checkpoint with live and averaged weights")
    parser.add_argument("--data", type=Path, default=ROOT / "runs/data")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="save sheets, measure nothing")
    return parser.parse_args()


def main() -> None:
    """Measure, or draw the sheets."""
    told = arguments()
    checkpoint = told.model or told.models / f"{OWN}.safetensors"
    studio = Studio(told.models, checkpoint, told.size)
    bench = Bench(studio, told.data, told.seeds, told.pruned)
    if told.pictures:
        draw(bench, told.pictures)
        return
    chosen = [m for m in MEASURES if not told.only or m.name in told.only]
    settings, outcomes = Settings(told.size, told.seeds), list(measured(bench, chosen))
    studio.close()
    if told.model or told.models != MODELS or not outcomes:
        return
    names = {name for measure in MEASURES for name in measure.needs}
    known = {n: digest(path) for n in names if (path := file_of(bench, n)).is_file()}
    outcomes = merged(read_json(FIGURES, settings), outcomes, known, MEASURES)
    write_json(FIGURES, settings, outcomes)
    write_page(PAGE, table(settings, outcomes))


def measured(bench: Bench, chosen: list[Measure]) -> Iterator[Outcome]:
    """The outcome of each measure whose files are there."""
    for measure in chosen:
        files, missing = files_of(bench, measure.needs)
        if missing:
            print(f"{measure.name}: left out: {', '.join(missing)} is not there")
            continue
        records = measure.work(bench)
        print(file=sys.stderr)
        print("\n".join(f"{line(record)}\n    {record.sentence}" for record in records), flush=True)
        yield Outcome(measure.name, {name: digest(path) for name, path in files.items()}, records)


def files_of(bench: Bench, needs: tuple[str, ...]) -> tuple[dict[str, Path], list[str]]:
    """The files of a measure by their names, and those that are not there."""
    paths = {name: file_of(bench, name) for name in needs}
    return paths, [str(path) for path in paths.values() if not path.is_file()]


def file_of(bench: Bench, name: str) -> Path:
    """Where a file that a measure needs is, or should be."""
    if name == "pruned":
        return bench.pruned or Path("--pruned PATH")
    return bench.studio.file(name)


def draw(bench: Bench, folder: Path) -> None:
    """Save the sheets whose files are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for sheet in SHEETS:
        _, missing = files_of(bench, sheet.needs)
        if missing:
            print(f"{sheet.name}: left out: {', '.join(missing)} is not there")
            continue
        save(sheet.draw(bench), folder / f"{sheet.name}.png")
        print(f"\n{folder / sheet.name}.png", flush=True)


if __name__ == "__main__":
    main()
