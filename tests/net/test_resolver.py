"""A client reaches its own hosts, at public addresses, whatever a URL spells or a name resolves to."""

from __future__ import annotations

import socket

import httpx
import pytest
from hypothesis import given, strategies

from bot.net import urls
from bot.net.hosts import AllowedHosts
from bot.net.http import Timeouts, open_client, request
from bot.net.resolver import DestinationRefused, Destinations, PrivateAddress
from bot.net.transport import Transport
from bot.net.urls import Origin, origin_of, same_origin
from tests.support.raw_server import healthy, serving

TIMEOUTS = Timeouts(connect=5.0, read=5.0, total=10.0)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://fal.run", Origin("https", "fal.run", 443)),
        ("HTTPS://FAL.RUN:443/x", Origin("https", "fal.run", 443)),
        ("http://fal.run:/", Origin("http", "fal.run", 80)),
        ("http://fal.run?@evil.example", Origin("http", "fal.run", 80)),
        ("http://fal.run#@evil.example", Origin("http", "fal.run", 80)),
        ("http://fal。run/", Origin("http", "fal.run", 80)),
        ("http://bücher.example/", Origin("http", "xn--bcher-kva.example", 80)),
        ("http://127.0.0.1:8080/", Origin("http", "127.0.0.1", 8080)),
        ("http://[::1]/", Origin("http", "::1", 80)),
        # A trailing dot makes another name, which is on no list.
        ("https://fal.run./", Origin("https", "fal.run.", 443)),
    ],
)
def test_where_a_url_leads(url: str, origin: Origin) -> None:
    assert origin_of(url) == origin


@given(strategies.from_regex(urls._PLAIN, fullmatch=True))
def test_what_is_read_at_a_glance_leads_where_every_parser_says(url: str) -> None:
    assert origin_of(url) == urls._origin_of(url)


NASTY = [
    "http://user@fal.run/",
    "https://fal.run:secret@evil.example/",
    "http://fal.run\\@evil.example/",
    "http://evil.example\\.fal.run/",
    "http://fal.run%2f@evil.example/",
    "http://fal.run／evil.example/",
    "http://fal.run:80:81/",
    "http://fal.run:99999/",
    "http://fal.run:-1/",
    "http://f%61l.run/",
    "http://%31%32%37.0.0.1/",
    "http://0177.0.0.1/",
    "http://１２７.0.0.1/",
    "http://ⓛocalhost/",
    "http://[::ffff:127.0.0.1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::1%25lo]/",
    "http://[fe80::1%lo]/",
    "http://[]/",
    "http://[v1.x]/",
    "http://[::1]fal.run/",
    "http://xn--zzzz/",
    "http://a b/",
    "http://a\nb/",
    "http://a\tb/",
    "http:///path",
    "http:fal.run",
    "http://",
    "http://xn--zzzz/x.png",
    "https://xn--a.example/",
]
NO_HTTP = ["", "fal.run", "//fal.run/", "ftp://fal.run/", "javascript:alert(1)", "data:,x", "file:///etc/passwd"]


@pytest.mark.parametrize("url", NASTY)
async def test_a_url_that_is_not_clear_leads_nowhere(url: str) -> None:
    with pytest.raises(httpx.InvalidURL) as caught:
        origin_of(url)
    assert "evil" not in str(caught.value)
    assert not same_origin(url, url)
    async with open_client(hosts=AllowedHosts.parse("fal.run:*, *.fal.run:*, *.example:*, localhost:*")) as client:
        # What httpx takes for a path is a URL without a scheme.
        with pytest.raises((httpx.InvalidURL, httpx.UnsupportedProtocol)):
            await request(client, "GET", url, timeouts=TIMEOUTS)


@pytest.mark.parametrize("url", NO_HTTP)
async def test_only_http_is_spoken(url: str) -> None:
    async with open_client(hosts=AllowedHosts.parse("fal.run:*")) as client:
        with pytest.raises(httpx.UnsupportedProtocol) as caught:
            await request(client, "GET", url, timeouts=TIMEOUTS)
    assert caught.value.request.method == "GET"


