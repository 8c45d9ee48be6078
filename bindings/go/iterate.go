package opjournal

import (
	"encoding/json"
	"fmt"
	"iter"
	"strconv"

	"opjournal.dev/opjournal/internal/native"
)

// RangeOption says which part of a collection an iteration covers, and how it is read.
type RangeOption func(*scan)

type scan struct {
	prefix   string
	after    []byte
	pageSize int
	atOnce   bool
	err      error
}

// defaultPageSize keeps a page small beside what the caller does with it, and the number of queries small beside the entries.
const defaultPageSize = 1000

// Prefix covers only keys, members or names that are strings and begin with prefix.
func Prefix(prefix string) RangeOption {
	return func(s *scan) { s.prefix = prefix }
}

// After begins behind a key, member, name, or index of a list, whether it is there or not. With it an iteration can go on
// where an earlier one ended. Keys are ordered by their JSON, with the quotes, so After("") passes over those that begin with a
// space or "!": to begin with the first key, leave it out. The last indices of a list may change with the next sync, which puts in order
// what others wrote.
func After[K any](key K) RangeOption {
	return func(s *scan) { s.after, s.err = appendJSON(nil, key) }
}

// PageSize sets how many items are fetched with one query. Default 1000.
func PageSize(items int) RangeOption {
	return func(s *scan) { s.pageSize = items }
}

// AtOnce fetches everything with one query, from one consistent state. Without it each page is answered from the state of
// its moment: an item is seen at most once, and one that is there all the time exactly once. The memory is that of the
// whole answer.
func AtOnce() RangeOption {
	return func(s *scan) { s.atOnce = true }
}

// items iterates over the answer to a collection query, page by page, each item decoded with decode. An error ends the
// iteration.
func items[T any](n *Namespace, op, name string, options []RangeOption, decode func([]byte) (T, error)) iter.Seq2[T, error] {
	scan := scan{pageSize: defaultPageSize}
	for _, option := range options {
		option(&scan)
	}
	return func(yield func(T, error) bool) {
		var none T
		if scan.err != nil {
			yield(none, scan.err)
			return
		}
		after := scan.after
		for {
			page, err := fetch(n, op, name, &scan, after)
			if err != nil {
				yield(none, err)
				return
			}
			for _, text := range page.Items {
				item, err := decode(text)
				if err != nil {
					yield(none, fmt.Errorf("opjournal: an item of %q: %w", name, err))
					return
				}
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
			after = page.Next
		}
	}
}

// page is the answer to a collection query with a limit.
type page struct {
	Items []json.RawMessage `json:"items"`
	// Next is what to ask for After to get the next page; absent at the end.
	Next json.RawMessage `json:"next"`
}

func fetch(n *Namespace, op, name string, scan *scan, after []byte) (page, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, `{"op":"`...)
	s.Text = append(s.Text, op...)
	s.Text = append(s.Text, '"')
	if op != "Names" {
		s.Text = append(s.Text, `,"Key":`...)
		s.Text = appendString(s.Text, name)
	}
	if scan.prefix != "" {
		s.Text = append(s.Text, `,"Prefix":`...)
		s.Text = appendString(s.Text, scan.prefix)
	}
	if after != nil {
		s.Text = append(s.Text, `,"After":`...)
		s.Text = append(s.Text, after...)
	}
	plain := scan.atOnce && scan.prefix == "" && after == nil
	if !scan.atOnce {
		s.Text = append(s.Text, `,"Limit":`...)
		s.Text = strconv.AppendInt(s.Text, int64(scan.pageSize), 10)
	}
	s.Text = append(s.Text, '}')
	var p page
	var err error
	if plain {
		err = n.askJSON(s, &p.Items)
	} else {
		err = n.askJSON(s, &p)
	}
	return p, err
}
