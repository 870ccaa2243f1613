"""The gallery: `python docs/gallery.py report` writes `gallery.md`, the pictures and the README's table.

`report` is the folder of a whole `superpose reproduce`.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
SHOWN = (
    "phase-diagram", "uniform-geometry", "polytopes", "nonuniform", "collapse", "energy-levels", "transformations",
    "privileged-basis", "ways-out",
)  # fmt: skip
"""Those in the README."""


def main(report: Path) -> None:
    told = json.loads((report / "report.json").read_text(encoding="utf-8"))
    score = told["score"]
    lines = [
        "# Gallery",
        "",
        f"Every experiment, as `superpose reproduce` ran it: {score['holds']} of "
        f"{score['holds'] + score['differs'] + score['fails']} claims hold, {score['differs']} of the paper's differ from what "
        f"is so, {score['fails']} fail. Made by `python docs/gallery.py report`.",
        "",
    ]
    for each in told["experiments"]:
        name = each["name"]
        shrunk(report / "results" / name / "figure.png", DOCS / "images" / f"{name}.webp")
        lines += [
            f"## {name}",
            "",
            f"{each['summary']} {len(each['claims'])} claims, of which {each['score']['holds']} hold.",
            "",
            f"![{each['summary']}](images/{name}.webp)",
            "",
        ]
        if (moving := report / "results" / name / "animation.gif").exists():
            shutil.copy(moving, DOCS / "images" / f"{name}.gif")
            lines += [f"![The same, moving](images/{name}.gif)", ""]
        lines += [
            f"- {claim['status']}: {claim['statement']} (expected {claim['expected']}, measured {claim['measured']})"
            for claim in each["claims"]
            if claim["status"] != "holds"
        ] + [""]
    (DOCS / "gallery.md").write_text(
        re.sub(r"\n{3,}", "\n\n", "\n".join(lines).rstrip()) + "\n", encoding="utf-8"
    )
    cells = [
        f'<a href="docs/gallery.md#{name}"><img src="docs/images/{name}.webp" alt="{name}" width="270"></a>'
        for name in SHOWN
    ]
    rows = ["| " + " | ".join(cells[at : at + 3]) + " |" for at in range(0, len(cells), 3)]
    table = "\n".join(["| | | |", "|---|---|---|", *rows])
    readme = DOCS.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    between = re.compile("(<!-- gallery -->\n).*(<!-- end -->)", re.DOTALL)
    readme.write_text(between.sub(lambda found: found[1] + table + "\n" + found[2], text), encoding="utf-8")


def shrunk(picture: Path, to: Path, width: int = 1200) -> None:
    """A smaller copy of a picture, of at most this many pixels across."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((width, 10 * width))
    image.save(to, quality=88, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
