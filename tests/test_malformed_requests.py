"""HTTP bodies and queries that are malformed or costly to refuse."""

import gzip
import json
from io import BytesIO

import orjson
import pytest

from tests.client import Tenant
from tests.conftest import Stopwatch

JSON = {"content-type": "application/json"}
DOCUMENT = b'{"query": "{ __typename }"'
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "nothing of JSON": b"no json",
    "half": b'{"query": "{ __typename }"',
    "null": b"null",
    "a list": b"[]",
    "a batch": b'[{"query": "{ __typename }"}]',
    "a number": b"7",
    "a string": b'"{ __typename }"',
    "no query": b"{}",
    "a query that is null": b'{"query": null}',
    "a query that is a list": b'{"query": ["{ __typename }"]}',
    "variables that are a list": b'{"query": "{ __typename }", "variables": []}',
    "variables that are a string": b'{"query": "{ __typename }", "variables": "{}"}',
    "a name that is a number": b'{"query": "{ __typename }", "operationName": 7}',
    "extensions that are a string": b'{"query": "{ __typename }", "extensions": "x"}',
    "deep JSON": b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "deep objects": b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    "not UTF-8": b'{"query": "\xff\xfe"}',
    "a lone surrogate": b'{"query": "{ __typename }", "variables": {"a": "\\ud800"}}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "a byte order mark": b'\xef\xbb\xbf{"query": "{ __typename }"}',
    "Infinity": DOCUMENT + b', "variables": {"a": -Infinity}}',
    "a number beyond numbers": DOCUMENT + b', "variables": {"a": 1e999}}',
    "a number of 500,000 digits": DOCUMENT + b', "variables": {"a": ' + b"9" * 500_000 + b"}}",
    "a number that begins with 0": DOCUMENT + b', "variables": {"a": 01}}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "UTF-32": '{"query": "{ __typename }"}'.encode("utf-32-le"),
    "Latin-1": '{"query": "# ü"}'.encode("latin-1"),
    "an overlong slash": b'{"query": "# \xc0\xaf"}',
    "half a character at the end": b'{"query": "# \xf0\x9f\x8e"}',
    "gzip": gzip.compress(b'{"query": "{ __typename }"}'),
    "a bomb of gzip": gzip.compress(b" " * 10_000_000),
    "queries, the last a number": b'{"query": "{ __typename }", "query": 7}',
    "two objects": b'{"query": "{ __typename }"}{"query": "{ __typename }"}',
    "a comma too many": b'{"query": "{ __typename }",}',
    "a comment": b'{"query": "{ __typename }"} // hello',
    "apostrophes": b"{'query': '{ __typename }'}",
    "a bare newline in a string": b'{"query": "{\n__typename }"}',
    "a bad escape": b'{"query": "\\x7b __typename }"}',
    "NULs": b"\0" * 1000,
    "spaces": b" " * 1_000_000,
    "brackets": b"[" * 1_000_000,
    "lists": b"[" + b"[]," * 300_000 + b"[]]",
    "a query that is an object": b'{"query": {"kind": "Document"}}',
    "a query that is true": b'{"query": true}',
    "an empty query": b'{"query": ""}',
    "a query under another name": b'{"Query": "{ __typename }", "doc": "{ __typename }"}',
    "100,000 keys and no query": b"{" + b",".join(b'"k%d":0' % n for n in range(100_000)) + b"}",
    "a hash that is a number": b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 7}}}',
    "a hash of version 2": b'{"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "a"}}}',
    "a hash of another query": DOCUMENT + b', "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a"}}}',
    "a form": b"query=%7B+__typename+%7D",
    "parts": b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n{ __typename }\r\n--x--\r\n',
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
}
NO_UTF8 = {"a byte order mark", "UTF-16", "UTF-32", "gzip", "a bomb of gzip"}
"""For bodies of another encoding, the response names the accepted ones."""
COSTLY_QUERIES = {  # well-formed JSON, but without a query
    "braces": "{" * 200_000,
    "a comment of 900 kB": "#" * 900_000,
    "comments": "#\n" * 300_000,
    "commas": "," * 900_000,
    "as many commas as may be": "," * 99_999,
    "as long a name as may be": "{ " + "x" * 99_900 + " }",
    "a string without an end": '{ send(id: "' + "x" * 900_000,
    "a name of 900 kB": "{ " + "x" * 900_000 + " }",
    "NULs": "\0" * 100_000,
    "a block string of quotes": "{ send(id: " + '"' * 900_000,
    "dollars": "query (" + "$" * 100_000,
    "variables": "query (" + " ".join(f"$v{n}: ID" for n in range(300)) + ") { __typename }",
    "directives": "{ __typename " + "@skip(if: true) " * 150 + "}",
    "definitions": "fragment f on Query { __typename } " * 120,
    "arguments": "{ me { id } inbox(" + "first: 1 " * 300 + ") { unread } }",
    "the same field, many times": "{ me { " + "id " * 900 + "} }",
    "overlapping fields": "{ " + " ".join(f"inbox(first: {n}) {{ unread }}" for n in range(1, 20)) + " }",
    "a schema": "type Query { a: Int }",
    "an extension of the schema": "extend type User { x: Int }",
}


@pytest.mark.parametrize("what", COSTLY_QUERIES)
async def test_query_that_is_costly_to_validate_is_rejected_immediately(
    tenant: Tenant, stopwatch: Stopwatch, what: str
) -> None:
    headers = {"authorization": f"Bearer {tenant.token('alice')}"}
    body = json.dumps({"query": COSTLY_QUERIES[what]}).encode()
    with stopwatch(f"query, {what}"):
        async with tenant.http.post(tenant.next_url(), data=BytesIO(body), headers=headers | JSON) as response:
            assert response.status == 200
            result = await response.read()
    assert {error["extensions"]["code"] for error in orjson.loads(result)["errors"]} == {"BAD_USER_INPUT"}
    assert len(result) < 10_000


@pytest.mark.parametrize("what", BODIES)
async def test_invalid_body_is_rejected(tenant: Tenant, stopwatch: Stopwatch, what: str) -> None:
    headers = {"authorization": f"Bearer {tenant.token('alice')}"}
    with stopwatch(f"body, {what}"):
        async with tenant.http.post(tenant.next_url(), data=BytesIO(BODIES[what]), headers=headers | JSON) as response:
            result = await response.read()
            assert response.status == (415 if what in NO_UTF8 else 400)
            assert (response.headers.get("accept-post") == "application/json") is (what in NO_UTF8)
    assert orjson.loads(result)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert len(result) < 1000
