package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"opjournal.dev/opjournal"
)

const (
	// maxName bounds what a client may make the state remember with one request.
	maxName      = 200
	defaultLimit = 100
	maxLimit     = 1000
)

// pathName is a part of the path that becomes a key of the state.
func pathName(r *http.Request, field string) (string, error) {
	name := r.PathValue(field)
	return name, checkName(field, name)
}

func checkName(field, name string) error {
	switch {
	case name == "":
		return wrong(field, "is empty")
	case len(name) > maxName:
		return wrong(field, "is longer than %d bytes", maxName)
	case !utf8.ValidString(name):
		return wrong(field, "is not UTF-8")
	case strings.ContainsFunc(name, func(c rune) bool { return c < 0x20 || c == 0x7f }):
		return wrong(field, "has a control character")
	}
	return nil
}

// number is a parameter of the query, or preset where it is absent.
func number(r *http.Request, field string, least, most, preset int) (int, error) {
	text := r.URL.Query().Get(field)
	if text == "" {
		return preset, nil
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < least || value > most {
		return 0, wrong(field, "%q is no integer from %d to %d", text, least, most)
	}
	return value, nil
}

// bodyJSON is the body, which must be one JSON value. What the library asks beyond that (no duplicate members, no number out of
// range), it says itself.
func bodyJSON(r *http.Request) (json.RawMessage, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, wrong("body", "is empty; a JSON value is expected")
	}
	if !utf8.Valid(body) {
		return nil, wrong("body", "is not UTF-8")
	}
	var value json.RawMessage
	if err := json.Unmarshal(body, &value); err != nil {
		p := wrong("body", "%v", err)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			p = wrong("body", "byte %d: %v", syntax.Offset, err)
			p.Offset = &syntax.Offset
		}
		return nil, p
	}
	return value, nil
}

// pageByName reads which page of names a request asks for: ?limit=N, ?after=NAME. One more than the limit is fetched, to know whether
// another page follows.
func pageByName(r *http.Request) (limit int, options []opjournal.RangeOption, err error) {
	if limit, err = number(r, "limit", 1, maxLimit, defaultLimit); err != nil {
		return 0, nil, err
	}
	options = append(options, opjournal.PageSize(limit+1))
	if after := r.URL.Query().Get("after"); after != "" {
		if err := checkName("after", after); err != nil {
			return 0, nil, err
		}
		options = append(options, opjournal.After(after))
	}
	return limit, options, nil
}

// firstOf takes up to limit items of an iteration, and says whether there are more.
func firstOf[T any](limit int, items iter.Seq2[T, error]) (taken []T, more bool, err error) {
	taken = []T{} // Not nil: an empty page is [] in JSON.
	for item, err := range items {
		if err != nil {
			return nil, false, err
		}
		if len(taken) == limit {
			return taken, true, nil
		}
		taken = append(taken, item)
	}
	return taken, false, nil
}
