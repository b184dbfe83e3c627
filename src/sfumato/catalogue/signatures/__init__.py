"""The sorts of model files that are known by a few keys, each as one line of a table."""

from __future__ import annotations

from sfumato.catalogue.signatures.control import CONTROL
from sfumato.catalogue.signatures.networks import NETWORKS
from sfumato.catalogue.signatures.pictures import PICTURES
from sfumato.catalogue.signatures.signature import Signature

SIGNATURES: tuple[Signature, ...] = (*CONTROL, *NETWORKS, *PICTURES)
"""every sort; where two fit, the one that stands first counts"""
