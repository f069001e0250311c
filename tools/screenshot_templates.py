"""Pictures of the shipped templates, drawn by headless Chromium: ``python -m tools.screenshot_templates``.

One sheet for each template: a row for each language, in it 375 and 800 pixels wide, light and dark. Fonts are
those of Debian's fonts-dejavu-core and fonts-noto-cjk alone. Every request the browser wants to make is
refused and told.

Without arguments it replaces ``tests/template/screenshots``; ``--docs`` draws the overview of the
documentation, ``--png DIRECTORY`` writes the sheets as PNG, one for each language, to look at.
"""

import argparse
import base64
import html
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.shipped_mails import LANGUAGES, mail, names

from postroom.policy.alerting.chart import chart

PHONE, DESKTOP = 375, 800
OVERVIEW_WIDTH = 5 * PHONE + 4 * 8
SHEET_WIDTH = 2 * PHONE + 2 * DESKTOP + 3 * 8
TOLERANCE = 0.01
"""Share of pixels that may differ: another version of the browser moves edges of letters; a broken layout, a
colour or another text moves more."""
KEPT = Path(__file__).parents[1] / "tests/template/screenshots"
OVERVIEW = Path(__file__).parents[1] / "docs/templates.webp"

LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 70 28'%3E"
    "%3Crect width='70' height='28' rx='6' fill='%234338ca'/%3E"
    "%3Cpath d='M30 21V7l10 14V7' fill='none' stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E"
)

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts/truetype/dejavu</dir>
  <dir>/usr/share/fonts/opentype/noto</dir>
  <cachedir>{cache}</cachedir>
  <match target="pattern">
    <edit name="family" mode="append_last"><string>DejaVu Sans</string></edit>
  </match>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-lcd-text",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)

SETTLED = """new Promise((done) => {
  const look = () => [...document.querySelectorAll('iframe')].every((frame) => frame.height > 1)
    && [...document.images].every((image) => image.complete) ? done() : setTimeout(look, 10)
  look()
})"""

COMPARE = """async ([one, other]) => {
  const pixels = async (data) => {
    const bitmap = await createImageBitmap(await (await fetch(data)).blob())
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height)
    const context = canvas.getContext('2d')
    context.drawImage(bitmap, 0, 0)
    return context.getImageData(0, 0, bitmap.width, bitmap.height)
  }
  const [a, b] = [await pixels(one), await pixels(other)]
  if (a.width !== b.width || Math.abs(a.height - b.height) > 24) return 1
  const length = Math.min(a.data.length, b.data.length)
  let different = 0
  for (let at = 0; at < length; at += 4) {
    const far = Math.max(...[0, 1, 2].map((i) => Math.abs(a.data[at + i] - b.data[at + i])))
    if (far > 48) different += 1
  }
  return different / (length / 4)
}"""
"""In the page: the share of pixels of two pictures of which a channel differs by more than 48 of 255."""


