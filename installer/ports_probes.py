"""The part of `ports` that looks from this machine: name servers, TLS, engines of other hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # what judges is not loaded to ship files
    from installer.core.buckets import BucketPlace, BucketSight
    from installer.core.dns_message import CaaRecord
    from installer.core.s3_signature import S3Key
    from installer.core.tls_profile import TlsSight
    from installer.core.workspace_engines import EngineAddress, EngineSight, EngineTrust


class BucketProbe(Protocol):
    """Looks at a bucket of an S3 service without changing anything."""

    def look(self, place: BucketPlace, key: S3Key) -> BucketSight:
        """What the service says; that it says nothing is a value too."""
        ...


class DnsProbe(Protocol):
    """Asks one name server directly; servers are written address:port."""

    def servers(self) -> tuple[str, ...]:
        """The name servers of this machine."""
        ...

    def addresses(self, name: str, server: str) -> tuple[str, ...] | None:
        """Addresses of both families; None when it does not answer."""
        ...

    def issuers(self, name: str, server: str) -> tuple[CaaRecord, ...] | None:
        """The CAA records that apply to a name; None when it does not answer."""
        ...


class TlsProbe(Protocol):
    """Sees what a server would agree to, and the certificates that it sends."""

    def observe(
        self, name: str, address: str, roots_pem: bytes | None, *, port: int = 443,
        timeout_s: float = 10.0,
    ) -> TlsSight:  # fmt: skip
        """Raises `VerifyError` when nothing accepts a connection there."""
        ...


class EngineProbe(Protocol):
    """Sees a container engine of another host, by TLS with a client's certificate."""

    def look(self, address: EngineAddress, trust: EngineTrust) -> EngineSight:
        """What it says, or why not, and whether it answers strangers; changes nothing."""
        ...
