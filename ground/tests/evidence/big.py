#!/usr/bin/env python3
"""Large exports in little memory: `make convert-big` (MIB=10240). Writes docs/evidence/convert.md, step by step.

Makes a set of exports of several devices under target/convert-big, then verifies, converts, searches and draws it, each command
under a limit of 256 MiB of address space. Every command has to find as many events as `export verify` counted; what is loaded
twice has to load once. SQLite and PostgreSQL get as much of the set as the disk has room for. Outputs are deleted one by one.
"""
import datetime
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
MIB = 1 << 20
LIMIT = 256 * MIB
# What a target's output takes, in parts of its input, measured; PostgreSQL also while it loads.
ROOM = {"parquet": 1.0, "sqlite": 3.5, "postgres": 9.0}


def say(text):
    print(text, file=sys.stderr, flush=True)


def built():
    if not os.environ.get("AEGIS_NO_BUILD"):
        build = ["cargo", "build", "--quiet", "--release", "--package", "aegisctl", "--bins", "--examples"]
        subprocess.run(build, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or (ROOT / "target"))
    return target / "release/aegisctl", target / "release/examples/evidence"


class Run:
    """One command under the limit: what it said, how long it took, the most memory that it had resident."""

    def __init__(self, command, into=None):
        began = time.monotonic()
        bound = lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=bound)
        self.lines, self.bytes, self.out = 0, 0, b""
        while chunk := process.stdout.read1(MIB):
            self.lines += chunk.count(b"\n")
            self.bytes += len(chunk)
            self.out = (self.out + chunk)[: 16 * MIB] if into is None else b""
        self.err = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = self.exit = os.waitstatus_to_exitcode(status)
        self.seconds, self.cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
        self.resident = usage.ru_maxrss * 1024

    def good(self, *codes):
        assert self.exit in (codes or (0,)), (self.exit, self.err[-2000:])
        return self


