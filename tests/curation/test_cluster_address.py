"""A Ray cluster that nobody answers for is refused at once."""

from __future__ import annotations

import socket

import pytest

from configs.errors import UserError
from curation.runner import check_cluster


@pytest.fixture
def port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}", "ray://127.0.0.1:{}/x"])
def test_a_silent_address_is_refused(form: str, port: int) -> None:
    with pytest.raises(UserError, match="does not answer"):
        check_cluster(form.format(port))


def test_an_impossible_port_is_refused() -> None:
    with pytest.raises(UserError, match="does not answer"):
        check_cluster("127.0.0.1:99999999")


def test_an_address_that_answers_and_other_forms_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_cluster(f"127.0.0.1:{server.getsockname()[1]}")
    for address in ("auto", "local", "ray://somewhere"):
        check_cluster(address)
