"""Whom a client trusts: for HTTPS the certificates there are, else nobody."""

import ssl

import httpx

from service.client.exchange import trusted


def test_https_is_verified_and_what_is_without_it_could_not_be_turned_into_it_unseen() -> None:
    assert trusted(httpx.URL("https://127.0.0.1:8000")) is True
    nobody = trusted(httpx.URL("http://127.0.0.1:8000"))
    assert isinstance(nobody, ssl.SSLContext)
    assert nobody.verify_mode == ssl.CERT_REQUIRED
    assert nobody.check_hostname
    assert nobody.get_ca_certs() == []
