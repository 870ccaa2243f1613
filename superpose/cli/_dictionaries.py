"""`superpose score` and `world`."""

from collections.abc import Sequence
from dataclasses import dataclass

from superpose.cli._arguments import InputError, check_known_seed, parsed, refusing


def score(settings: Sequence[str]) -> int:
    from typing import Annotated, Literal

    import tyro

    @dataclass
    class Score:
        dictionary: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DICTIONARY")] = ""
        """A .npz, .npy or .safetensors file with directions (hidden, latent), W_dec or decoder.weight, and the encoder, if any; or a folder of SAELens."""
        world: str = ""
        """The world that it was made of; `superpose world` lists them."""
        truth: str = ""
        """Or a file with the truth: directions (hidden, feature) and, for scores of codes, x (sample, feature) and h (sample, hidden)."""
        samples: int = 10_000
        """On how many samples codes are scored."""
        seed: int = 0
        """The seed of the samples, which are never those that `superpose world` writes; those of --truth are as they are."""
        inference: str = ""
        """How codes are made, instead of by the dictionary's own encoder: omp=K, fista=PENALTY, nnls or relu=THRESHOLD."""
        threshold: float = 0.0
        """Above which size a code is on, and a feature active: in all that begins with support or latent, and in absorption; dead and l0 count all."""
        layout: Literal["guess", "columns", "rows"] = "guess"
        """Whether the columns or the rows of its matrix are directions: where it is square this is guessed by its name."""
        center: Literal["guess", "bias", "none"] = "guess"
        """What its encoder takes off the input, the decoder's bias or nothing."""
        out: str = ""
        """A .json file for the scores."""
        json: bool = False
        """Print JSON instead of a table."""

    asked = parsed(Score(), "score", "How much of the truth a dictionary has.", settings)
    if not asked.dictionary:
        raise InputError(
            "name a dictionary: superpose score DICTIONARY --world NAME, such as mine.safetensors"
        )
    if bool(asked.world) == bool(asked.truth):
        raise InputError("give the truth: either --world NAME, one of `superpose world`, or --truth FILE")
    check_known_seed(asked.seed)

    from superpose.dictionaries import _scored

    with refusing("the scores"):
        said, found = _scored.scored(
            asked.dictionary,
            world=asked.world,
            truth=asked.truth,
            samples=asked.samples,
            seed=asked.seed,
            inference=asked.inference,
            threshold=asked.threshold,
            layout=asked.layout,
            center=asked.center,
            out=asked.out,
        )
    if asked.json:
        print(_scored.as_json(found), end="")
        return 0
    print(f"{asked.dictionary}: {said}")
    print(_scored.table(found), end="")
    if asked.out:
        print(f"scores: {asked.out}")
    return 0


def world(settings: Sequence[str]) -> int:
    if not settings:
        from superpose.dictionaries import worlds

        for name, about in worlds.names().items():
            print(f"{name}: {about}")
        return 0

    from typing import Annotated

    import tyro

    @dataclass
    class World:
        name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")] = ""
        """One of those that `superpose world` lists."""
        samples: int = 100_000
        """How many samples are written."""
        seed: int = 0
        """The seed of the samples."""
        out: str = ""
        """The file that is written, .npz or .safetensors; NAME.npz, unless given."""

    about = "Write samples of a world: activations h, features x (the truth), and their directions (hidden, feature)."
    asked = parsed(World(), "world", about, settings)
    if not asked.name:
        raise InputError("name a world: superpose world NAME, one of `superpose world`")
    check_known_seed(asked.seed)

    from superpose.dictionaries import _scored

    out = asked.out or f"{asked.name}.npz"
    with refusing("the samples"):
        told = _scored.written(asked.name, samples=asked.samples, seed=asked.seed, out=out)
    print(f"samples: {out} ({', '.join(f'{name} {value}' for name, value in told.items())})")
    return 0