@pytest.mark.parametrize("host", ["a..localhost", ".localhost", "x" * 64 + ".localhost", "-.localhost"])
async def test_a_name_that_cannot_be_one_is_not_connected_to(host: str) -> None:
    async with open_client(hosts=AllowedHosts.parse("*.localhost:*")) as client:
        with pytest.raises((httpx.InvalidURL, httpx.ConnectError)):
            await request(client, "GET", f"http://{host}:1/", timeouts=TIMEOUTS)


@pytest.mark.parametrize(
    "url", ["https://evil.example/", "https://fal.run.evil.example/", "http://fal.run/", "https://fal.run:8443/"]
)
async def test_another_host_is_refused(url: str) -> None:
    async with open_client(hosts=AllowedHosts.parse("fal.run"), base_urls=["https://api.example/v1"]) as client:
        with pytest.raises(DestinationRefused) as caught:
            await request(client, "GET", url, timeouts=TIMEOUTS)
    assert isinstance(caught.value, httpx.ConnectError)


def test_the_key_of_an_origin_is_for_that_origin() -> None:
    assert same_origin("https://fal.run/x", "https://queue.fal.run", "https://FAL.run:443/y")
    assert not same_origin("https://fal.run./x", "https://fal.run")
    assert not same_origin("http://fal.run/x", "https://fal.run")
    assert not same_origin("https://fal.run/x")
    assert not same_origin("", "")


SPELLINGS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "[::1]", "[::ffff:7f00:1]", "localhost"]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_a_private_address_is_refused_however_it_is_written(host: str) -> None:
    """Without the list of hosts, which would refuse most of these already."""
    async with (
        serving(healthy) as server,
        httpx.AsyncClient(transport=Transport(Destinations(AllowedHosts(()))), trust_env=False) as client,
    ):
        with pytest.raises((DestinationRefused, httpx.InvalidURL)):
            await request(client, "GET", server.url(host), timeouts=TIMEOUTS)
        assert server.accepted == 0


async def test_a_name_on_the_list_that_resolves_to_a_private_address_is_refused() -> None:
    name = socket.gethostname()
    async with serving(healthy) as server, open_client(hosts=AllowedHosts.parse(f"{name}:*")) as client:
        with pytest.raises(httpx.ConnectError):
            await request(client, "GET", server.url(name), timeouts=TIMEOUTS)
        assert server.accepted == 0


@pytest.mark.parametrize(("listed", "host"), [("127.0.0.1:*", "127.0.0.1"), ("localhost:*", "localhost")])
async def test_a_private_address_that_the_operator_listed_is_reached(listed: str, host: str) -> None:
    async with serving(healthy) as server, open_client(hosts=AllowedHosts.parse(listed)) as client:
        assert (await request(client, "GET", server.url(host), timeouts=TIMEOUTS)).text == "ok"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_api_of_the_operators_own_is_reached_in_a_private_net(host: str) -> None:
    async with serving(healthy) as server, serving(healthy) as other:
        base_url = f"{server.url(host)}/v1"
        async with open_client(base_urls=[base_url]) as client:
            assert (await request(client, "GET", f"{base_url}/models", timeouts=TIMEOUTS)).text == "ok"
            with pytest.raises(DestinationRefused):
                await request(client, "GET", other.url(host), timeouts=TIMEOUTS)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::101:101", True),
        ("10.0.0.7", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("fd00::1", False),
        ("fe80::1%lo", False),
        ("::ffff:10.0.0.7", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a00:1::1", False),
    ],
)
def test_every_connection_is_checked_at_the_socket(address: str, allowed: bool) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    destinations = Destinations(AllowedHosts.parse("fal.run"))
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443))
    if allowed:
        destinations.open_socket(info).close()
    else:
        with pytest.raises(PrivateAddress):
            destinations.open_socket(info)


@pytest.mark.parametrize("base_url", ["", "api.example", "ftp://api.example", "https://key@api.example"])
def test_a_base_url_must_be_clear(base_url: str) -> None:
    with pytest.raises((httpx.InvalidURL, httpx.UnsupportedProtocol)):
        open_client(base_urls=[base_url])
