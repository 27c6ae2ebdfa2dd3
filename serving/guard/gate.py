"""The gate before everything: what asks too often, a key or an address, is turned away at once."""

import functools
import math
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from serving.errors import TooManyRequests
from serving.guard.access import read_key
from serving.guard.rates import Rates
from serving.settings import ServingSettings
from storage.subscribers import KeyRecord


class Gate:
    """The limits of one worker.

    A secret key is a server's, which speaks for many visitors from one address: it is limited by key only. A
    public key is limited by address first, so that one visitor cannot use up what all share.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._by_key = Rates(settings.rate_per_key)
        self._by_address = Rates(settings.rate_per_address)
        self._n_proxies = settings.trusted_proxies

    def admit(
        self, authorization: str, *, peer: str, forwarded: str, keys: Mapping[bytes, KeyRecord], now: float
    ) -> None:
        """Count a request.

        Parameters
        ----------
        authorization, forwarded : the headers Authorization and X-Forwarded-For; "" where there is none.
        peer : the address at the other end of the connection.

        Raises
        ------
        TooManyRequests : says which limit, and when to try again.
        """
        digest = read_key(authorization)
        key = None if digest is None else keys.get(digest)
        if key is None or key.kind == "public":
            wait_s = self._by_address.wait_s(self._address(peer, forwarded), now)
            if wait_s > 0:
                raise TooManyRequests("address", retry_after_s=math.ceil(wait_s))
        if key is not None:
            wait_s = self._by_key.wait_s(key.key_hash, now)
            if wait_s > 0:
                raise TooManyRequests("key", retry_after_s=math.ceil(wait_s))

    def _address(self, peer: str, forwarded: str) -> str:
        if self._n_proxies and forwarded:
            # Each proxy adds whom it heard from on the right; what is further left anybody may have written.
            hops = forwarded.split(",")
            peer = hops[-min(self._n_proxies, len(hops))].strip()
        return network_of(peer)


@functools.lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return who is behind an address: itself, or of IPv6 the /64 that one household has to itself.

    Some proxies add a port, and what is no address at all is nobody in particular.
    """
    bare = address.strip("[").partition("]")[0]
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return ""
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
