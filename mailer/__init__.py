"""Postmerge: the build, the ledger, the workers and the command line; README.md in this folder is the map."""

__version__ = "0.2.0"
