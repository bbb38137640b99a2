"""kebench: does this language model know medicine, and is it really better than the others?"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("kebench")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+uninstalled"
