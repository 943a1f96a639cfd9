"""Looks at a bucket of an S3 service by listing one key of it: `BucketLister`.

Certificates are always verified; nothing is written, and no object is read. Keys go into a
signature and never into a message.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from installer.core.buckets import BucketPlace, BucketSight, Reach
from installer.core.s3_signature import S3Key, format_query, sign_get

_TIMEOUT_S = 10.0
_BODY_LIMIT = 64 * 1024
_LISTING = {"list-type": "2", "max-keys": "1"}
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_REGION = re.compile(r"<Region>([a-z0-9-]{1,64})</Region>")


class BucketLister:
    """The port `BucketProbe`. `now` gives the time that requests are signed with."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def look(self, place: BucketPlace, key: S3Key) -> BucketSight:
        """What the service says when the key lists the bucket; never raises for what it says."""
        fields = sign_get(
            place.host, place.path, _LISTING, key, region=place.region, now=self._now()
        )
        try:
            context = ssl.create_default_context()
            if place.ca_file:
                context.load_verify_locations(Path(place.ca_file).expanduser())
            connection = http.client.HTTPSConnection(
                place.host, timeout=_TIMEOUT_S, context=context
            )
            with closing(connection):
                path = f"{place.path}?{format_query(_LISTING)}"
                connection.request("GET", path, headers=fields)
                return _sight(connection.getresponse(), place)
        except ssl.SSLCertVerificationError as error:
            return BucketSight(Reach.UNTRUSTED, detail=error.verify_message)
        except ssl.SSLError as error:
            return BucketSight(Reach.SILENT, detail=f"no TLS ({error.reason or 'refused'})")
        except OSError as error:
            return BucketSight(Reach.SILENT, detail=error.strerror or type(error).__name__)
        except http.client.HTTPException as error:
            return BucketSight(Reach.SILENT, detail=f"no HTTP ({type(error).__name__})")


def _sight(answer: http.client.HTTPResponse, place: BucketPlace) -> BucketSight:
    body = answer.read(_BODY_LIMIT).decode("utf-8", "replace")
    code, named = _CODE.search(body), _REGION.search(body)
    region = answer.headers.get("x-amz-bucket-region") or (named[1] if named else "")
    return BucketSight(
        Reach.ANSWERED,
        answer.status,
        code[1] if code else "",
        "" if answer.status == 200 or region == place.region else region,
    )
