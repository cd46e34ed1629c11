"""Bodies that come compressed: ``Content-Encoding`` taken off, within a bound."""

import gzip
import io
import zlib

import brotli

from services.common.errors import BadRequest, ServiceError


class TooBig(ServiceError):
    """More than is taken at once."""

    status = 413


def decoded(body: bytes, *, encoding: str, at_most: int) -> bytes:
    """The body without its encoding: identity, gzip, deflate or br.

    Raises ``BadRequest`` when it is not what it says, and ``TooBig`` as soon
    as it turns out to have more than ``at_most`` bytes.
    """
    try:
        found = _decoded(body, encoding=encoding, at_most=at_most)
    except (OSError, EOFError, zlib.error, brotli.error) as error:
        raise BadRequest(f"the body is not {encoding}") from error
    if len(found) > at_most:
        raise TooBig(f"the body decompresses to more than {at_most} bytes")
    return found


def _decoded(body: bytes, *, encoding: str, at_most: int) -> bytes:
    """At least ``at_most + 1`` bytes if there are more than ``at_most``."""
    match encoding:
        case "identity" | "":
            return body
        case "gzip" | "x-gzip":
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
                return stream.read(at_most + 1)
        case "deflate":
            inflater = zlib.decompressobj()
            found = inflater.decompress(body, at_most + 1)
            return _complete(found, at_most=at_most, is_finished=inflater.eof)
        case "br":
            decompressor = brotli.Decompressor()
            found = bytes(decompressor.process(body, output_buffer_limit=at_most + 1))
            return _complete(found, at_most=at_most, is_finished=decompressor.is_finished())
    raise BadRequest("Content-Encoding may be gzip, deflate, br or identity")


def _complete(found: bytes, *, at_most: int, is_finished: bool) -> bytes:
    if len(found) <= at_most and not is_finished:
        raise EOFError("the end is missing")
    return found
