"""One self-contained page from titled sections of text, tables and figures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO

from matplotlib.figure import Figure

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #333; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: 0; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #d9d9d9; padding-bottom: .2rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
a { color: #0072b2; }
table { border-collapse: collapse; margin-bottom: .5rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; border-bottom: 1px solid #999; vertical-align: bottom; }
figcaption { color: #555; font-size: .9rem; }
table.words td { text-align: left; vertical-align: top; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
.warning { border-left: 4px solid #d55e00; padding: .3rem .8rem; background: #fdf3ec; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; }
  nav a { display: inline-block; padding: .3rem 0; }
  th, td { padding: .3rem .4rem; font-size: .85rem; }
  th:first-child, td:first-child { position: sticky; left: 0; background: #fff; padding-right: .6rem; }
  table.words td:last-child { overflow-wrap: anywhere; }
  img.wide { max-width: none; }
}
"""
"""On a narrow screen wide tables and figures keep a size that can be read, and scroll within the page."""
WIDE = 7.0
"""Figures wider than this, in inches, cannot be read where they are made as narrow as a telephone."""


@dataclass
class Section:
    """A titled part of a page, to which content is added in the order in which it appears.

    Parameters
    ----------
    title : str
        The heading.
    parts : list of str
        HTML of what is in it so far.
    """

    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, text: str) -> None:
        """Add a paragraph.

        Parameters
        ----------
        text : str
            Plain text.
        """
        self.parts.append(f"<p>{escape(text)}</p>")

    def warning(self, text: str) -> None:
        """Add a paragraph that stands out.

        Parameters
        ----------
        text : str
            Plain text.
        """
        self.parts.append(f'<p class="warning">{escape(text)}</p>')

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", words: bool = False
    ) -> None:
        """Add a table.

        Parameters
        ----------
        header : sequence of str
            Headings; if all are empty the table has none.
        rows : sequence of sequence of str
            Cells as plain text.
        caption : str
            What it shows, below it; "" for none.
        words : bool
            Whether the cells are texts rather than numbers.
        """
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in header)
        head = f"<thead><tr>{cells}</tr></thead>" if any(header) else ""
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        table = '<table class="words">' if words else "<table>"
        wide = f'<div class="scroll">{table}{head}<tbody>{body}</tbody></table></div>'
        self.parts.append(f"<figure>{wide}{below}</figure>")

    def figure(self, figure: Figure, says: str, caption: str = "") -> None:
        """Add a figure.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            The figure.
        says : str
            What it shows, for those who cannot see it.
        caption : str
            What stands below it; by default the same.
        """
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        width = round(90 * figure.get_figwidth())
        wide = ' class="wide"' if figure.get_figwidth() > WIDE else ""
        says_it = escape(says, quote=True)
        image = f'<img{wide} width="{width}" alt="{says_it}" src="data:image/png;base64,{data}">'
        below = escape(caption or f"{says[0].upper()}{says[1:]}.")
        self.parts.append(
            f'<figure><div class="scroll">{image}</div><figcaption>{below}</figcaption></figure>'
        )


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Compose a page that needs no other file to be shown.

    Parameters
    ----------
    title, subtitle : str
        What stands above the sections.
    sections : sequence of Section
        The sections, which a row of links leads to.

    Returns
    -------
    str
        The HTML.
    """
    links = " ".join(f'<a href="#s{k}">{escape(section.title)}</a>' for k, section in enumerate(sections))
    body = "\n".join(
        f'<h2 id="s{k}">{escape(section.title)}</h2>\n' + "\n".join(section.parts)
        for k, section in enumerate(sections)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(subtitle)}</p>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )
