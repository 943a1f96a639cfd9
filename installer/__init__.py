"""devplat-install: installs a hardened developer platform on a host over SSH."""

__version__ = "0.1.0"
