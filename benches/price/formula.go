package main

import "math"

// The settings of a journal that decide how many requests it sends, in seconds. docs/performance.md explains each.
type settings struct {
	sync      float64
	commit    float64
	threshold float64
	// So old the first segment is when fewer are folded as well. Rollups are taken to be at most a MiB.
	maxAge float64
	// F: the least age of what is folded, and how long it is kept after that.
	foldAge float64
}

var defaults = settings{sync: 15, threshold: 256, maxAge: 3600, foldAge: 30}

// A fleet of replicas that all have all namespaces open. Its writes, a number a second by all replicas to all namespaces together, are
// spread evenly over both.
type fleet struct {
	replicas   float64
	namespaces float64
	writes     float64
	settings   settings
}

// faster is the same fleet in a time that passes `scale` times as fast: what it sends in an hour, it sends in an hour divided by that.
func (f fleet) faster(scale float64) fleet {
	f.writes *= scale
	s := &f.settings
	s.sync, s.commit, s.maxAge, s.foldAge = s.sync/scale, s.commit/scale, s.maxAge/scale, s.foldAge/scale
	return f
}

const (
	objectsOfPage = 1000
	// What of a rollup's head is read first; and about what it takes, and each folded segment and each writer in it.
	firstHead     = 8 << 10
	bytesOfHead   = 280
	bytesOfName   = 25
	bytesOfWriter = 105
	// Who wrote in the last day and is gone, as after a restart. In the fleets that are run here: who made them ready.
	writersGone = 2
	// While a LIST began less than 2F - D - 2S after the one before, the rollup need not be read: in parts of F.
	elision = 2 - 1.0/3 - 2.0/15
	// After a LIST of all namespaces that was too long, so many ticks go by before the next try.
	ticksBetweenTries = 20
	// The length of a LIST is taken at so many moments between two folds.
	moments = 1000
)

// Requests a second, by kind.
type rates [kinds]float64

// What follows from a fleet's size and settings, and decides its requests.
type cycle struct {
	// Segments a second, of all namespaces.
	segments float64
	// The time between two folds of a namespace, and how many segments each takes in. Without writes there is none.
	period, folded float64
	// Objects that a LIST shows of one namespace, on average.
	listed float64
	// Requests of a replica in an interval, for all namespaces: pages of LIST, and conditional GETs of rollups.
	pages, looks float64
	// GETs of the rollup by each replica that learns of a fold.
	heads float64
}

func (f fleet) cycle() cycle {
	s := f.settings
	c := cycle{segments: f.writes, listed: 1}
	if s.commit > 0 {
		c.segments = math.Min(f.writes, f.replicas*f.namespaces/s.commit)
	}
	// What a LIST shows of a namespace at a time since its last fold.
	shown := func(float64) float64 { return 1 }
	if c.segments > 0 {
		each := c.segments / f.namespaces
		betweenTicks := s.sync / f.replicas
		c.period = betweenTicks*math.Ceil(s.threshold/each/betweenTicks) + s.sync
		if inAnInterval := math.Min(f.replicas, math.Floor(s.sync*each/s.threshold)); inAnInterval > 0 {
			// Who found it due just before a fold, be it its own, finds it due again at its next tick.
			c.period = s.sync / inAnInterval
		}
		c.folded = each * c.period
		age := math.Max(s.foldAge, 2*s.sync)
		if s.maxAge > 0 {
			// The first segment is as old as this when it is folded, with all that are aged by then. Each replica waits up to an eighth
			// longer, and the first of them folds.
			oldest := math.Max(age, s.maxAge*(1+1/(8*(f.replicas+1)))) + betweenTicks/2 + s.sync
			if folded := math.Floor((oldest-age)*each) + 1; folded < c.folded {
				c.folded, c.period = folded, folded/each
			}
		}
		kept := s.foldAge + betweenTicks/2
		c.listed = 1 + each*(age+kept) + c.folded/2
		shown = func(since float64) float64 {
			foldsKept := math.Max(0, math.Ceil((kept-since)/c.period))
			return 1 + each*(age+since) + c.folded*foldsKept
		}
		c.heads = 1
		named := c.folded * (1 + math.Floor(kept/c.period))
		if bytesOfHead+bytesOfName*named+bytesOfWriter*(f.replicas+writersGone) > firstHead {
			c.heads = 2
		}
	}

	// A LIST for all namespaces, whose folds come at different times, so that their sum hardly changes. Each end of a page within a
	// namespace makes that read its rollup: its part of the LIST was no single moment.
	c.pages = math.Ceil(f.namespaces * c.listed / objectsOfPage)
	c.looks = (c.pages - 1) * (c.listed - 1) / c.listed
	if f.namespaces == 1 || c.pages > f.namespaces-1 {
		// One for each.
		c.pages, c.looks = 0, 0
		for moment := range moments {
			pages := math.Ceil(shown(c.period*(float64(moment)+0.5)/moments) / objectsOfPage)
			c.pages += f.namespaces * pages / moments
			if pages > 1 {
				c.looks += f.namespaces / moments
			}
		}
		c.pages += f.namespaces * (f.namespaces - 1) / (ticksBetweenTries + 1)
	}
	if s.sync >= elision*s.foldAge {
		c.looks = f.namespaces
	}
	return c
}

// requests tells what the fleet sends in a second.
func (f fleet) requests() rates {
	c := f.cycle()
	ticks := f.replicas / f.settings.sync
	others := f.replicas - 1
	var r rates
	r[listPage] = ticks * c.pages
	r[getRollup] = ticks * c.looks
	if c.segments == 0 {
		return r
	}
	folds := f.namespaces / c.period
	r[putSegment] = c.segments
	r[getSegment] = c.segments * others
	r[putRollup] = folds
	r[deleteMany] = folds * math.Ceil(c.folded/objectsOfPage)
	// Who reads the rollup at each tick anyway does not read it once more when it is a new one.
	isLooked := math.Min(1, c.looks/f.namespaces)
	r[getRollup] += folds * (1 + others*(c.heads-isLooked))
	return r
}

// What 1,000 requests cost, in USD. DELETE is free.
type prices struct {
	put, list, get float64
}

const secondsOfMonth = 30 * 86_400

// month is what requests at these rates cost in 30 days.
func (p prices) month(r rates) float64 {
	puts := r[putSegment] + r[putRollup]
	gets := r[getSegment] + r[getRollup]
	return (p.put*puts + p.list*r[listPage] + p.get*gets) / 1000 * secondsOfMonth
}
