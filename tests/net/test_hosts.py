"""Which hosts Easel speaks to, and which it does not."""

from __future__ import annotations

import pytest

from bot.net.hosts import AllowedHosts, is_private

FAL = AllowedHosts.parse("fal.media, *.fal.media, storage.googleapis.com")
LOCAL = AllowedHosts.parse("127.0.0.1:*, [::1]:8080, localhost:9000")


@pytest.mark.parametrize(
    "url",
    [
        "https://fal.media/files/a.png",
        "https://v3b.fal.media/files/a.png",
        "https://V3.FAL.MEDIA/files/a.png",
        "https://fal.media:443/a.png",
        "https://storage.googleapis.com/falserverless/a.png",
    ],
)
def test_a_listed_host_is_allowed(url: str) -> None:
    assert FAL.allows(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://fal.media/files/a.png",
        "https://fal.media:8443/a.png",
        "https://fal.media.evil.example/a.png",
        "https://evilfal.media/a.png",
        "https://evil.example/fal.media",
        "https://fal.media@evil.example/a.png",
        "https://user:word@fal.media/a.png",
        "https://127.0.0.1/a.png",
        "https://169.254.169.254/latest/meta-data",
        "ftp://fal.media/a.png",
        "file:///etc/passwd",
        "fal.media/a.png",
        "https://fal.media:port/a.png",
        "https://[fal.media/a.png",
        "",
    ],
)
def test_everything_else_is_not(url: str) -> None:
    assert not FAL.allows(url)


def test_a_pattern_with_a_port_allows_plain_http_and_only_that_port() -> None:
    assert LOCAL.allows("http://127.0.0.1:1234/a.png")
    assert LOCAL.allows("http://[::1]:8080/a.png")
    assert LOCAL.allows("http://localhost:9000/a.png")
    assert not LOCAL.allows("http://localhost:9001/a.png")
    assert not LOCAL.allows("http://[::1]:8081/a.png")


def test_no_name_pattern_lets_a_private_address_in() -> None:
    assert not AllowedHosts.parse("*.0.0.1:*").allows("http://127.0.0.1:80/")


def test_an_address_counts_as_listed_only_when_it_stands_in_the_list() -> None:
    assert LOCAL.lists_address("127.0.0.1")
    assert LOCAL.lists_address("::1")
    assert not LOCAL.lists_address("10.0.0.1")
    assert not FAL.lists_address("127.0.0.1")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "::1", "[fe80::1]"]
)
def test_addresses_of_this_machine_and_of_private_nets_are_private(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.0.192",
        "168.63.129.16",
        "224.0.0.1",
        "ff02::1",
        "::127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b:1::a00:1",
    ],
)
def test_a_clouds_own_services_and_addresses_of_gateways_are_private(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "fal.media"])
def test_public_addresses_and_names_are_not(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize("text", ["*", "https://fal.media", "fal.*", "*.", "a.*.media"])
def test_a_pattern_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        AllowedHosts.parse(text)


def test_an_empty_list_allows_nothing() -> None:
    assert not AllowedHosts.parse(" , ").allows("https://fal.media/")


@pytest.mark.parametrize(
    "url", ["https://a.example/v1", "http://a.example/", "http://127.0.0.1:8080/x", "http://[::1]/"]
)
def test_a_url_of_the_operators_own_joins_the_list_with_its_port_only(url: str) -> None:
    hosts = AllowedHosts.parse("b.example").with_url(url)
    assert hosts.allows(url)
    assert hosts.allows("https://b.example/")
    assert not hosts.allows("http://a.example:81/")
