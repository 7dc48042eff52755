"""Imports a module of runs once, then forks a process for each run it is asked for.

Frameworks take seconds to import, a run a fraction of one, and each run must be a process of its
own that can be killed.

    python forks.py MODULE

reads lines of JSON: {"run": name, "folder": ..., "arguments": {...}} answers {"pid": ...},
{"wait": pid} answers {"status": ...}. A run's output goes to log.txt in its folder.
"""

import importlib
import json
import os
import sys
import traceback


def run(module, request):
    os.chdir(request["folder"])
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target in (1, 2):
        os.dup2(log, target)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    getattr(module, request["run"])(**request["arguments"])
    sys.stdout.flush()


def forked(module, request):
    pid = os.fork()
    if pid:
        return {"pid": pid}
    status = 1
    try:
        run(module, request)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main():
    import torch
    import torch._dynamo  # the first optimizer would import it, in each run anew

    torch.set_num_threads(1)  # before any operation: threads do not survive a fork
    module = importlib.import_module(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if not request:
            answer = {"ready": True}
        elif "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            answer = forked(module, request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
