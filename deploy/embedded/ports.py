"""Loopback ports for the processes we start ourselves.

A port found free can be taken by another process before ours binds it: nobody can reserve one for a child.
So callers treat a port as a proposal, and report the child's own "address in use" as an error of its own.
"""

import errno
import socket

LOOPBACK = "127.0.0.1"

_proposed: set[int] = set()
"""By this process; none is proposed twice, as several are asked for before the first is bound."""


def free_port() -> int:
    """A TCP port that nothing listens on at 127.0.0.1 right now, chosen by the system (its ephemeral range).

    Another one with each call.
    """
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port not in _proposed:
            _proposed.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a server could bind 127.0.0.1:port now.

    port : 1 to 65535. Connections of an earlier server that linger in TIME_WAIT do not count as taken
    (servers bind with SO_REUSEADDR, and so does this). Any other failure than "in use" is raised as the OSError
    it is: a privileged port (EACCES) is not a taken one.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
