"""The animation of the explorer in the README: python docs/explorer.py [--browser /usr/bin/chromium]

It writes docs/images/explorer.webp: five features in two dimensions, whose density rises once they are a pentagon. Each picture
is a link, so that the same code makes the same animation.
"""

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from superpose import explorer

DENSITIES = (0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.79, 1)
RISING = 400, 140
"""When the density rises for the first time, and how many steps pass from one rise to the next."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--browser", default="/usr/bin/chromium")
    asked = parser.parse_args()
    steps = [
        *range(0, 60, 6),
        *range(60, 200, 14),
        *range(200, 400, 50),
        *range(400, 2300, 35),
        *range(2300, 3000, 100),
    ]
    frames = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        file = explorer.written(Path(folder) / "explorer.html")
        browser = browsers.chromium.launch(
            executable_path=asked.browser, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1240, "height": 870}, reduced_motion="reduce")
        for step in steps:
            page.goto(f"{file.as_uri()}#{link(step)}")
            while page.locator(".facts dd").first.inner_text().replace(",", "") != str(step):
                page.wait_for_timeout(20)
            page.wait_for_timeout(200)
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    frames = [frame.resize((868, 609), Image.Resampling.LANCZOS) for frame in frames]
    out = Path(__file__).parent / "images" / "explorer.webp"
    more = frames[1:] + [frames[-1]] * 15
    frames[0].save(out, save_all=True, append_images=more, duration=100, loop=0, quality=50, method=6)
    print(f"{out}: {len(frames)} pictures, {out.stat().st_size / 1e3:.0f} KB")


def link(step: int) -> str:
    """The state after so many steps."""
    first, apart = RISING
    changes = [
        (first + apart * i, density) for i, density in enumerate(DENSITIES) if first + apart * i <= step
    ]
    written = ",".join(f"{at}d{density}" for at, density in changes)
    return f"v=1&part=play&density=0.05&steps={step}" + (f"&changes={written}" if changes else "")


if __name__ == "__main__":
    main()
