"""Packages of the extra kebench[annotate], each imported only where it is needed."""

import importlib
import sys
import warnings
from typing import Any

from kebench.errors import UserError


def imported(module: str) -> Any:
    """Return a module of a package that may be missing. Raises UserError with how to install it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        hint = ""
        if package in ("nmslib", "scispacy", "spacy"):
            newer = ", with Python 3.12 or older" if sys.version_info >= (3, 13) else ""
            other = "--search exact" if package == "nmslib" else "--linker dictionary"
            hint = f"{newer}, or choose {other}"
        raise UserError(
            f"{package} cannot be imported ({error}); pip install 'kebench[annotate]'{hint}"
        ) from None
