"""Settings of the documentation: `./run docs` builds it; everything it shows is made offline."""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

_setup = configparser.ConfigParser()
_setup.read(HERE.parent / "setup.cfg")

project = "ase_scatter"
author = "the ase_scatter developers"
project_copyright = author
version = release = _setup["metadata"]["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "equations",
    "generated_pages",
]
default_role = "code"  # `name` in a docstring
exclude_patterns = ["_build", "_ext", "jupyter_execute"]

# Equations are drawn at build time (see _ext/equations.py): pages need no scripts or fonts from elsewhere.
html_math_renderer = "svg"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "smartquotes"]
myst_heading_anchors = 3

# Tutorials are run whenever the documentation is built, and an error in one of them ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))

# Types stand in the docstrings, in the words of a reader, with shapes and units.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"ase_scatter {release}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
