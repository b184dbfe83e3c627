"""Memory given back while it is not needed: networks that leave it and come back from the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfumato.engine.loading.load import filled

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfumato.engine.model import Model, Network


class Offload:
    """Lets a model's networks go after use; the file gives them again when they are needed.

    Nothing is copied: weights are dropped, and read and cast anew, so that only one part of the
    model is in memory at a time.
    """

    def __init__(self, model: Model, returned: Callable[[Network], None]) -> None:
        """`returned` is called with each network that was read again: as its file has it."""
        self._model = model
        self._returned = returned
        self._away: set[int] = set()
        """identities of the modules that hold no weights"""

    def need(self, *roles: str) -> None:
        """Have the networks of these roles in memory, and no other."""
        for network in self._model.networks:
            if network.role not in roles and self._restorable(network):
                network.module.to("meta")
                self._away.add(id(network.module))
        for network in self._model.networks:
            if network.role in roles and id(network.module) in self._away:
                filled(network, self._model)
                self._away.discard(id(network.module))
                self._returned(network)

    def _restorable(self, network: Network) -> bool:
        """A VAE from a file of its own is small, and its file is closed."""
        return network.source is None
