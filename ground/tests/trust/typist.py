#!/usr/bin/env python3
"""Runs a command on a terminal of its own and types answers to its questions.

    typist.py ANSWERS_JSON COMMAND…      ANSWERS_JSON: [[question, answer], …], each question waited for in turn

Prints everything that the terminal showed; exits as the command did.
"""
import json, os, pty, sys

answers, command = json.loads(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
shown, seen = b"", 0
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:  # the other side is closed
        break
    if not more:
        break
    shown += more
    while answers and answers[0][0].encode() in shown[seen:]:
        question, answer = answers.pop(0)
        seen = shown.index(question.encode(), seen) + len(question.encode())
        os.write(terminal, answer.encode())
sys.stdout.buffer.write(shown)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if answers:
    sys.exit(f"never asked: {answers[0][0]}")
sys.exit(status)
