from __future__ import annotations

import io
import os
import threading
import time

from services.command.console import Console


def test_lines_stand_behind_their_names() -> None:
    stream = io.StringIO()
    console = Console(["clickhouse", "api"], lambda: None, stream)
    console.line("api", "listening")
    console.say("ready\n  now")
    console.close()
    assert stream.getvalue() == "api        | listening\nup         | ready\nup         |   now\n"


def test_control_characters_are_made_visible() -> None:
    stream = io.StringIO()
    console = Console(["api"], lambda: None, stream)
    console.line("api", "worker=\x1b[2Jme\tyou")
    console.close()
    assert stream.getvalue() == "api | worker=\\x1b[2Jme\tyou\n"


def test_a_paused_terminal_holds_up_nobody() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as terminal, os.fdopen(reading) as reader:
        console = Console(["api"], lambda: None, terminal)
        # Nobody reads before all of them are said: more than a pipe holds.
        for number in range(20_000):
            console.line("api", f"{number} {'x' * 100}")
        drain = threading.Thread(target=lambda: list(iter(reader.readline, "up  | done\n")))
        drain.start()
        while console._lines.qsize() > 100:
            time.sleep(0.01)
        console.say("done")
        console.close(15)
        terminal.flush()
        drain.join(60)
        assert not drain.is_alive()


def test_dropped_lines_are_counted() -> None:
    gate = threading.Event()

    class Paused(io.StringIO):
        def write(self, text: str) -> int:
            gate.wait(60)
            return super().write(text)

    stream = Paused()
    console = Console(["api"], lambda: None, stream)
    for number in range(10_101):
        console.line("api", str(number))
    gate.set()
    while not console._lines.empty():
        time.sleep(0.01)
    console.line("api", "again")
    console.close(15)
    lines = stream.getvalue().splitlines()
    dropped = next(line for line in lines if "dropped" in line)
    assert int(dropped.split()[2]) in (100, 101)
    assert lines[-1] == "api | again"


def test_nobody_reading_is_told() -> None:
    gone = threading.Event()
    reading, writing = os.pipe()
    os.close(reading)
    terminal = os.fdopen(writing, "w")
    console = Console(["api"], gone.set, terminal)
    console.say("hello")
    assert gone.wait(60)
    console.close()
    try:
        terminal.close()
    except BrokenPipeError:
        pass