class Bench:
    def __init__(self, size):
        self.aegisctl, self.generator = built()
        self.home = ROOT / "target/convert-big"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        say(f"convert-big: making {size} MiB of exports")
        subprocess.run([self.generator, "fleet", str(size), self.home / "set"], check=True)
        self.files = sorted((self.home / "set").iterdir())
        self.rows = []

    def run(self, *arguments, into=None):
        return Run([str(self.aegisctl), "export", *map(str, arguments)], into)

    def note(self, what, files, run, events, output):
        size = sum(file.stat().st_size for file in files)
        self.rows.append((what, size, events, run.seconds, run.cpu, run.resident, output))
        rate = size / MIB / run.cpu
        say(f"convert-big: {what}: {size // MIB} MiB, {events} events, {run.seconds:.0f} s, {run.resident // MIB} MiB, {rate:.0f} MiB/s")
        # What was measured stays, whatever comes next.
        self.document()

    def fitting(self, target):
        """The first files of the set for whose output there is room, with 2 GiB of the disk left alone."""
        free = shutil.disk_usage(self.home).free - 2048 * MIB
        files, size = [], 0
        for file in self.files:
            size += file.stat().st_size
            if size * ROOM[target] > free:
                break
            files.append(file)
        assert files, f"no room for {target}"
        return files

    def events(self, files):
        run = self.run("verify", "--json", *files).good()
        return json.loads(run.out)["events"]["total"], run

    def all(self):
        events, run = self.events(self.files)
        self.total = events
        self.note("verify", self.files, run, events, 0)
        self.lines("jsonl")
        self.file("parquet")
        self.file("sqlite")
        self.postgres()
        found = self.run("query", "verdict=deny and path ~ */file-*7", "--count", *self.files).good()
        self.note("query", self.files, found, events, 0)
        out = self.home / "page.html"
        run = self.run("report", "--html", out, *self.files).good()
        self.note("report --html", self.files, run, events, out.stat().st_size)
        out.unlink()
        self.lines("ocsf")

    def lines(self, to):
        run = self.run("convert", "--to", to, *self.files, into="pipe").good()
        # A decision that audited or denied is two records of OCSF.
        assert run.lines > self.total if to == "ocsf" else run.lines == self.total, (to, run.lines, self.total)
        self.note(f"{to}, into a pipe", self.files, run, self.total, run.bytes)

    def file(self, to):
        files, out = self.fitting(to), self.home / f"out.{to}"
        events = self.total if len(files) == len(self.files) else self.events(files)[0]
        load = ("convert", "--to", to, "--json", "--out", out, *files)
        run = self.run(*load).good()
        assert json.loads(run.out)["events"] == events, (run.out, events)
        self.note(to, files, run, events, out.stat().st_size)
        if to == "sqlite":
            self.again(to, files, load)
        out.unlink()

    def again(self, to, files, load):
        run = self.run(*load).good()
        said = json.loads(run.out)
        assert (said["events"], said["known_files"]) == (0, len(files)), said
        self.note(f"{to}, the same again", files, run, 0, 0)

    def postgres(self):
        files, home = self.fitting("postgres"), self.home / "postgres"
        events = self.total if len(files) == len(self.files) else self.events(files)[0]
        programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        home.mkdir()
        home.chmod(0o777)
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        made = [*user, programs / "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D", home / "data"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=home)
        server = [*user, "--pdeathsig=KILL"] if user else []
        server += [programs / "postgres", "-D", home / "data", "-k", home, "-c", "listen_addresses="]
        server += ["-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "max_wal_size=1GB", "-c", "shared_buffers=256MB"]
        with open(home / "log", "w", encoding="utf-8") as log:
            running = subprocess.Popen(server, stdout=log, stderr=log, cwd=home)
        try:
            ask = ["psql", "-qAt", "-h", str(home), "-U", "postgres", "-c"]
            for _ in range(300):
                if subprocess.run([*ask, "SELECT 1"], capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            load = ("convert", "--to", "postgres", "--json", "--database", f"postgresql://postgres@/postgres?host={home}", *files)
            run = self.run(*load).good()
            assert json.loads(run.out)["events"] == events, (run.out, events)
            counted = subprocess.run([*ask, "SELECT count(*), pg_database_size(current_database()) FROM aegis.events"], capture_output=True, check=True)
            count, size = map(int, counted.stdout.decode().split("|"))
            assert count == events, (count, events)
            self.note("postgres", files, run, events, size)
            self.again("postgres", files, load)
        finally:
            running.terminate()
            running.wait()
            shutil.rmtree(home, ignore_errors=True)

    def document(self):
        out = lambda *words: subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode().strip()
        changed = out("git", "status", "--porcelain", "--", "ground", "firmware/export", "firmware/event", "Cargo.lock")
        commit = out("git", "rev-parse", "--short", "HEAD") + (" with changes that were not committed" if changed else "")
        cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name"))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
        size = sum(file.stat().st_size for file in self.files)
        loaded = any("same again" in what for what, *_ in self.rows)
        lines = [
            "# Large exports in little memory",
            "",
            f"{datetime.date.today()}, commit {commit}; {os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, other work running. Written by `make convert-big`,",
            f"which makes {len(self.files)} exports of four devices, {size / 1024**3:.2f} GiB with {self.total:,} different events, an eighth of the exports with what the",
            "one before had. Every command ran under a limit of 256 MiB of address space and found the events that `export verify` counted.",
            *(["What was loaded twice was loaded once; the databases had as much of the set as the disk has room for."] if loaded else []),
            "",
            "| command | exports | events | output | time | CPU time | exports per s of it | most memory resident |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for what, size, events, seconds, cpu, resident, output in self.rows:
            made = f"{output / 1024**3:.2f} GiB" if output > 100 * MIB else f"{output // 1024} KiB" if output else "–"
            lines.append(
                f"| {what} | {size / 1024**3:.2f} GiB | {events:,} | {made} | {seconds:.0f} s | {cpu:.0f} s | {size / MIB / cpu:.0f} MiB | {resident / MIB:.0f} MiB |"
            )
        lines += ["", "All are read twice: once to verify, once to convert. JSON is not kept: it goes through a pipe and is counted.", ""]
        (ROOT / "docs/evidence/convert.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    bench = Bench(int(os.environ.get("MIB") or 10240))
    try:
        bench.all()
    finally:
        shutil.rmtree(bench.home, ignore_errors=True)
