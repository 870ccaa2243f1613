"""The gallery: `python docs/gallery.py report` writes `gallery.md`, the pictures, and what the README says of papers.

`report` is the folder of a whole `superpose reproduce`; without it only the README is written.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

from superpose.papers import papers

DOCS = Path(__file__).parent


def gallery(report: Path) -> None:
    """`gallery.md` and its pictures."""
    report_json = json.loads((report / "report.json").read_text(encoding="utf-8"))
    score = report_json["score"]
    lines = [
        "# Gallery",
        "",
        f"Every experiment, as `superpose reproduce` ran it: {score['holds']} of "
        f"{score['holds'] + score['differs'] + score['fails']} claims hold, {score['differs']} of the paper's differ from what "
        f"is so, {score['fails']} fail. Made by `python docs/gallery.py report`.",
        "",
    ]
    for each in report_json["experiments"]:
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


def readme() -> None:
    """What the README says of the papers: which there are, the front row of the gallery, how to cite them."""
    known = papers().values()
    lines = [
        f"- [{each.title}]({each.link}), {each.authors} {each.year}: `superpose reproduce {each.name}`"
        for each in known
    ]
    cells = [
        f'<a href="docs/gallery.md#{name}"><img src="docs/images/{name}.webp" alt="{name}" width="270"></a>'
        for each in known
        for name in each.shown
    ]
    rows = ["| " + " | ".join(cells[at : at + 3]) + " |" for at in range(0, len(cells), 3)]
    path = DOCS.parent / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, block in {
        "papers": lines,
        "gallery": ["| | | |", "|---|---|---|", *rows],
        "citing": ["```bibtex", *"\n".join(each.bibtex for each in known).splitlines(), "```"],
    }.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        text = text[: text.index(start) + len(start)] + "\n".join([*block, ""]) + text[text.index(end) :]
    path.write_text(text, encoding="utf-8")


def shrunk(picture: Path, to: Path, width: int = 1200) -> None:
    """A smaller copy of a picture, of at most this many pixels across."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((width, 10 * width))
    image.save(to, quality=88, method=6)


if __name__ == "__main__":
    if sys.argv[1:]:
        gallery(Path(sys.argv[1]))
    readme()
