import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Gatepost, Postfix, Sink  # noqa: E402
from suspension import Site  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "tsan: also run on the build with the thread sanitizer")


def pytest_terminal_summary(terminalreporter):
    """What tests have measured is for people: it is said at the end, of other processes' tests, too."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            terminalreporter.write_line("%s: %s" % (name, text))


@pytest.fixture
def figure(request):
    """figure(text): a number that is told and not judged."""
    return lambda text: request.node.user_properties.append(("figure", text))


@pytest.fixture
def sink(tmp_path):
    sink = Sink(tmp_path).start()
    yield sink
    sink.stop()


@pytest.fixture
def postfix(tmp_path):
    postfix = Postfix(tmp_path).start()
    yield postfix
    postfix.done()


@pytest.fixture
def site(tmp_path):
    """A daemon that suspends, and the sink with its notices."""
    site = Site(tmp_path)
    yield site
    site.stop()


@pytest.fixture
def gatepost(tmp_path, sink):
    """A daemon in front of a sink, with alice and bob; it must end cleanly."""
    daemon = Gatepost(tmp_path, sink.port).start().account("alice", "bob")
    yield daemon
    assert daemon.stop() == 0, daemon.log()[-5000:]
