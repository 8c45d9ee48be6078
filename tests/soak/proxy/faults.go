package main

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
)

// A fault is what can happen to a request. At most one happens to each.
type fault int

const (
	drop fault = iota
	loseAnswer
	late
	repeat
	refuse
	refuseDone
	cutRequest
	cutAnswer
	delayRequest
	delayAnswer
	hang
	faults
	none = faults
)

var names = [faults]string{
	"drop", "lose-answer", "late", "repeat", "refuse", "refuse-done", "cut-request", "cut-answer", "delay-request", "delay-answer", "hang",
}

var meanings = [faults]string{
	"the request is not delivered, and the connection breaks",
	"the request is delivered, and the connection breaks",
	"a write is delivered later, and the connection breaks or hangs",
	"a write is delivered twice, now and later",
	"the answer is 500 or 503, and the request is not delivered",
	"the answer is 500 or 503, although the request is delivered",
	"a part of the request's body is delivered",
	"a part of the answer's body is delivered",
	"the request is held for a while",
	"the answer is held for a while",
	"nothing is delivered, and the connection stays open",
}

// canHappen is false where a fault would be another one, or none.
func (f fault) canHappen(r request) bool {
	switch f {
	case late, repeat:
		return r.head.Method != http.MethodGet && r.head.Method != http.MethodHead
	case cutRequest:
		return len(r.body) > 0
	case cutAnswer:
		return r.head.Method == http.MethodGet
	}
	return true
}

// firstTime is how much likelier a fault is until it has happened once, so that a short run meets all of them.
const firstTime = 10

// dice draw the faults. Whoever lets one happen counts it.
type dice struct {
	rates  [faults]float64
	counts [faults]atomic.Int64
	on     atomic.Bool

	mutex  sync.Mutex
	random *rand.Rand
}

func (d *dice) seed(seed uint64) {
	d.random = rand.New(rand.NewPCG(seed, 0))
}

// draw decides what happens to a request, and to which extent, from 0 to below 1: how much is cut, how long it takes.
func (d *dice) draw(r request, share float64) (fault, float64) {
	d.mutex.Lock()
	point, extent := d.random.Float64(), d.random.Float64()
	d.mutex.Unlock()
	if !d.on.Load() {
		return none, 0
	}
	for f := range faults {
		rate := d.rates[f] * share
		if share == 1 && d.counts[f].Load() == 0 {
			rate *= firstTime
		}
		if point -= rate; point < 0 {
			if !f.canHappen(r) {
				break
			}
			return f, extent
		}
	}
	return none, 0
}
