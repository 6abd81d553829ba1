"""How the site is built: `python -m sphinx -W -b html docs build/site`.

MyST reads the pages with the Markdown parser that the tests use, and its headings have
GitHub's anchors, so that a link works here and there. `-W` makes an error of every
warning: links, anchors and images that lead nowhere, and pages outside the menu.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stylegan_jax

# Pages link to pages here; of files elsewhere they give the names.
project = "stylegan_jax"
author = "the authors of stylegan_jax"
release = version = stylegan_jax.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]

myst_heading_anchors = 4

default_role = "code"  # docstrings have single backticks, as Markdown has
autodoc_default_options = {"exclude-members": "__init__,__new__"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # docstrings say shapes, which tell more

html_theme = "furo"  # fonts of the reader's system; nothing from other hosts
html_title = f"stylegan_jax {release}"
html_copy_source = False
html_show_sphinx = False
