package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"opjournal.dev/opjournal"
)

// problem is the body of every answer that is no success. As an error it is one that a handler found itself.
type problem struct {
	status int
	// Code tells problems apart for programs: the library's name of the status, such as UNAVAILABLE, or one of this service.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Outcome is "none" where nothing was written and nothing will be: the request may be repeated as it is. It is "unknown"
	// where a write may or may not take effect, once: Segment names it, and /outcomes/SEGMENT tells when it is settled.
	Outcome opjournal.Outcome `json:"outcome"`
	Segment string            `json:"segment,omitempty"`
	// Field is the part of the request that is wrong, Offset the byte of the body.
	Field  string `json:"field,omitempty"`
	Offset *int64 `json:"offset,omitempty"`
	// Details is what the library says about the place.
	Details map[string]any `json:"details,omitempty"`

	retryAfter bool
}

func (p *problem) Error() string {
	return p.Message
}

// wrong is a mistake in a field of the request.
func wrong(field, format string, arguments ...any) *problem {
	return &problem{status: http.StatusBadRequest, Code: "INVALID", Field: field, Message: field + ": " + fmt.Sprintf(format, arguments...)}
}

func notFound(format string, arguments ...any) *problem {
	return &problem{status: http.StatusNotFound, Code: "NOT_FOUND", Message: fmt.Sprintf(format, arguments...)}
}

func notLoaded() *problem {
	const code = opjournal.ErrNotReady
	return &problem{status: http.StatusServiceUnavailable, Code: code.String(), Message: "the state is not loaded yet", retryAfter: true}
}

// problemOf says what an error means to the client: above all, whether the request may be repeated.
func problemOf(err error) *problem {
	var known *problem
	if errors.As(err, &known) {
		return known
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return &problem{status: http.StatusRequestEntityTooLarge, Code: "TOO_LARGE", Field: "body", Message: fmt.Sprintf("body: more than %d bytes", tooLong.Limit)}
	}
	var failure *opjournal.Error
	if !errors.As(err, &failure) {
		return &problem{status: http.StatusInternalServerError, Code: "INTERNAL", Message: err.Error()}
	}
	p := &problem{Code: failure.Code.String(), Message: failure.Message, Outcome: failure.Outcome, Details: failure.Details}
	switch {
	case errors.Is(err, opjournal.ErrOutcomeUnknown):
		// Not 503: that one is repeated by clients and proxies without a thought, and this may count twice then.
		p.status, p.Segment = http.StatusGatewayTimeout, failure.Segment
	case failure.Code == opjournal.ErrInvalid:
		p.status = http.StatusBadRequest
	case failure.Code == opjournal.ErrTooLarge:
		// The body is far below the library's limit of a batch, so it is the state that is full.
		p.status = http.StatusInsufficientStorage
	case failure.Retryable, failure.Code == opjournal.ErrTimedOut, failure.Code == opjournal.ErrCancelled, failure.Code == opjournal.ErrClosed:
		// Nothing was written. ErrClosed: this replica is stopping, the next one will take it.
		p.status, p.retryAfter = http.StatusServiceUnavailable, true
	default:
		// Rights, a wrong bucket, an object that cannot be read: it passes when somebody does something.
		p.status = http.StatusInternalServerError
	}
	return p
}

func writeProblem(w http.ResponseWriter, p *problem) {
	if p.Outcome == "" {
		p.Outcome = opjournal.OutcomeNone
	}
	if p.retryAfter {
		w.Header().Set("Retry-After", "1")
	}
	if p.Segment != "" {
		w.Header().Set("Location", "/outcomes/"+p.Segment)
	}
	// What is told cannot fail to be encoded, and that the client has gone away is nobody's business.
	_ = writeJSON(w, p.status, map[string]*problem{"error": p})
}

// writeJSON answers with a value. Nothing is sent before the value is encoded, so an error can still be told.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
	return nil
}

// refusal turns the mux's plain 404 and 405 into a problem, and keeps its headers.
type refusal struct {
	http.ResponseWriter
	method, path string
}

func (r *refusal) WriteHeader(status int) {
	p := &problem{status: status, Code: "NOT_FOUND", Message: fmt.Sprintf("there is no %s", r.path)}
	if status == http.StatusMethodNotAllowed {
		p.Code, p.Message = "METHOD_NOT_ALLOWED", fmt.Sprintf("%s takes %s, not %s", r.path, r.Header().Get("Allow"), r.method)
	}
	writeProblem(r.ResponseWriter, p)
}

// Write swallows the plain text.
func (r *refusal) Write(text []byte) (int, error) {
	return len(text), nil
}
