package opjournal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"opjournal.dev/opjournal/internal/native"
)

// Code is the kind of a failure. Every code is an error of its own, so that errors.Is(err, opjournal.ErrBusy) tells it.
type Code int32

// The codes, numbered as in opjournal.h.
const (
	// ErrInvalid: a text or an argument is wrong; the message names the place.
	ErrInvalid Code = 1
	// ErrBadHandle: the namespace was closed, and nothing of it is left.
	ErrBadHandle Code = 2
	// ErrClosed: the journal or the namespace was closed.
	ErrClosed Code = 3
	// ErrBusy: the batches that wait to be sent are past Limits.WaitingBytes; try again later.
	ErrBusy Code = 4
	// ErrTimedOut: the time for the call is over. It also is context.DeadlineExceeded.
	ErrTimedOut Code = 5
	// ErrCancelled: the context was cancelled. It also is context.Canceled.
	ErrCancelled Code = 6
	// ErrNotReady: the namespace had no good sync yet, so there is nothing to answer from.
	ErrNotReady Code = 7
	// ErrNoSuchStore: the bucket or directory does not exist.
	ErrNoSuchStore Code = 8
	// ErrDenied: the store refuses the credentials, or the right that the call needs.
	ErrDenied Code = 9
	// ErrUnavailable: the store cannot be reached, or answers with errors.
	ErrUnavailable Code = 10
	// ErrUnsafeStore: the store ignores the conditional writes that a journal stands on.
	ErrUnsafeStore Code = 11
	// ErrUnreadable: an object in the bucket cannot be read by this version.
	ErrUnreadable Code = 12
	// ErrRollupLost: the bucket's segments say that a rollup existed which is gone.
	ErrRollupLost Code = 13
	// ErrReadOnly: the journal was opened with Config.ReadOnly.
	ErrReadOnly Code = 14
	// ErrTooLarge: a text or an object is over its limit.
	ErrTooLarge Code = 15
	// ErrForked: the process was forked after the library was used.
	ErrForked Code = 16
	// ErrInternal: a bug in the library.
	ErrInternal Code = 17
)

// String is the name as opjournal.h spells it, without OPJOURNAL_: "BUSY".
func (c Code) String() string {
	return native.StatusName(native.Status(c))
}

// Error makes a code usable as the target of errors.Is.
func (c Code) Error() string {
	return "opjournal: " + c.String()
}

// Is makes the two codes that end a wait match the errors that the context package has for them.
func (c Code) Is(target error) bool {
	switch target {
	case context.Canceled:
		return c == ErrCancelled
	case context.DeadlineExceeded:
		return c == ErrTimedOut
	}
	return false
}

// Outcome says what became of a write.
type Outcome string

const (
	// OutcomeNone: the call failed, and nothing of it takes effect, not even later.
	OutcomeNone Outcome = "none"
	// OutcomeUnknown: not known yet. The batch is applied at most once; Namespace.Outcome tells when it is settled, and a
	// Flush waits for it.
	OutcomeUnknown Outcome = "unknown"
	// OutcomeApplied: it took effect. Only Namespace.Outcome says so.
	OutcomeApplied Outcome = "applied"
	// OutcomeFailed: it did not, and never will. Only Namespace.Outcome says so.
	OutcomeFailed Outcome = "failed"
)

// ErrOutcomeUnknown is what errors.Is finds in every error after which the batch may still turn out to be applied. Do not
// apply the batch again before the outcome is settled: it would count twice.
var ErrOutcomeUnknown = errors.New("opjournal: outcome unknown")

// Error is every failure that the library reports. Use errors.As to get at it, or errors.Is with a Code,
// ErrOutcomeUnknown, context.Canceled or context.DeadlineExceeded.
type Error struct {
	Code    Code
	Message string
	// Outcome is OutcomeUnknown where a write may have been done; everything else that fails leaves OutcomeNone.
	Outcome Outcome
	// Retryable is true where the same call may succeed later without anyone changing anything.
	Retryable bool
	// Segment is the key of the segment that the failure is about: the one to ask Namespace.Outcome for, or, with
	// ErrUnreadable, the one that cannot be read.
	Segment string
	// Details holds whatever else names the place, such as "op" (the index in the batch), "field" or "object". Numbers are
	// json.Number.
	Details map[string]any

	cause error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	text := e.Code.Error() + ": " + e.Message
	if e.Outcome == OutcomeUnknown {
		text += " (outcome unknown: " + e.Segment + ")"
	}
	return text
}

// Unwrap gives errors.Is the code, and the cause of the context that ended the call.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.cause}
}

// Is reports whether target is ErrOutcomeUnknown and the outcome is unknown.
func (e *Error) Is(target error) bool {
	return target == ErrOutcomeUnknown && e.Outcome == OutcomeUnknown
}

// failure turns a status and the JSON that came with it into an Error. A nil ctx means that no context can have ended the
// call.
func failure(ctx context.Context, status native.Status, answer []byte) error {
	failed := &Error{Code: Code(status), Outcome: OutcomeNone}
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if len(answer) > 0 && decoder.Decode(&members) == nil {
		failed.Message, _ = members["message"].(string)
		failed.Retryable, _ = members["retryable"].(bool)
		failed.Segment, _ = members["segment"].(string)
		if outcome, _ := members["outcome"].(string); outcome != "" {
			failed.Outcome = Outcome(outcome)
		}
		for _, name := range []string{"code", "message", "outcome", "retryable", "segment"} {
			delete(members, name)
		}
		if len(members) > 0 {
			failed.Details = members
		}
	}
	if status == native.Cancelled && ctx != nil {
		// The library only hears that the call was given up; why, the context knows.
		failed.cause = context.Cause(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			failed.Code = ErrTimedOut
			// As where the library's own deadline came.
			failed.Retryable = failed.Outcome == OutcomeNone
		}
	}
	if failed.Message == "" {
		failed.Message = "the call failed"
		if failed.cause != nil {
			failed.Message = failed.cause.Error()
		}
	}
	return failed
}

// notStarted is the failure of a call whose context was over before the library heard of it.
func notStarted(ctx context.Context) error {
	return failure(ctx, native.Cancelled, nil)
}

// invalid is a failure that the wrapper finds itself.
func invalid(format string, arguments ...any) *Error {
	return &Error{Code: ErrInvalid, Message: fmt.Sprintf(format, arguments...), Outcome: OutcomeNone}
}
