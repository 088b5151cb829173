"""One idea of a public address, whatever it is wrapped in, for webhooks, link checks and sign-up limits."""

from __future__ import annotations

import pytest

from mailer.checks import links, reach
from mailer.core.errors import BadInput
from mailer.core.net.ip_addresses import is_public, parse_ip, unwrap
from mailer.flows.subscribers import signup_limits
from mailer.webhooks import signed_post

NOT_PUBLIC = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "192.0.0.1", "192.88.99.1", "::", "::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1",
    "ff0e::1", "::10.0.0.1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:224.0.0.1", "64:ff9b::a00:1", "64:ff9b::e000:1",
    "64:ff9b:1::a00:1", "64:ff9b:1::808:808", "2002:a00:1::", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2002:e000:1::",
    "2001:0:808:808::", "2001:0:a00:1::", "100::1",
]  # fmt: skip
PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_so_for_webhooks_links_and_limits_alike(address: str) -> None:
    assert not is_public(parse_ip(address))
    assert not reach.is_public(address)
    assert links._is_local(address.partition("%")[0])
    assert signup_limits.get_network(address) == ""
    with pytest.raises(BadInput, match="private network"):
        signed_post.check_target(f"https://{f'[{address}]' if ':' in address else address}/", [])


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_that_is_public_is_so_for_webhooks_links_and_limits_alike(address: str) -> None:
    assert is_public(parse_ip(address))
    assert reach.is_public(address)
    assert not links._is_local(address)
    assert signup_limits.get_network(address)
    signed_post.check_target(f"https://{f'[{address}]' if ':' in address else address}/", [])


def test_an_ipv4_client_behind_a_translator_shares_the_limit_of_its_own_network() -> None:
    assert signup_limits.get_network("64:ff9b::808:808") == signup_limits.get_network("8.8.8.8") == "8.8.8.0/24"
    assert str(unwrap(parse_ip("2002:808:808::1"))) == "8.8.8.8"
