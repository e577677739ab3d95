"""The blob store: where turns' audio lies. A local folder, S3, GCS or Azure, by its URL."""

from __future__ import annotations

import asyncio

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore, from_url

from schemas.errors import Misconfigured, Unavailable

CONCURRENT_PUTS = 32

PROBE = "readiness"
"""Key of an empty blob that is there to be asked for."""


class Blobs:
    """Bytes by key. Credentials come from the environment as the provider's tools name them."""

    def __init__(self, url: str) -> None:
        """url : file:///…, s3://bucket/prefix, gs://…, az://…. Raises Misconfigured for one that can't be used."""
        self._url = url
        try:
            # Only the local store takes `mkdir`.
            self._store: ObjectStore = from_url(url, mkdir=True) if url.startswith("file:") else from_url(url)
        except (BaseError, ValueError, TypeError) as error:
            raise Misconfigured(f"MISE_VOICE_BLOB_URL {url}: {error}") from error
        self._places = asyncio.Semaphore(CONCURRENT_PUTS)

    async def put(self, key: str, data: bytes) -> None:
        """Store the bytes; whole or not at all. Raises Unavailable."""
        try:
            async with self._places:
                await obstore.put_async(self._store, key, data)
        except (BaseError, OSError) as error:
            raise Unavailable(f"blob store {self._url}: {error}") from error

    async def get(self, key: str) -> bytes | None:
        """The bytes, None when there is no such blob. Raises Unavailable."""
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise Unavailable(f"blob store {self._url}: {error}") from error

    async def check_writable(self) -> None:
        """Return when the store takes writes. Raises Unavailable."""
        await self.put(PROBE, b"")

    async def check_reachable(self) -> None:
        """Return when the store answers: a read, since writes may cost money each. Raises Unavailable."""
        await self.get(PROBE)