class Browser:
    """A headless Chromium with one page, to be used as a context manager.

    ``requests`` lists what its pages wanted to load; nothing but ``data:`` addresses was answered.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self.requests: list[str] = []
        self._number = 0
        self._session = ""
        self._unread = b""

    def __enter__(self) -> Self:
        """Start the program, with a profile of its own."""
        self._profile = tempfile.TemporaryDirectory(prefix="postroom-chromium-")
        inward, self._to = os.pipe()
        self._from, outward = os.pipe()
        script = f'exec chromium "$@" 3<&{inward} 4>&{outward}'
        arguments = [*FLAGS, f"--user-data-dir={self._profile.name}"]
        fonts = Path(self._profile.name, "fonts.conf")
        fonts.write_text(FONTS.format(cache=self._profile.name + "/fonts"), encoding="utf-8")
        self._program = subprocess.Popen(  # noqa: S603 - our own arguments
            ["/bin/bash", "-c", script, "bash", *arguments],
            pass_fds=(inward, outward),
            stderr=subprocess.DEVNULL,
            env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
        )
        os.close(inward)
        os.close(outward)
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tell("Fetch.enable")
        self._tell("Page.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the program."""
        self._session = ""
        if kind is None:
            self._tell("Browser.close")
        else:
            self._program.kill()
        self._program.wait(timeout=30)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def picture(self, page: str, *, width: int, kind: str = "webp") -> bytes:
        """Return the page as a picture of this kind (webp, png), as high as it needs to be."""
        self._show(page, width=width)
        height = int(self._evaluate("Math.ceil(document.body.getBoundingClientRect().height)"))
        self._view(width, height)
        shot = self._tell(
            "Page.captureScreenshot",
            format=kind,
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
            **({"quality": 60} if kind == "webp" else {}),
        )
        return base64.b64decode(shot["data"])

    def widest(self, page: str, *, width: int) -> int:
        """Return how wide the page is when the window has this width, in pixels: more is an overflow."""
        self._show(page, width=width)
        return int(self._evaluate("document.documentElement.scrollWidth"))

    def difference(self, one: bytes, other: bytes) -> float:
        """Return the share of pixels, from 0 to 1, in which two pictures visibly differ."""
        addresses = json.dumps([_address("image/webp", picture) for picture in (one, other)])
        return float(self._evaluate(f"({COMPARE})({addresses})"))

    def _show(self, page: str, *, width: int) -> None:
        self._view(width, 600)
        frame = self._tell("Page.getFrameTree")["frameTree"]["frame"]["id"]
        self._tell("Page.setDocumentContent", frameId=frame, html=page)
        self._evaluate(SETTLED)

    def _view(self, width: int, height: int) -> None:
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def _evaluate(self, expression: str) -> Any:
        answer = self._tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def _tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters)
        while True:
            said = self._hear()
            if said.get("method") == "Fetch.requestPaused":
                self.requests.append(said["params"]["request"]["url"])
                refusal = {"requestId": said["params"]["requestId"], "errorReason": "BlockedByClient"}
                self._send("Fetch.failRequest", refusal)
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                result: dict[str, Any] = said["result"]
                return result

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        left = memoryview(json.dumps(message).encode() + b"\0")
        while left:
            left = left[os.write(self._to, left) :]
        return self._number

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            more = os.read(self._from, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        return said


def sheet(mails: Sequence[str]) -> str:
    """Return a page with a row for each mail: 375 and 800 pixels wide, light and dark."""
    views = [(width, scheme) for width in (PHONE, DESKTOP) for scheme in ("light", "dark")]
    frames = "".join(_frame(mail, width, scheme) for mail in mails for width, scheme in views)
    columns = " ".join(f"{width}px" for width, _ in views)
    return _page(frames, f"width: {SHEET_WIDTH}px; display: grid; grid-template-columns: {columns}")


def sheet_of(name: str, languages: Sequence[str] = LANGUAGES) -> str:
    """Return the page of one template."""
    return sheet([_illustrated(name, language) for language in languages])


def overview() -> str:
    """Return a page with every template in English, as a telephone shows it, every other one dark."""
    frames = [
        _frame(_illustrated(name, "en"), PHONE, ("light", "dark")[number % 2])
        for number, name in enumerate(names())
    ]
    return _page("".join(frames), f"width: {OVERVIEW_WIDTH}px; columns: 5; column-gap: 8px")


def _illustrated(name: str, language: str) -> str:
    """Return a mail as a mail program shows it: with the pictures that it brings."""
    picture = _address("image/png", chart([80 + 0.4 * step + step % 7 for step in range(40)]))
    return re.sub("cid:[a-z0-9-]+", picture, mail(name, language, _logo_url=LOGO).html)


def _frame(page: str, width: int, scheme: str) -> str:
    return (
        f'<iframe width="{width}" height="1" style="border: 0; color-scheme: {scheme}"'
        ' onload="this.height = this.contentDocument.documentElement.getBoundingClientRect().height"'
        f' srcdoc="{html.escape(page)}"></iframe>'
    )


def _page(frames: str, style: str) -> str:
    style = f"margin: 0; gap: 8px; align-items: start; background: #888; {style}"
    return f'<!DOCTYPE html><body style="{style}">{frames}</body>'


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="draw the overview of the documentation")
    parser.add_argument("--png", type=Path, metavar="DIRECTORY", help="write PNG files to look at")
    parser.add_argument("names", nargs="*", help="templates; none: every one")
    given = parser.parse_args()
    with Browser() as browser:
        if given.docs:
            OVERVIEW.write_bytes(browser.picture(overview(), width=OVERVIEW_WIDTH))
            return
        for name in given.names or names():
            if given.png is None:
                KEPT.mkdir(exist_ok=True)
                path = KEPT / f"{name}.webp"
                path.write_bytes(browser.picture(sheet_of(name), width=SHEET_WIDTH))
                print(path, path.stat().st_size)
                continue
            for language in LANGUAGES:
                page = sheet_of(name, [language])
                (given.png / f"{name}.{language}.png").write_bytes(
                    browser.picture(page, width=SHEET_WIDTH, kind="png")
                )


if __name__ == "__main__":
    main()
