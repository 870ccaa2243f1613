"""How fast the explorer is, in a headless browser: frames, steps, latency, the phase map, memory.

    python benchmarks/explorer.py [--minutes 10] [--browser /usr/bin/chromium]

Frames are those that the browser asked for, with the time between them; the screen is not drawn by a graphics card. On
a machine that does other work the numbers are lower.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

COUNT = """(seconds) => new Promise((done) => {
  const times = [];
  const next = (now) => {
    times.push(now);
    if (now - times[0] < 1000 * seconds) requestAnimationFrame(next);
    else {
      const gaps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
      done({ rate: 1000 * gaps.length / (times.at(-1) - times[0]), slow: gaps[Math.floor(0.99 * gaps.length)] });
    }
  };
  requestAnimationFrame(next);
})"""
LATENCY = """async () => {
  const slider = [...document.querySelectorAll('.bench:not([hidden]) input[type=range]')][0], all = [];
  for (let i = 0; i < 30; i++) {
    const begin = performance.now();
    slider.value = String(Number(slider.value) + (i % 2 ? 1 : -1));
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    all.push(performance.now() - begin);
    await new Promise((done) => setTimeout(done, 120));
  }
  return all.sort((a, b) => a - b);
}"""
STEP = "[...document.querySelectorAll('.facts dd')][0].textContent.replaceAll(',', '')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="for how long memory is watched")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        file = Path(folder) / "explorer.html"
        begin = time.perf_counter()
        subprocess.run(
            [Path(sys.executable).with_name("superpose"), "explore", "--no-open", "--out", file], check=True
        )
        command = time.perf_counter() - begin
        browser = browsers.chromium.launch(
            executable_path=asked.browser,
            args=["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info", "--js-flags=--expose-gc"],
        )
        print(f"page: {file.stat().st_size / 1e3:.0f} KB, written by the command in {command:.2f} s")

        def opened(state: str) -> Page:
            page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
            page.goto(f"{file.as_uri()}#v=1&{state}")
            return page

        page = opened("part=play")
        drawn = page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
        )
        print(f"first picture: {drawn:.0f} ms after the page began to load")
        page.close()
        for name, state in {
            "5 in 2, exact, 64 steps a frame": "part=play&speed=64",
            "5 in 2, exact, as many as go": "part=play&speed=1024",
            "20 in 5, samples": "part=play&features=20&hidden=5&loss=sampled&speed=64",
            "100 in 30, samples": "part=play&features=100&hidden=30&density=0.02&loss=sampled&speed=64",
        }.items():
            page = opened(state)
            page.keyboard.press("Space")
            page.wait_for_timeout(500)
            before = float(page.evaluate(STEP))
            found = page.evaluate(COUNT, 4)
            steps = (float(page.evaluate(STEP)) - before) / 4
            latency = page.evaluate(LATENCY)
            print(
                f"{name}: {found['rate']:.1f} frames a second (1 in 100 takes over {found['slow']:.0f} ms), "
                f"{steps:.0f} steps a second, {steps / found['rate']:.0f} a frame; a slider is answered in "
                f"{latency[len(latency) // 2]:.0f} ms, at most {latency[-1]:.0f}"
            )
            page.close()
        _seeds(opened)
        for diagram in ("2-in-1", "3-in-2"):
            _map(opened, diagram)
        _memory(opened, asked.minutes)
        browser.close()


def _seeds(opened) -> None:
    page = opened("part=seeds&members=50&speed=4")
    page.get_by_role("button", name="Play", exact=False).locator("visible=true").first.click()
    page.wait_for_timeout(500)
    found = page.evaluate(COUNT, 4)
    print(
        f"50 seeds of 5 in 2: {found['rate']:.1f} frames a second (1 in 100 takes over {found['slow']:.0f} ms)"
    )
    page.close()


def _map(opened, diagram: str) -> None:
    begin = time.perf_counter()
    page = opened(f"part=phases&diagram={diagram}")
    page.wait_for_function("document.querySelector('.phases').textContent.match(/[1-9][0-9,]* of 2,500/)")
    first = time.perf_counter() - begin
    page.wait_for_function(
        "document.querySelector('.phases').textContent.match(/2,500 cells, each/)", timeout=300_000
    )
    print(
        f"phase map of {diagram}: first cells after {first:.2f} s, 50 x 50 after {time.perf_counter() - begin:.1f} s"
    )
    page.close()


def _memory(opened, minutes: float) -> None:
    page, sizes = opened("part=play&speed=64"), []
    page.keyboard.press("Space")
    for _ in range(max(2, round(2 * minutes)) + 1):
        page.wait_for_timeout(30_000 if minutes >= 1 else 15_000 * minutes)
        sizes.append(page.evaluate("gc(), performance.memory.usedJSHeapSize") / 1e6)
    print(
        f"memory of the page in use, every half minute: {json.dumps([round(size, 1) for size in sizes])} MB"
    )
    page.close()


if __name__ == "__main__":
    main()
