"""Datasets and results to and from disk: whole or not at all, and read without executing code.

A result is a folder that superpose wrote, with a manifest of its files and their hashes. What is not in the
manifest, or no longer matches it, belongs to the user: it stays, whatever takes the result's place.
"""

from superpose.store._datasets import DamagedError, faults, faults_in_words, load, save
from superpose.store._files import as_json, plain, read_json, write_json
from superpose.store._manifest import CONFIG, MANIFEST, PROVENANCE, listed, settings
from superpose.store._pages import check_puttable, put
from superpose.store._replace import abandon, check_ours, check_replaceable, recover, replaced
from superpose.store._verify import Verified, verified

__all__ = [
    "CONFIG",
    "MANIFEST",
    "PROVENANCE",
    "DamagedError",
    "Verified",
    "abandon",
    "as_json",
    "check_ours",
    "check_puttable",
    "check_replaceable",
    "faults",
    "faults_in_words",
    "listed",
    "load",
    "plain",
    "put",
    "read_json",
    "recover",
    "replaced",
    "save",
    "settings",
    "verified",
    "write_json",
]
