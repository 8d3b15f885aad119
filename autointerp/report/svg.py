"""A drawn panel as SVG inside the page: colours that follow the theme, texts under the pointer, links to latents."""

import html
import re
from urllib.parse import unquote

from autointerp.report.figures.base import COLOURS, GREY, INK

# Colours of the drawing -> CSS variables of the page.
THEME = {
    COLOURS["sae"]: "--sae",
    COLOURS["transcoder"]: "--transcoder",
    COLOURS["skip-transcoder"]: "--skip",
    GREY: "--soft",
    INK: "--ink",
    "#000000": "--ink",
    "#ffffff": "--panel",
    "#D9DCE1": "--zone",
    "#B8860B": "--warn",
}
VARIABLES = {colour.lower(): f"var({name})" for colour, name in THEME.items()}
LINK = re.compile(
    r'<a xlink:href="#(?:latent=(?P<latent>[^"&]*)&amp;)?tip=(?P<tip>[^"]*)"[^>]*>(?P<body>.*?)</a>', re.S
)


def inline(drawn: bytes) -> str:
    """Turn matplotlib's SVG (text as text) into an element for HTML: no declaration, metadata, style sheet or ids."""
    text = drawn.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>\s*", "", text, count=1, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width, height = (float(box[1]), float(box[2])) if box else (300.0, 200.0)
    root = f'<svg viewBox="0 0 {width:g} {height:g}" width="{width * 4 / 3:.0f}" class="drawn">'
    text = re.sub(r"^<svg[^>]*>", root, text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: VARIABLES.get(found[0], found[0]), text)
    return LINK.sub(_link, re.sub(r"\s*\n\s*", "\n", text))


def _link(found: re.Match[str]) -> str:
    words = html.escape(unquote(found["tip"]), quote=True)
    if found["latent"] is None:
        return f'<g data-tip="{words}">{found["body"]}</g>'
    return f'<a href="#latent={found["latent"]}" data-tip="{words}" tabindex="-1">{found["body"]}</a>'
