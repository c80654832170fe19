"""A start that fails half-way ends as cleanly as any other end: nothing hangs, nothing leaks, the reason is said."""
import os
import shutil

from harness import Gatepost, free_port


def test_the_control_socket_can_not_be_made(tmp_path):
    """It is the last thing to start: writer, delivery and workers run already."""
    daemon = Gatepost(tmp_path, free_port())
    os.makedirs(os.path.join(daemon.folder, "run", "control.sock", "in the way"))
    daemon.start(wait=False)
    assert daemon.process.wait(120) == 71, daemon.log()
    daemon.process = None
    log = daemon.log()
    assert "control.sock" in log and "event=stopped" in log and "event=started" not in log, log
    assert "Sanitizer" not in log and "runtime error" not in log, log
    shutil.rmtree(os.path.join(daemon.folder, "run"))
    daemon.start()
    assert daemon.stop() == 0, daemon.log()
