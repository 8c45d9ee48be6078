package main

import (
	"crypto/rand"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"opjournal.dev/opjournal"
)

// auditEntry says that a flag was changed. In a service with users it would also say by whom.
type auditEntry struct {
	// ID tells entries apart for good; the place in the list does so once every replica has seen it.
	ID string `json:"id"`
	// At is the time by the replica's clock. The order of the list is the journal's, not that of these times.
	At      time.Time `json:"at"`
	Replica string    `json:"replica"`
	Flag    string    `json:"flag"`
	// Value is what the flag was set to; absent: the flag was deleted.
	Value json.RawMessage `json:"value,omitempty"`
}

// flagValue is a flag as it is told.
type flagValue struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

func (s *service) putFlag(d *data, w http.ResponseWriter, r *http.Request) error {
	name, err := pathName(r, "name")
	if err != nil {
		return err
	}
	value, err := bodyJSON(r)
	if err != nil {
		return err
	}
	if err := s.change(d, r, name, value, d.flags.SetOp(name, value)); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, flagValue{name, value})
}

// deleteFlag does not look whether there is such a flag: another replica may have set it a moment ago.
func (s *service) deleteFlag(d *data, w http.ResponseWriter, r *http.Request) error {
	name, err := pathName(r, "name")
	if err != nil {
		return err
	}
	if err := s.change(d, r, name, nil, d.flags.DeleteOp(name)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// change changes a flag and appends to the audit list, in one batch: no reader anywhere ever sees one without the other, and no
// crash parts them.
func (s *service) change(d *data, r *http.Request, name string, value json.RawMessage, op opjournal.Op) error {
	var batch opjournal.Batch
	batch.Add(op, d.audit.AppendOp(auditEntry{
		ID:      rand.Text(),
		At:      time.Now().UTC().Truncate(time.Millisecond),
		Replica: s.config.name,
		Flag:    name,
		Value:   value,
	}))
	_, err := batch.Apply(r.Context(), d.namespace)
	return err
}

func getFlag(d *data, w http.ResponseWriter, r *http.Request) error {
	name, err := pathName(r, "name")
	if err != nil {
		return err
	}
	value, ok, err := d.flags.Get(name)
	if err != nil {
		return err
	}
	if !ok {
		return notFound("there is no flag %q, as far as this replica knows", name)
	}
	return writeJSON(w, http.StatusOK, flagValue{name, value})
}

// listFlags answers with a page of flags: ?limit=N, ?after=NAME.
func listFlags(d *data, w http.ResponseWriter, r *http.Request) error {
	limit, options, err := pageByName(r)
	if err != nil {
		return err
	}
	entries, more, err := firstOf(limit, d.flags.Entries(options...))
	if err != nil {
		return err
	}
	var page struct {
		Flags []flagValue `json:"flags"`
		Next  string      `json:"next,omitempty"`
	}
	page.Flags = make([]flagValue, len(entries))
	for i, entry := range entries {
		page.Flags[i] = flagValue{entry.Key, entry.Value}
	}
	if more {
		page.Next = entries[limit-1].Key
	}
	return writeJSON(w, http.StatusOK, page)
}

// listAudit answers with a page of the audit list, oldest first: ?limit=N, ?after=INDEX. The last few entries may still change
// places, until this replica has seen what others wrote at the same time; their ids do not change.
func listAudit(d *data, w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r, "limit", 1, maxLimit, defaultLimit)
	if err != nil {
		return err
	}
	after, err := number(r, "after", 0, math.MaxInt, -1)
	if err != nil {
		return err
	}
	options := []opjournal.RangeOption{opjournal.PageSize(limit + 1)}
	if after >= 0 {
		options = append(options, opjournal.After(after))
	}
	entries, more, err := firstOf(limit, d.audit.Values(options...))
	if err != nil {
		return err
	}
	type indexed struct {
		Index int `json:"index"`
		auditEntry
	}
	var page struct {
		Entries []indexed `json:"entries"`
		Next    *int      `json:"next,omitempty"`
	}
	page.Entries = make([]indexed, len(entries))
	for i, entry := range entries {
		page.Entries[i] = indexed{after + 1 + i, entry}
	}
	if more {
		next := after + limit
		page.Next = &next
	}
	return writeJSON(w, http.StatusOK, page)
}
