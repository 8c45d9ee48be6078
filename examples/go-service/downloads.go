package main

import (
	"net/http"

	"opjournal.dev/opjournal"
)

// requestsPrefix begins the names of the sets of request ids: one set for each file.
const requestsPrefix = "downloads/"

// requests are the ids of the requests that counted a download of file.
func (d *data) requests(file string) opjournal.Set[string] {
	return opjournal.NewSet[string](d.namespace, requestsPrefix+file)
}

// count is how often a file was downloaded: plain counts, and those that came with a request id.
type count struct {
	File  string `json:"file"`
	Count int64  `json:"count"`
}

func (d *data) count(file string) (count, error) {
	plain, err := d.downloads.Get(file)
	if err != nil {
		return count{}, err
	}
	requests, err := d.requests(file).Len()
	return count{File: file, Count: plain + int64(requests)}, err
}

// countDownload counts one download, durably. Without an Idempotency-Key it adds 1: simple and small, and a client that does not
// learn the outcome must not repeat it. With one it puts the key into a set, whose size counts. However often that is repeated,
// and at whichever replicas, a set holds a member once.
//
// What would not do: to look whether the key is in the set, and to add the key and 1 in one batch if not. Batches are atomic, but
// cannot depend on what was read: two replicas that get the same request at the same time would both add 1.
func countDownload(d *data, w http.ResponseWriter, r *http.Request) error {
	file, err := pathName(r, "file")
	if err != nil {
		return err
	}
	ops := []opjournal.Op{d.downloads.AddOp(file, 1)}
	if keys := r.Header.Values("Idempotency-Key"); len(keys) > 0 {
		if len(keys) > 1 {
			return wrong("Idempotency-Key", "is there %d times", len(keys))
		}
		if err := checkName("Idempotency-Key", keys[0]); err != nil {
			return err
		}
		// Adding 0 changes nothing, but lists the file.
		ops = []opjournal.Op{d.requests(file).AddOp(keys[0]), d.downloads.AddOp(file, 0)}
	}
	if _, err := d.namespace.Apply(r.Context(), ops...); err != nil {
		return err
	}
	return writeCount(d, w, file)
}

func getDownload(d *data, w http.ResponseWriter, r *http.Request) error {
	file, err := pathName(r, "file")
	if err != nil {
		return err
	}
	return writeCount(d, w, file)
}

func writeCount(d *data, w http.ResponseWriter, file string) error {
	count, err := d.count(file)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, count)
}

// listDownloads answers with a page of counts: ?limit=N, ?after=FILE.
func listDownloads(d *data, w http.ResponseWriter, r *http.Request) error {
	limit, options, err := pageByName(r)
	if err != nil {
		return err
	}
	files, more, err := firstOf(limit, d.downloads.Keys(options...))
	if err != nil {
		return err
	}
	var page struct {
		Downloads []count `json:"downloads"`
		// Next is what to ask for after; absent on the last page.
		Next string `json:"next,omitempty"`
	}
	page.Downloads = make([]count, len(files))
	for i, file := range files {
		if page.Downloads[i], err = d.count(file); err != nil {
			return err
		}
	}
	if more {
		page.Next = files[limit-1]
	}
	return writeJSON(w, http.StatusOK, page)
}
