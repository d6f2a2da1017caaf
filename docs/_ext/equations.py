"""Equations as SVG pictures that are made at build time: no script, no web font, the same in every browser.

ziamath draws LaTeX with outlines of STIX Two Math. Its colour is the text's, so a dark page shows it too.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

import ziamath
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

LOG = logging.getLogger(__name__)
SIZE = 17
"""Of the letters, in pixels, for a text of 16."""
SIZES = re.compile(r'width="([\d.]+)" height="([\d.]+)"')
TALLEST = 300
"""Pixels; beyond that a bracket has gone wrong (ziamath's `\\left(` around a sum: write `\\Big(`)."""


@cache
def picture(latex: str, inline: bool) -> str:
    """The SVG element of an equation.

    Inline it is shifted so that its baseline is that of the text.
    """
    drawn = ziamath.Latex(latex, size=SIZE, color="currentColor", inline=inline)
    svg = drawn.svg()
    width, height = (float(found) for found in SIZES.search(svg).groups())
    if height > TALLEST:
        raise ValueError(f"the equation is {height:.0f} pixels tall")
    shift = f"vertical-align:{drawn.getyofst() / SIZE:.3f}em;" if inline else ""
    style = f"{shift}width:{width / SIZE:.3f}em;height:{height / SIZE:.3f}em"
    label = html.escape(" ".join(latex.split()), quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" style="{style}" ', 1)


def _drawn(node: nodes.Element, inline: bool) -> str:
    try:
        return picture(node.astext(), inline)
    except Exception as error:
        LOG.warning("the equation %r cannot be drawn: %s", node.astext(), error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def visit_inline(self: Any, node: nodes.math) -> None:
    """Write an equation within a line."""
    self.body.append(f'<span class="equation">{_drawn(node, True)}</span>')
    raise nodes.SkipNode


def visit_block(self: Any, node: nodes.math_block) -> None:
    """Write an equation that stands alone; a wide one scrolls within its own box."""
    target = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    number = f'<span class="number">({node["number"]})</span>' if node.get("number") else ""
    latex = node.astext()
    if r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
        node = nodes.math_block(latex, latex)
    self.body.append(f'<div class="equation"{target}><div>{_drawn(node, False)}</div>{number}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer "svg"."""
    app.add_html_math_renderer("svg", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
