// Package native is the only part of the module that knows C. It turns the functions of opjournal.h into Go calls that
// wait without occupying an OS thread, and decides nothing about journals.
package native

/*
#include <opjournal.h>
#include <stdlib.h>

#cgo noescape opjournal_query
#cgo nocallback opjournal_query
#cgo noescape opjournal_namespace_open_async
#cgo nocallback opjournal_namespace_open_async
#cgo noescape opjournal_apply_async
#cgo nocallback opjournal_apply_async
#cgo noescape opjournal_flush_async
#cgo nocallback opjournal_flush_async
#cgo noescape opjournal_close_async
#cgo nocallback opjournal_close_async
#cgo noescape opjournal_cancel
#cgo nocallback opjournal_cancel
#cgo noescape opjournal_queue_poll
#cgo nocallback opjournal_queue_poll
#cgo noescape opjournal_buffer_free
#cgo nocallback opjournal_buffer_free
*/
import "C"

import (
	"math"
	"runtime"
	"sync"
	"unsafe"
)

// Status is an opjournal_status.
type Status int32

// The statuses that the wrapper itself acts on or reports.
const (
	OK        Status = C.OPJOURNAL_OK
	BadHandle Status = C.OPJOURNAL_BAD_HANDLE
	Closed    Status = C.OPJOURNAL_CLOSED
	TimedOut  Status = C.OPJOURNAL_TIMED_OUT
	Cancelled Status = C.OPJOURNAL_CANCELLED
	Internal  Status = C.OPJOURNAL_INTERNAL
)

// TimeoutDefault asks for the library's own bound on a wait.
const TimeoutDefault = math.MinInt64

// gate bounds how many goroutines are in a call into C at once, where thousands of them may make that call in the same
// moment. Without it, the Go runtime would start a thread for each that is held up for longer than some microseconds, be it
// by a lock of the library, by malloc, or because the system runs something else.
var gate = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

func enter() { gate <- struct{}{} }
func leave() { <-gate }

// keptBytes is how large a buffer may be and still go back to the pool: one answer of 100 MB must not stay around for ever.
const keptBytes = 64 << 10

// Scratch is the memory of one call: the text that goes in and the answer that comes out. It is reused from call to call,
// so a call allocates nothing of its own.
type Scratch struct {
	*input
	// buffer lives in C memory, so that passing it costs no pointer check and the library may keep its text in it.
	buffer *C.opjournal_buffer
}

// input is given back as soon as the library has read it, so that calls that wait hold none.
type input struct {
	// Text is what is handed to the library. The caller appends to it; it is empty after NewScratch.
	Text []byte
}

var inputs = sync.Pool{New: func() any { return new(input) }}

var scratches = sync.Pool{New: func() any {
	enter()
	buffer := (*C.opjournal_buffer)(C.calloc(1, C.sizeof_opjournal_buffer))
	leave()
	scratch := &Scratch{buffer: buffer}
	// The pool drops what is idle: then the C memory goes too.
	runtime.AddCleanup(scratch, func(buffer *C.opjournal_buffer) {
		C.opjournal_buffer_free(buffer)
		C.free(unsafe.Pointer(buffer))
	}, buffer)
	return scratch
}}

// NewScratch takes a Scratch from the pool.
func NewScratch() *Scratch {
	s := scratches.Get().(*Scratch)
	if s.input == nil {
		s.input = inputs.Get().(*input)
	}
	return s
}

// dropText gives Text back. Only Answer and Release may follow.
func (s *Scratch) dropText() {
	s.resetText()
	inputs.Put(s.input)
	s.input = nil
}

func (s *Scratch) resetText() {
	if cap(s.Text) > keptBytes {
		s.Text = nil
	}
	s.Text = s.Text[:0]
}

// Release gives the Scratch back. Nothing that Answer returned may be used afterwards.
func (s *Scratch) Release() {
	if s.input != nil {
		s.resetText()
	}
	if s.buffer.capacity > keptBytes {
		C.opjournal_buffer_free(s.buffer)
	}
	scratches.Put(s)
}

// Answer is the JSON text that the last call left: C memory, valid until the next call with this Scratch or its Release.
func (s *Scratch) Answer() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s.buffer.data)), int(s.buffer.len))
}

// adopt replaces the answer by a completion's result, whose memory it takes over.
func (s *Scratch) adopt(result C.opjournal_buffer) {
	enter()
	C.opjournal_buffer_free(s.buffer)
	leave()
	*s.buffer = result
}

// text is where the library reads Text from.
func (s *Scratch) text() (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(s.Text))), C.size_t(len(s.Text))
}

// Version is the version of the library that is linked.
func Version() string {
	return C.GoString(C.opjournal_version())
}

// ABI is the version of the C interface that the linked library speaks.
func ABI() uint32 {
	return uint32(C.opjournal_abi_version())
}

// HeaderABI is the version of the C interface that this package was compiled against.
func HeaderABI() uint32 {
	return uint32(C.OPJOURNAL_ABI_VERSION)
}

// StatusName is the library's own name of a status, without its prefix.
func StatusName(status Status) string {
	return C.GoString(C.opjournal_status_name(C.opjournal_status(status)))
}

// Open opens a journal with the configuration in s.Text. It blocks its OS thread, for at most the library's 10 s.
func Open(s *Scratch) (journal uint64, status Status) {
	text, size := s.text()
	var out C.opjournal_journal
	status = Status(C.opjournal_open(text, size, &out, s.buffer))
	return uint64(out), status
}

// Close closes a journal. It blocks its OS thread, for at most timeout milliseconds.
func Close(journal uint64, timeout int64, s *Scratch) Status {
	return Status(C.opjournal_close(C.opjournal_journal(journal), C.int64_t(timeout), s.buffer))
}

// Query answers the query in s.Text. It never waits.
func Query(namespace uint64, s *Scratch) Status {
	text, size := s.text()
	return Status(C.opjournal_query(C.opjournal_namespace(namespace), text, size, s.buffer))
}

// Quarantine moves the segment named in s.Text aside. It blocks its OS thread, for at most timeout milliseconds.
func Quarantine(namespace uint64, timeout int64, s *Scratch) Status {
	text, size := s.text()
	return Status(C.opjournal_quarantine(C.opjournal_namespace(namespace), text, size, C.int64_t(timeout), s.buffer))
}

// CloseNamespace gives a namespace handle up. It never waits.
func CloseNamespace(namespace uint64) Status {
	return Status(C.opjournal_namespace_close(C.opjournal_namespace(namespace)))
}

// Stats leaves the figures of a journal in s. It never waits.
func Stats(journal uint64, s *Scratch) Status {
	return Status(C.opjournal_stats(C.opjournal_journal(journal), s.buffer))
}
