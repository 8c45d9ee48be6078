package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

const (
	tablesBegin = "<!-- The tables of `make bench-price-record`: begin -->\n"
	tablesEnd   = "<!-- The tables of `make bench-price-record`: end -->\n"
)

// A figure may differ from the formula by this share, or by what may fall on either side of the window's edges.
const tolerance = 0.1

// A fleet that had fewer ticks or segments than this share of what it was to have says little of the fleet that it stands for.
const leastPace = 0.8

var compared = []kind{listPage, getSegment, getRollup, putSegment, putRollup, deleteMany}

// expected is what the formula says of the window.
func (m measured) expected(k kind) float64 {
	return m.asRun().requests()[k] * m.length
}

// edge is how much of a kind may fall on either side of the window's edges: a tick of one replica, what one is to fetch in an interval, and
// two folds with those that become due in an interval, for the DELETEs once more.
func (m measured) edge(k kind) float64 {
	f := m.asRun()
	c := f.cycle()
	folds := 0.0
	if c.period > 0 {
		folds = f.namespaces / c.period * f.settings.sync
	}
	switch k {
	case listPage:
		return math.Ceil(c.pages)
	case getSegment:
		return c.segments * f.settings.sync
	case getRollup:
		return math.Ceil(c.looks) + 1 + c.heads*(f.replicas-1)
	case putRollup:
		return 2 + folds
	case deleteMany:
		return 2 + 2*folds
	}
	return 2
}

func (m measured) isAsComputed(k kind) bool {
	expected := m.expected(k)
	if expected == 0 {
		return m.counts[k] == 0
	}
	beside := float64(m.counts[k]) - expected
	allowed := math.Max(tolerance*expected, m.edge(k))
	return -allowed <= beside && beside <= allowed+m.races(k)
}

// races is how many requests there may be because two replicas do at the same time what one of them would have done. Replicas whose ticks
// fall together by chance may do so at each fold and at each DELETE.
func (m measured) races(k kind) float64 {
	if m.fleet.replicas < 2 {
		return 0
	}
	switch k {
	case listPage, getRollup, putRollup:
		// Who lost has looked before it, may have tried to PUT, and LISTs at once.
		return float64(m.counts[putRollup])
	case deleteMany:
		return m.expected(k)
	}
	return 0
}

// stray is how many requests there were that the formula knows nothing of.
func (m measured) stray() int64 {
	return m.counts[probe] + m.counts[other] + m.counts[failed]
}

// pace is what the fleet had of the ticks and of the segments that it was to have.
func (m measured) pace() (ticks, segments float64) {
	asked := m.asAsked()
	ticks = m.ticks * asked.settings.sync / m.length
	if m.fleet.writes == 0 {
		return ticks, 1
	}
	return ticks, m.segments / m.length / asked.cycle().segments
}

func slow(all []measured) int {
	slow := 0
	for _, m := range all {
		if ticks, segments := m.pace(); math.Min(ticks, segments) < leastPace {
			slow++
		}
	}
	return slow
}

func differing(all []measured) int {
	off := 0
	for _, m := range all {
		for _, k := range compared {
			if !m.isAsComputed(k) {
				off++
			}
		}
		if m.stray() > 0 {
			off++
		}
	}
	return off
}

// rates is what was counted, a second.
func (m measured) rates() rates {
	var r rates
	for k := range r {
		r[k] = float64(m.counts[k]) / m.length
	}
	return r
}

func report(p prices, all []measured) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Measured on %s by `make bench-price-record`, with PUT at %v, LIST at %v and GET at %v USD for 1,000.\n\n",
		time.Now().UTC().Format("2 January 2006"), p.put, p.list, p.get)
	var fleets []fleet
	for _, replicas := range []float64{1, 10, 50, 500} {
		for _, namespaces := range []float64{1, 20, 1000} {
			for _, writes := range []float64{0, 1, 20} {
				fleets = append(fleets, of(replicas, namespaces, writes))
			}
		}
	}
	text.WriteString(priceTable(p, fleets, all))
	text.WriteString("\nWhat a setting does:\n\n")
	text.WriteString(settingsTable(p))
	text.WriteString(fmt.Sprintf("\nCounted in %.0f s, and what the formula says:\n\n", window.Seconds()))
	text.WriteString(measuredTable(all))
	return text.String()
}

func priceTable(p prices, fleets []fleet, all []measured) string {
	rows := [][]string{{"replicas", "namespaces", "writes a second", "LIST", "GET", "PUT", "USD a month", "counted / computed"}}
	for _, f := range fleets {
		counted := ""
		for _, m := range all {
			if m.fleet == f {
				counted = fmt.Sprintf("%.2f", p.month(m.rates())/p.month(m.asRun().requests()))
				break
			}
		}
		r := f.requests()
		rows = append(rows, append(describe(f), millions(r[listPage]), millions(r[getSegment]+r[getRollup]), millions(r[putSegment]+r[putRollup]),
			money(p.month(r)), counted))
	}
	return table(rows)
}

