import http.server
import socket
import threading

import pytest

from kzoo.data import _network


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404 if "missing" in self.path else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_host_that_answers(server):
    assert _network.unreachable(f"{server}/there") == ""
    assert _network.unreachable(f"{server}/missing") == ""  # The host is there all the same.


def test_host_that_refuses():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reason = _network.unreachable(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert "refused" in reason


def test_host_that_never_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        reason = _network.unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
    assert "timed out" in reason or "no answer within 0.2 seconds" in reason


def test_lookup_that_hangs_is_given_up(monkeypatch):
    release = threading.Event()

    def hang(*arguments, **options):
        release.wait(30)
        raise OSError("too late")

    monkeypatch.setattr(_network.urllib.request, "urlopen", hang)
    assert _network.unreachable("http://slow.invalid", seconds=0.1) == (
        "no answer within 0.1 seconds"
    )
    release.set()
