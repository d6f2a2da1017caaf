"""The version, as it was installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ase-scatter")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
