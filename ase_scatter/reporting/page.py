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
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; border-bottom: 1px solid #999; vertical-align: bottom; }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
.scroll { overflow-x: auto; }
.warning { border-left: 4px solid #d55e00; padding: .3rem .8rem; background: #fdf3ec; }
"""


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

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table.

        Parameters
        ----------
        header : sequence of str
            Headings; if all are empty the table has none.
        rows : sequence of sequence of str
            Cells as plain text.
        """
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in header)
        head = f"<thead><tr>{cells}</tr></thead>" if any(header) else ""
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        self.parts.append(f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>')

    def figure(self, figure: Figure, says: str) -> None:
        """Add a figure.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            The figure.
        says : str
            What it shows, for those who cannot see it.
        """
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        width = round(90 * figure.get_figwidth())
        self.parts.append(
            f'<img width="{width}" alt="{escape(says, quote=True)}" src="data:image/png;base64,{data}">'
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
