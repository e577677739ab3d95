"""Ports: free means that a server can bind them now."""

import socket

from deploy.embedded.ports import LOOPBACK, free_port, is_free


def listening() -> socket.socket:
    return socket.create_server((LOOPBACK, 0))


def test_free_port_can_be_bound() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        pass


def test_no_free_port_twice() -> None:
    """Of a thousand that the system chooses, some are the same: it knows of none that is not bound yet."""
    assert len({free_port() for _ in range(1000)}) == 1000


def test_port_with_a_listener_is_not_free() -> None:
    with listening() as server:
        assert not is_free(server.getsockname()[1])


def test_port_is_free_while_old_connections_linger() -> None:
    """The side that closes first keeps the connection in TIME_WAIT; a restarted server may bind all the same."""
    with listening() as server:
        port = server.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    assert is_free(port)
