package main

import (
	"net/http"

	"opjournal.dev/opjournal"
)

// reportEvent takes note of an event, and says whether it is the first time as far as this replica knows. "Seen before" is
// certain, and so is that the event is taken note of, once, when this returns. "First" is not: another replica, or another request at this
// one, may be told the same at the same time. With ?fresh everything that was acknowledged before this request is known, which
// makes the gap small and does not close it. There is no uniqueness across replicas: what must happen only once needs a database.
func reportEvent(d *data, w http.ResponseWriter, r *http.Request) error {
	id, err := pathName(r, "id")
	if err != nil {
		return err
	}
	answer := struct {
		ID    string `json:"id"`
		First bool   `json:"first"`
	}{ID: id}
	seen, err := d.events.Contains(id)
	if err != nil {
		return err
	}
	if seen {
		return writeJSON(w, http.StatusOK, answer)
	}
	if err := d.events.Add(r.Context(), id); err != nil {
		return err
	}
	answer.First = true
	return writeJSON(w, http.StatusCreated, answer)
}

// getOutcome tells what became of a write whose outcome this replica did not know when it answered: "applied", "failed", or
// "unknown" still. With ?fresh it waits until that is settled. Only the process that wrote can tell.
func getOutcome(d *data, w http.ResponseWriter, r *http.Request) error {
	segment := r.PathValue("segment")
	outcome, err := d.namespace.Outcome(segment)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Segment string            `json:"segment"`
		Outcome opjournal.Outcome `json:"outcome"`
	}{segment, outcome})
}
