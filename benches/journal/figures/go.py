"""The same through the Go package."""

from harness.bench import CALLERS, MICROSECOND, SECOND, median, phase

MANY_CALLERS = 4096
WAITING = 10_000


def gets(bench):
    phase("Go")
    with bench.go_replica(bench.file) as replica:
        replica.do("open", "base")
        own, peer = [], []
        for _ in range(6):
            own.append(replica.do("get", "base", bench.entries, int(400_000 * bench.effort) + 1, 0))
            peer.append(replica.do("map", bench.entries, int(400_000 * bench.effort) + 1, 0))
    own_get, peer_get = (median([one["wall"] for one in kind[1:]]) for kind in (own, peer))
    bench.table.at_most("Go: Get of a typed view, hot", own_get, " ns", 600)
    # What the measuring itself allocates, a few times in all, is not the Get's.
    bench.table.at_most("Go: allocations of a Get", round(median([one["allocations"] for one in own]), 2), "", 1)
    bench.table.told("Go: a Get, to one of a map of JSON behind a mutex", own_get / peer_get, " x")


def writes(bench):
    with bench.go_replica(bench.s3) as replica:
        replica.do("open", "go")
        for callers in (CALLERS, MANY_CALLERS):
            done = [replica.do("callers", "go", bench.entries, callers, int(2500 * min(1, bench.effort))) for _ in range(bench.rounds(3))]
            bench.table.told(f"Go, {callers:,} callers: ops a second", median([one["ops"] / one["wall"] * SECOND for one in done]), "")
            bench.table.told(f"Go, {callers:,} callers: CPU of an op", median([one["cpu"] / one["ops"] for one in done]) / MICROSECOND, " us")


def waiting(bench):
    with bench.go_replica({**bench.s3, "commit_interval_ms": 5000}) as replica:
        replica.do("open", "go")
        waiting = replica.do("waiting", "go", bench.entries, WAITING)
        bench.table.at_most(f"Go, {WAITING:,} calls that wait: threads", waiting["threads"], "", 20)
        bench.table.at_most(f"Go, {WAITING:,} calls that wait: memory", waiting["resident"] / 1e6, " MB", 60)
