"""The same through the Go package."""

from harness.bench import CALLERS, MICROSECOND, MILLISECOND, SECOND, median, phase

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
    bench.table.told("Go: a map of JSON behind a mutex, hot", peer_get, " ns")
    bench.table.told("Go: Get of a typed view, to that", own_get / peer_get, " x")


def writes(bench):
    with bench.go_replica(bench.s3) as replica:
        replica.do("open", "folds")
        for callers in (CALLERS, MANY_CALLERS):
            phase(f"{callers:,} callers in Go, S3")
            # The first ones prove the store, and tell how large a body with an op of each caller is.
            replica.do("callers", "folds", bench.entries, callers, 100)
            before = replica.requests()["bytes_written"]
            first = replica.do("callers", "folds", bench.entries, callers, 500)
            size = round((replica.requests()["bytes_written"] - before) / first["ops"] * callers)
            rates, work, library, puts, put_work = [], [], [], [], []
            with bench.puts(f"bare-{callers}", size) as bare:
                bare.put(5)
                for _ in range(bench.rounds(3)):
                    done = replica.do("callers", "folds", bench.entries, callers, int(2500 * min(1, bench.effort)))
                    rates.append(done["ops"] / done["wall"] * SECOND)
                    work.append(done["cpu"] / done["ops"])
                    library.append(done["library"] / done["ops"])
                    walls, cpu = bare.put(20)
                    puts += walls
                    put_work.append(cpu / callers)
            put = median(puts)
            name = f"Go, {callers:,} callers"
            bench.table.at_least(f"{name}: ops a second", median(rates), "", 0.5 * callers / put * SECOND)
            bench.table.told(f"a bare PUT of {size / 1000:,.0f} KB, an op of each of them", put / MILLISECOND, " ms")
            bench.table.at_most(f"{name}: CPU of an op", median(work) / MICROSECOND, " us", 4)
            bench.table.told(f"{name}: of it in the library's threads", median(library) / MICROSECOND, " us")
            parked = replica.do("parks", callers, round(put / MICROSECOND), int(2500 * min(1, bench.effort)))
            bench.table.told(f"{name}: of it to call into C, to park and be woken", parked["cpu"] / parked["ops"] / MICROSECOND, " us")
            bench.table.told(f"{name}: of it in a bare PUT", median(put_work) / MICROSECOND, " us")


def waiting(bench):
    with bench.go_replica({**bench.s3, "commit_interval_ms": 5000}) as replica:
        replica.do("open", "go")
        waiting = replica.do("waiting", "go", bench.entries, WAITING)
        bench.table.at_most(f"Go, {WAITING:,} calls that wait: threads", waiting["threads"], "", 20)
        bench.table.at_most(f"Go, {WAITING:,} calls that wait: memory", waiting["resident"] / 1e6, " MB", 60)
