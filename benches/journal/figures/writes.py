"""Writes on S3: alone, and of many callers."""

from harness.bench import CALLERS, MICROSECOND, MILLISECOND, SECOND, median, phase


def on_s3(bench):
    with bench.replica(bench.s3) as writer:
        writer.do("open", "base")
        phase("writes alone, S3")
        alone(bench, writer)
        phase(f"{CALLERS} callers, S3")
        many_callers(bench, writer)


def alone(bench, writer):
    # The first write proves the store, and tells how large a segment of one op is.
    writer.do("apply", "base", bench.entries, 20, 1)
    before = writer.requests()["bytes_written"]
    writer.do("apply", "base", bench.entries, 20, 1)
    size = (writer.requests()["bytes_written"] - before) // 20
    # Each in turn, so that all meet the same moods of the machine.
    took = {"write": [], "put": [], "alone": []}
    with bench.puts("bare", size) as put, bench.puts("alone", size, "alone") as single:
        programs = {"put": put, "alone": single}
        for program in programs.values():
            program.put(20)
        for turn in range(bench.rounds(300)):
            for kind in list(took)[turn % 3 :] + list(took)[: turn % 3]:
                if kind == "write":
                    took[kind] += writer.do("apply", "base", bench.entries, 1, 1)["walls"]
                else:
                    took[kind] += programs[kind].put(1)[0]
    write, put, single = (median(took[kind]) for kind in took)
    bench.table.at_most("a write alone, to a bare PUT", write / put, " x", 1.05)
    bench.table.told("the same, to one by a single thread", write / single, " x")
    bench.table.told("a bare PUT", put / MILLISECOND, " ms")


def many_callers(bench, writer):
    one, many, work, segments = [], [], [], []
    for _ in range(bench.rounds(4)):
        for rates, callers in ((one, 1), (many, CALLERS)):
            before = writer.namespace("base")["segments"]
            done = writer.do("callers", "base", bench.entries, callers, int(2500 * min(1, bench.effort)))
            rates.append(done["ops"] / done["wall"] * SECOND)
            if callers > 1:
                work.append(done["cpu"] / done["ops"])
                segments.append(done["ops"] / (writer.namespace("base")["segments"] - before))
    bench.table.at_least(f"{CALLERS} callers, to one", median(many) / median(one), " x", 60)
    bench.table.told(f"{CALLERS} callers: ops a second", median(many), "")
    bench.table.told(f"{CALLERS} callers: ops in a segment", median(segments), "")
    bench.table.told(f"{CALLERS} callers: CPU of an op", median(work) / MICROSECOND, " us")
