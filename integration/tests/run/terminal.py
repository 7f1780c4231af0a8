"""Runs a program on a terminal of its own and types what the dialog says: each key once its prompt is shown."""

import os
import pty
import select
import sys

dialog, argv = sys.argv[1].split("\x1f"), sys.argv[2:]
child, fd = pty.fork()
if child == 0:
    os.execvp(argv[0], argv)
shown, from_here = b"", 0
answers = list(zip(dialog[0::2], dialog[1::2]))
while True:
    ready, _, _ = select.select([fd], [], [], 120)
    if not ready:
        sys.exit(f"neither asks nor ends: {shown!r}")
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    if not more:
        break
    shown += more
    while answers and answers[0][0].encode() in shown[from_here:]:
        from_here = len(shown)
        os.write(fd, answers.pop(0)[1].encode())
if answers:
    sys.exit(f"never showed {answers!r} but {shown!r}")
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