func settingsTable(p prices) string {
	rows := [][]string{{"replicas", "namespaces", "writes a second", "setting", "LIST", "GET", "PUT", "USD a month"}}
	change := func(f fleet, name string) {
		r := f.requests()
		rows = append(rows, append(describe(f), name, millions(r[listPage]), millions(r[getSegment]+r[getRollup]),
			millions(r[putSegment]+r[putRollup]), money(p.month(r))))
	}
	long, longer, later, sooner, never := defaults, defaults, defaults, defaults, defaults
	long.sync, longer.sync, later.commit, sooner.threshold, never.maxAge = 40, 60, 5, 16, 0
	for _, f := range []fleet{of(10, 1, 1), of(10, 1, 20), of(10, 1000, 0), of(10, 1000, 1)} {
		change(f, "as it is")
		change(with(f, long), "`sync_interval_ms` 40,000")
		change(with(f, longer), "`sync_interval_ms` 60,000")
		if f.writes > 0 {
			change(with(f, later), "`commit_interval_ms` 5,000")
			change(with(f, sooner), "`compaction.segment_threshold` 16")
			change(with(f, never), "`compaction.max_age_ms` 0")
		}
	}
	return table(rows)
}

func measuredTable(all []measured) string {
	header := []string{"replicas", "namespaces", "writes a second", "settings", "pace", "ticks", "segments"}
	for _, k := range compared {
		header = append(header, kindNames[k])
	}
	rows := [][]string{header}
	for _, m := range all {
		ticks, segments := m.pace()
		row := append(describe(m.fleet), changed(m.fleet.settings), fmt.Sprintf("%v x", m.scale), share(ticks), share(segments))
		for _, k := range compared {
			cell := fmt.Sprintf("%s / %s", number(float64(m.counts[k])), number(math.Round(m.expected(k))))
			if !m.isAsComputed(k) {
				cell += " DIFFERS"
			}
			row = append(row, cell)
		}
		if m.stray() > 0 {
			row[len(row)-1] += fmt.Sprintf(", and %d OTHERS", m.stray())
		}
		rows = append(rows, row)
	}
	return table(rows)
}

// share tells a pace, and whether it was kept.
func share(pace float64) string {
	text := fmt.Sprintf("%.0f %%", 100*pace)
	if pace < leastPace {
		text += " SLOW"
	}
	return text
}

// changed names the settings that are not the default.
func changed(s settings) string {
	var names []string
	if s.sync != defaults.sync {
		names = append(names, fmt.Sprintf("I = %v", s.sync))
	}
	if s.commit != defaults.commit {
		names = append(names, fmt.Sprintf("c = %v", s.commit))
	}
	if s.threshold != defaults.threshold {
		names = append(names, fmt.Sprintf("T = %v", s.threshold))
	}
	if s.maxAge != defaults.maxAge {
		names = append(names, fmt.Sprintf("M = %v", s.maxAge))
	}
	return strings.Join(names, ", ")
}

func describe(f fleet) []string {
	writes := "quiet"
	if f.writes > 0 {
		writes = fmt.Sprint(f.writes)
	}
	return []string{number(f.replicas), number(f.namespaces), writes}
}

// millions is a rate as millions in a month.
func millions(rate float64) string {
	value := rate * secondsOfMonth / 1e6
	switch {
	case value == 0:
		return "0"
	case value < 0.001:
		return "< 0.001"
	case value < 0.1:
		return fmt.Sprintf("%.3f M", value)
	case value < 10:
		return fmt.Sprintf("%.2f M", value)
	}
	return number(math.Round(value)) + " M"
}

func money(value float64) string {
	if value < 100 {
		return fmt.Sprintf("%.2f", value)
	}
	return number(math.Round(value))
}

// number writes a whole number with commas.
func number(value float64) string {
	text := fmt.Sprintf("%.0f", value)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for column, cell := range row {
			widths[column] = max(widths[column], len(cell))
		}
	}
	var text strings.Builder
	for index, row := range rows {
		for column, cell := range row {
			fmt.Fprintf(&text, "| %-*s ", widths[column], cell)
		}
		text.WriteString("|\n")
		if index == 0 {
			for _, width := range widths {
				text.WriteString("|" + strings.Repeat("-", width+2))
			}
			text.WriteString("|\n")
		}
	}
	return text.String()
}

// recordIn puts the tables between the document's markers.
func recordIn(document, tables string) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, isThere := strings.Cut(string(text), tablesBegin)
	_, after, isEnded := strings.Cut(rest, tablesEnd)
	if !isThere || !isEnded {
		return fmt.Errorf("%s lacks the lines between which the tables stand", document)
	}
	return os.WriteFile(document, []byte(before+tablesBegin+tables+tablesEnd+after), 0o644)
}
