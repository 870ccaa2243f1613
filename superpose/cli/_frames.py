"""`superpose measure`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from superpose.cli._arguments import InputError, check_known_seed, parsed, refusing


def measure(settings: Sequence[str]) -> int:
    from typing import Annotated, Literal

    import tyro

    @dataclass
    class Measure:
        file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")] = ""
        """A .safetensors, .npy or .npz file with a matrix of vectors, such as the embeddings of a language model."""
        tensor: str = ""
        """Which matrix, where the file has several."""
        layout: Literal["guess", "columns", "rows"] = "guess"
        """Whether columns or rows are vectors: guessed by name, or as there are more vectors than dimensions."""
        center: bool = False
        """Subtract the mean of the vectors first."""
        link: float = 0.5
        """Beyond which |cos| two vectors are linked; linked vectors are a cluster."""
        seed: int = 0
        """The seed of the random vectors that are drawn to compare with."""
        out: str = ""
        """A folder for figure, JSON and the numbers of each vector; or a .json file."""
        json: bool = False
        """Print JSON instead of a table."""

    about = "Numbers of vectors in real weights, beside those of vectors in random directions."
    asked = parsed(Measure(), "measure", about, settings)
    if not asked.file:
        raise InputError("name a file: superpose measure FILE, such as model.safetensors --tensor wte.weight")
    check_known_seed(asked.seed)

    from superpose.frames import _command, _told

    with refusing("what was measured"):
        said, result = _command.report(
            asked.file,
            tensor=asked.tensor,
            layout=asked.layout,
            center=asked.center,
            link=asked.link,
            seed=asked.seed,
            out=asked.out,
        )
    if asked.json:
        print(_command.as_json(result), end="")
        return 0
    print(f"{asked.file}: {said}")
    print(_told.table(result), end="")
    if asked.out:
        folder = Path(asked.out).suffix != ".json"
        print(f"picture: {Path(asked.out) / 'figure.png'}" if folder else f"measured: {asked.out}")
    return 0
