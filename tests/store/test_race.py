"""Savers, readers, a collector and a compactor as processes of their own, all on one store at once.

KILTER_RACE_SECONDS=180 races for so long, in rounds of a minute; else a few seconds. The same in threads:
src/store/keep/race_test.cc.
"""

import os
import random
import shutil
import threading
import time

import numpy as np

from checkpoints import files_below, safetensors

ROUND_SECONDS = 60
SAVERS = ("a", "b")
RESTORED = 40  # commits of a round that are compared to the last byte, by chance, beside the tips


def write_checkpoint(folder, saver, step):
    folder.mkdir(parents=True)
    weights = np.random.default_rng([ord(saver), step // 2]).normal(0, 0.02, 3000)  # two steps share them
    (folder / "model.safetensors").write_bytes(safetensors({"w": weights, "same": np.ones(2000)}))
    (folder / "about.txt").write_text(f"{saver} {step}")
    return folder


class Round:
    """One store and everybody who works on it."""

    def __init__(self, kilter, folder, seconds):
        self.kilter, self.folder, self.end = kilter, folder, time.monotonic() + seconds
        self.store = folder / "s.kilter"
        self.saved = {}  # commit: (branch, saver, step)
        self.given_up = set()
        self.counts = dict.fromkeys(("saves", "removals", "collections", "compactions", "refused", "logs", "restores"), 0)
        self.faults = []
        self.running = len(SAVERS)

    def run(self):
        self.save("a", 1, "main")
        work = [(self.keep_saving, saver) for saver in SAVERS]
        work += [(self.keep_order, "collect"), (self.keep_order, "compact"), (self.keep_reading,)]
        threads = [threading.Thread(target=self.guarded, args=item) for item in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.faults, self.faults[0]
        self.look()

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as fault:  # pylint: disable=broad-except
            self.faults.append(f"{work.__name__}{arguments}: {fault!r}")
        if work == self.keep_saving:
            self.running -= 1

    def going(self):
        return self.running > 0 and not self.faults

    def save(self, saver, step, branch):
        source = self.folder / f"{saver}-checkpoint-{step}"
        if not source.is_dir():
            write_checkpoint(source, saver, step)
        run = self.kilter("save", source, f"{self.store}@{branch}", "--step", step, "--meta", f"saver={saver}",
                          "--json", status=0)
        self.counts["saves"] += 1
        return run.json["saved"][0]["commit"]

    def keep_saving(self, saver):
        """Each goes on with main and with a branch of its own, and gives up a third every now and then."""
        step, own = 1, []
        while time.monotonic() < self.end and not self.faults:
            step += 1
            self.saved[self.save(saver, step, "main")] = ("main", saver, step)
            own.append(self.save(saver, step, f"own-{saver}"))
            self.saved[own[-1]] = (f"own-{saver}", saver, step)
            if step % 3 == 0:
                self.save(saver, step + 100_000, f"side-{saver}")
                self.kilter("branch", self.store, f"side-{saver}", "--delete", status=0)
            if step % 4 == 0:
                self.given_up.add(own[-3])
                self.kilter("remove", f"{self.store}@{own[-3]}", status=0)
                self.counts["removals"] += 1

    def keep_order(self, verb):
        """Only one of these works at a time; the other is told so and comes again."""
        while self.going():
            run = self.kilter(verb, self.store)
            refused = run.status == 2 and "another collect, compact or repair is running" in run.err
            assert run.status == 0 or refused, run
            self.counts["refused" if refused else "collections" if verb == "collect" else "compactions"] += 1

    def keep_reading(self):
        while self.going():
            commits = self.kilter("log", self.store, "--json", status=0).json["commits"]
            assert commits
            self.counts["logs"] += 1
            self.restore_and_compare(f"{self.store}@main")

    def restore_and_compare(self, address):
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        self.kilter("restore", address, out, status=0)
        saver, step = (out / "about.txt").read_text().split()
        assert files_below(out) == files_below(self.folder / f"{saver}-checkpoint-{step}")
        self.counts["restores"] += 1
        return saver, int(step)

    def look(self):
        """Every commit that a saver reported is in its branch's history, and comes back as it was."""
        for branch in {branch for branch, _, _ in self.saved.values()}:
            logged = {c["commit"] for c in self.kilter("log", f"{self.store}@{branch}", "--json", status=0).json["commits"]}
            lost = {commit for commit, (b, _, _) in self.saved.items() if b == branch} - logged
            assert not lost, f"{len(lost)} of {branch}"
        kept = sorted(self.saved.keys() - self.given_up)
        for commit in random.Random(1).sample(kept, min(RESTORED, len(kept))):
            assert self.restore_and_compare(f"{self.store}@{commit}") == self.saved[commit][1:]
        self.kilter("check", self.store, "--data", status=0)
        for _ in range(2):
            self.kilter("collect", self.store, status=0)
        self.kilter("check", self.store, "--data", status=0)
        for name in ("sessions", "fossils"):
            assert not list((self.store / name).glob("*")), name


def test_processes_that_work_on_one_store_at_once_lose_nothing(kilter, tmp_path):
    seconds, totals, rounds = float(os.environ.get("KILTER_RACE_SECONDS", "3")), {}, 0
    while seconds > 0:
        folder = tmp_path / str(rounds)
        folder.mkdir()
        race = Round(kilter, folder, min(seconds, ROUND_SECONDS))
        race.run()
        assert race.counts["collections"] and race.counts["compactions"] and race.counts["restores"]
        totals = {name: count + totals.get(name, 0) for name, count in race.counts.items()}
        seconds, rounds = seconds - ROUND_SECONDS, rounds + 1
        shutil.rmtree(folder)
    assert totals["saves"] > 3 * len(SAVERS), totals
    print(f"{rounds} rounds, none lost: {totals}")
